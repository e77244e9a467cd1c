//! NTFS 3.1, as Windows makes it: read, and its log replayed.
//!
//! Written from the linux-ntfs documentation (R. Russon, Y. Fledel), MS-FSCC and MS-XCA of Microsoft's open
//! specifications, and the documents of rust-fs-ntfs. Names are compared by the volume's own table of
//! capitals, and are WTF-8 outside. There are no owners and modes here: all nodes are root's, mode 0755.
//!
//! A node is a record of the master file table. The volume's own records, up to 15, are found by their names
//! and are not listed.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod attribute;
mod boot_sector;
mod fixup;
mod index;
mod log;
mod lznt1;
mod name;
mod read;
mod record;
mod reparse;
mod runs;
mod stream;
mod time;
mod upcase;
mod volume;

use block::{Disk, DiskMut};
use vfs::{Driver, FileSystem, FsError, Result};

/// Its line in the table of file systems.
pub static DRIVER: Driver = Driver {
    name: "ntfs",
    probe,
    open,
    open_mut: |device| {
        open(device.disk())?;
        Err(FsError::unsupported(NOT_WRITTEN))
    },
    replay,
    open_subvolume: None,
};

/// Why it is not written, and what to do instead.
const NOT_WRITTEN: &str = "writing to NTFS; make the changes in the running guest before the migration";

/// Whether a volume has the marks of NTFS.
///
/// # Errors
/// What the device reports.
pub fn probe(disk: &Disk) -> Result<bool> {
    if disk.size() < 512 {
        return Ok(false);
    }
    let sector = disk.read_vec(0, 512)?;
    Ok(boot_sector::mark(&sector) == Some(boot_sector::Mark::Ntfs))
}

/// Opens a volume for reading, as it is without its log.
///
/// # Errors
/// `Corrupt`; `Unsupported` for a volume that BitLocker encrypts.
pub fn open(disk: Disk) -> Result<Box<dyn FileSystem>> {
    Ok(Box::new(read::Ntfs::open(disk)?))
}

/// Does what Windows does with the log of a volume that was not unmounted, and leaves the log empty; `false` if
/// there is nothing to do. After an error `device` is as it was.
///
/// # Errors
/// `Unsupported` by name for what cannot be replayed: a log of Windows 7 or Server 2008 R2, an operation of which
/// no recovery by Windows has shown what it does, a Windows that hibernates. `Corrupt` for a log that is damaged,
/// or is not of this volume.
pub fn replay(device: &DiskMut) -> Result<bool> {
    log::replay(device)
}
