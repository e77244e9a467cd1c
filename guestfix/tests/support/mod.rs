//! The volumes of an image as judges take them: a range of a file. Guests as a plan makes them, and with files
//! changed.
#![allow(dead_code, unused_imports, reason = "each test file uses a part")]

mod changed;

use std::ops::Range;
use std::path::{Path, PathBuf};

pub(crate) use changed::{Changed, fixed, goal};
use guestfix::facts::{Machine, SignatureKind, Volume};
use tempfile::NamedTempFile;
use testimages::judge::{self, KernelMount};
use testimages::lvm;

/// A volume, in the image or in a copy that ends with this.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) range: Range<u64>,
    copy: Option<NamedTempFile>,
}

impl Place {
    /// Where the volume is in the image; a logical one is copied from where lvm2 has it.
    pub(crate) fn of(image: &Path, machine: &Machine, volume: &Volume) -> Self {
        match volume.device.range() {
            Some(range) => Self { path: image.to_owned(), range, copy: None },
            None => {
                let physical =
                    machine.volumes.iter().filter(|volume| volume.kind == Some(SignatureKind::Lvm2));
                let places: Vec<_> = physical.filter_map(|volume| volume.device.range()).collect();
                Self::copied(lvm::cut(image, &places, &volume.name))
            }
        }
    }

    fn copied(copy: NamedTempFile) -> Self {
        let size = copy.as_file().metadata().unwrap().len();
        Self { path: copy.path().to_owned(), range: 0..size, copy: Some(copy) }
    }

    /// The file system is clean for its own judge.
    ///
    /// # Panics
    /// When it is not, or when there is no judge for it.
    #[track_caller]
    pub(crate) fn judge(&self, volume: &Volume) {
        match volume.kind_name() {
            Some("ext2" | "ext3" | "ext4") => judge::e2fsck_clean(&self.path, self.range.start),
            Some("vfat") => judge::fsck_vfat(&self.path, self.range.clone()),
            Some("xfs") => judge::xfs_repair(&self.path, self.range.clone()),
            Some("ntfs") => judge::ntfs(&self.path, self.range.clone()),
            kind => panic!("{}: nobody judges {kind:?}", volume.name),
        }
    }

    /// The volume as the kernel mounts it. A journal is replayed, in a copy.
    pub(crate) fn mount(mut self, volume: &Volume) -> Mounted {
        if volume.needs_recovery {
            if self.copy.is_none() {
                self = Self::copied(judge::cut(&self.path, self.range));
            }
            let mount = KernelMount::read_write(&self.path, self.range.clone());
            return Mounted { mount, _place: self };
        }
        // Another copy of an XFS may be mounted; and ext2 does not know `noload`.
        let options = if volume.kind == Some(SignatureKind::Xfs) { "ro,nouuid" } else { "ro" };
        let mount = KernelMount::with_options(&self.path, self.range.clone(), options);
        Mounted { mount, _place: self }
    }
}

/// A volume that is mounted; the mount ends first.
pub(crate) struct Mounted {
    mount: KernelMount,
    _place: Place,
}

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.mount.path()
    }
}
