//! Where on the disk a volume is.

use std::ops::Range;

use libdisk::block::{Disk, DiskMut, Error, Result};
use libdisk::volume::lvm2;
use serde::Serialize;

/// Where on the disk a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// One run of bytes: a partition, or the whole disk.
    Range(Range<u64>),
    /// A logical volume of LVM.
    Logical(Logical),
}

/// Where a logical volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logical {
    /// Size in bytes.
    pub size: u64,
    /// Why it cannot be opened, if it cannot.
    pub refused: Option<String>,
    #[serde(skip)]
    map: lvm2::Map,
}

impl Device {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Range(range) => range.end.saturating_sub(range.start),
            Self::Logical(logical) => logical.size,
        }
    }

    /// The one run of bytes of the disk that it is, if it is one.
    pub fn range(&self) -> Option<Range<u64>> {
        match self {
            Self::Range(range) => Some(range.clone()),
            Self::Logical(_) => None,
        }
    }

    /// The volume on its disk.
    ///
    /// # Errors
    /// `Unsupported` for a logical volume that cannot be opened; `OutOfRange` if it does not lie inside the disk.
    pub fn open(&self, disk: &Disk) -> Result<Disk> {
        match self {
            Self::Range(range) => disk.slice(range.clone()),
            Self::Logical(logical) => logical.map()?.open(std::slice::from_ref(disk)),
        }
    }

    /// The volume on its disk, to be written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_mut(&self, disk: &DiskMut) -> Result<DiskMut> {
        match self {
            Self::Range(range) => disk.slice(range.clone()),
            Self::Logical(logical) => logical.map()?.open_mut(std::slice::from_ref(disk)),
        }
    }
}

impl Logical {
    /// From what [`lvm2::scan_disk`] has found.
    pub(crate) fn new(volume: &lvm2::LogicalVolume) -> Self {
        let map = volume.map.clone();
        Self { size: volume.size, refused: map.as_ref().err().cloned(), map: map.unwrap_or_default() }
    }

    fn map(&self) -> Result<&lvm2::Map> {
        match &self.refused {
            None => Ok(&self.map),
            Some(why) => Err(Error::unsupported("lvm2", why.clone())),
        }
    }
}
