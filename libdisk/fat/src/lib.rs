//! FAT12, FAT16 and FAT32 with long names, as found on EFI system partitions and boot partitions.
//!
//! Written from *Microsoft Extensible Firmware Initiative FAT32 File System Specification*, version 1.03
//! (2000), cited as "FAT spec", and ECMA-107. Where they are silent we do as the common writers (Windows,
//! Linux, mtools) do; that is said in place.
//!
//! # What the format lacks
//!
//! There are no owners and no modes: all nodes belong to root with mode 0755 (0555 for read-only files), and
//! `set_owner` is accepted and does nothing. Symbolic links, hard links and extended attributes are
//! `Unsupported`. Times are whole, even seconds from 1980 to 2107, taken as UTC. Names are UTF-8 outside and
//! UTF-16 on the volume; upper and lower case are the same, and a lookup finds short aliases
//! ("LONGNA~1.TXT"), too.
//!
//! # Nodes
//!
//! A node is its short directory entry, for an empty file has nothing else. A [`NodeId`](vfs::NodeId) is the
//! entry's place on the volume, counted in entries of 32 bytes; 0 is the root, which has none. A rename moves
//! the entry but the node keeps its number as long as the file system is open.
//!
//! # Writing
//!
//! [`open_mut`] first walks the whole tree and refuses a volume in which cluster chains meet or run in
//! circles: freeing one file would break another. A transaction works on a nested overlay; its commit brings
//! all copies of the table up to date, counts the free clusters, marks the volume as clean, and only then
//! hands the writes down.

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

mod allocate;
mod boot_sector;
mod check;
mod directory;
mod entry;
mod name;
mod nodes;
mod read;
mod table;
mod time;
mod transaction;

use block::{Disk, DiskMut};
use vfs::bytes::index as to_usize;
use vfs::{Driver, Result, Writable};

use boot_sector::BootSector;
use read::Volume;

/// An open FAT file system.
#[derive(Debug)]
pub struct Fat {
    volume: Volume,
}

/// A FAT file system open for writing.
pub type FatMut = Writable<Fat>;

/// Its line in the table of file systems.
pub static DRIVER: Driver = Driver {
    name: "FAT",
    probe,
    open: |disk| Ok(Box::new(open(disk)?)),
    open_mut: |device| Ok(Box::new(open_mut(device)?)),
    replay: |_| Ok(false),
    open_subvolume: None,
};

/// Whether the volume begins with the boot sector of a FAT file system. It may still be one that [`open`]
/// refuses.
///
/// # Errors
/// What the device reports.
pub fn probe(disk: &Disk) -> Result<bool> {
    boot_sector::probe(disk)
}

/// Opens a volume for reading.
///
/// # Errors
/// `Corrupt` if the boot sector contradicts itself or the size of the device, `Unsupported` for a version of
/// FAT32 other than 0.0.
pub fn open(disk: Disk) -> Result<Fat> {
    Ok(Fat { volume: Volume::new(BootSector::read(&disk)?, disk) })
}

/// Opens a volume for writing.
///
/// # Errors
/// As [`open`]; `Corrupt`, too, if cluster chains meet or run in circles.
pub fn open_mut(device: DiskMut) -> Result<FatMut> {
    let fat = open(device.disk())?;
    check::check(&fat.volume)?;
    Ok(Writable::new(fat, device))
}
