//! Where on the disks of a guest a volume is.

use std::ops::Range;

use libdisk::block::{Disk, DiskMut, Error, ErrorKind, Result};
use libdisk::volume::lvm2;
use serde::Serialize;

/// Where on the disks of a guest a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// One run of bytes: a partition, or a whole disk.
    Range(Part),
    /// A logical volume of LVM.
    Logical(Logical),
}

/// A run of bytes of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Part {
    /// The index of the disk, from 0.
    pub disk: usize,
    /// Where on it.
    #[serde(flatten)]
    pub range: Range<u64>,
}

/// Where a logical volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Logical {
    /// Size in bytes.
    pub size: u64,
    /// Its UUID, as LVM writes it.
    #[serde(skip)]
    pub uuid: String,
    /// Why it cannot be opened, if it cannot.
    pub refused: Option<String>,
    #[serde(skip)]
    map: lvm2::Map,
}

impl Device {
    /// A logical volume of which nothing but its size is known.
    #[cfg(test)]
    pub(crate) fn logical(size: u64) -> Self {
        Self::Logical(Logical { size, uuid: String::new(), refused: None, map: lvm2::Map::default() })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Range(part) => part.range.end.saturating_sub(part.range.start),
            Self::Logical(logical) => logical.size,
        }
    }

    /// The one run of bytes that it is, if it is one.
    pub fn part(&self) -> Option<&Part> {
        match self {
            Self::Range(part) => Some(part),
            Self::Logical(_) => None,
        }
    }

    /// The run of bytes of the first disk that it is, if it is one.
    pub fn range(&self) -> Option<Range<u64>> {
        self.part().filter(|part| part.disk == 0).map(|part| part.range.clone())
    }

    /// The disks that have a part in it, in ascending order.
    pub fn disks(&self) -> Vec<usize> {
        match self {
            Self::Range(part) => vec![part.disk],
            Self::Logical(logical) => logical.map.devices(),
        }
    }

    /// The volume on the disks of its machine.
    ///
    /// # Errors
    /// `Unsupported` for a logical volume that cannot be opened; `OutOfRange` if it does not lie inside the
    /// disks.
    pub fn open(&self, disks: &[Disk]) -> Result<Disk> {
        match self {
            Self::Range(Part { disk, range }) => {
                disks.get(*disk).ok_or_else(|| absent(*disk))?.slice(range.clone())
            }
            Self::Logical(logical) => logical.map()?.open(disks),
        }
    }

    /// The volume on the disks of its machine, to be written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_mut(&self, disks: &[DiskMut]) -> Result<DiskMut> {
        match self {
            Self::Range(Part { disk, range }) => {
                disks.get(*disk).ok_or_else(|| absent(*disk))?.slice(range.clone())
            }
            Self::Logical(logical) => logical.map()?.open_mut(disks),
        }
    }
}

fn absent(disk: usize) -> Error {
    Error::new(ErrorKind::OutOfRange, "machine", format!("there is no disk {}", disk.saturating_add(1)))
}

impl Logical {
    /// From what [`lvm2::scan_places`] has found.
    pub(crate) fn new(volume: &lvm2::LogicalVolume) -> Self {
        let map = volume.map.clone();
        Self {
            size: volume.size,
            uuid: volume.uuid.clone(),
            refused: map.as_ref().err().cloned(),
            map: map.unwrap_or_default(),
        }
    }

    fn map(&self) -> Result<&lvm2::Map> {
        match &self.refused {
            None => Ok(&self.map),
            Some(why) => Err(Error::unsupported("lvm2", why.clone())),
        }
    }
}
