//! NTFS 3.1, as Windows makes it: read, its log replayed, and written where that is clean.
//!
//! Written from the linux-ntfs documentation (R. Russon, Y. Fledel), MS-FSCC and MS-XCA of Microsoft's open
//! specifications, and the documents of rust-fs-ntfs. Names are compared by the volume's own table of
//! capitals, and are WTF-8 outside. There are no owners and modes here: all nodes are root's, mode 0755.
//!
//! A node is a record of the master file table. The volume's own records, up to 15, are found by their names
//! and are not listed.
//!
//! # Changes
//!
//! A change goes to an overlay of its own, and is read from there again, so that dropping it needs no
//! undoing. Content is replaced as a whole, in the clusters that it has as far as they reach. Times come
//! from the caller; a new file is for whom its neighbours are. Nothing is written into `$LogFile`, which
//! has no work pending, nor into `$UsnJrnl`: who follows that sees nothing of the change.
//!
//! # What is not here
//!
//! Making links and hard links, extended attributes, changes of compressed, encrypted and sparse files,
//! and of those with a reparse point: refused by name. So is a volume with work pending in its log, one
//! that is marked as dirty, and that of a Windows that hibernated.
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
mod attribute_list;
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
mod write;

use block::{Disk, DiskMut};
use vfs::{Driver, FileSystem, FileSystemMut, Result, Writable};

/// Its line in the table of file systems.
pub static DRIVER: Driver = Driver { name: "ntfs", probe, open, open_mut, replay, open_subvolume: None };

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

/// Does what Windows does with the log of a volume that was not unmounted, and leaves the log empty;
/// `false` if there is nothing to do. After an error `device` is as it was.
///
/// # Errors
/// `Unsupported` by name for what cannot be replayed: a log of Windows 7 or Server 2008 R2, an operation
/// of which no recovery by Windows has shown what it does, a Windows that hibernates. `Corrupt` for a log
/// that is damaged, or is not of this volume.
pub fn replay(device: &DiskMut) -> Result<bool> {
    log::replay(device)
}

/// Opens a volume for reading and writing; whether it may be written is said by `begin`.
///
/// # Errors
/// As [`open`].
pub fn open_mut(device: DiskMut) -> Result<Box<dyn FileSystemMut>> {
    Ok(Box::new(Writable::new(read::Ntfs::open(device.disk())?, device)))
}
