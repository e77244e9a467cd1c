//! ext2, ext3 and ext4, read and written.
//!
//! Written from the kernel's documentation, `Documentation/filesystems/ext4` ("ext4 disk layout" below),
//! whose clause names and field names are used throughout.
//!
//! # Model
//!
//! [`Ext4`] reads: the superblock and all group descriptors are in memory, everything else is read when asked
//! for, and every checksum is verified. [`Ext4Mut`] adds changes: one stages the metadata it edits and writes
//! content to an overlay of its own, so dropping it needs no undoing. Content is always replaced as a whole
//! and mappings are always built anew, which is why there is no code that edits an extent tree in place.
//!
//! Times and generation numbers come from the caller and from the volume, never from a clock or from chance.
//!
//! # What is not here
//!
//! A journal writer: the device below is an overlay. A file system that needs recovery can be read (as it is
//! without) but not written before [`replay`] has recovered it; fast commits are refused there. Allocation in
//! clusters (`bigalloc`), quota files, encrypted, verity and case-folding inodes, and creating attribute
//! values in inodes of their own are refused by name. Backup superblocks and descriptors are left alone, as
//! the kernel leaves them.
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

mod acl;
mod alloc;
mod bitmap;
mod blockmap;
mod bytes;
mod change;
mod checksum;
mod dir;
mod extent;
mod features;
mod group;
mod inline;
mod inode;
mod journal;
mod mapping;
mod orphan;
mod read;
mod recovery;
mod superblock;
mod symlink;
mod transaction;
mod xattr;

use block::{Disk, DiskMut};
use vfs::{Blocks, Driver, Editable, FsError, Result, Transaction, Writable};

use change::Change;
use group::Group;
use superblock::Superblock;

pub use recovery::{Replayed, replay};

/// A file system opened for reading.
#[derive(Debug)]
pub struct Ext4 {
    blocks: Blocks<Superblock>,
    sb: Superblock,
    groups: Vec<Group>,
}

/// A file system opened over a writable device.
pub type Ext4Mut = Writable<Ext4>;

/// Its line in the table of file systems.
pub static DRIVER: Driver = Driver {
    name: "ext4",
    probe,
    open: |disk| Ok(Box::new(open(disk)?)),
    open_mut: |device| Ok(Box::new(open_mut(device)?)),
    replay: |device| Ok(replay(device)?.is_some()),
    open_subvolume: None,
};

/// Whether the device carries the magic number of ext2, ext3 and ext4.
///
/// # Errors
/// What the device reports.
pub fn probe(disk: &Disk) -> Result<bool> {
    Ok(superblock::find(disk)?.is_some())
}

/// Opens a file system for reading. One that needs recovery is read as it is without it.
///
/// # Errors
/// `Unsupported` for features we cannot read, `Corrupt` for a superblock or descriptors that make no sense.
pub fn open(disk: Disk) -> Result<Ext4> {
    let sb = Superblock::read(&disk)?;
    let groups = group::read_all(&disk, &sb)?;
    tracing::debug!(kind = sb.features.kind(), blocks = sb.blocks, groups = sb.groups, "opened");
    Ok(Ext4 { blocks: Blocks::new(disk, sb.clone()), sb, groups })
}

/// Opens a file system for reading and writing; whether it may be written is said by `begin`.
///
/// # Errors
/// As [`open`].
pub fn open_mut(device: DiskMut) -> Result<Ext4Mut> {
    Ok(Writable::new(open(device.disk())?, device))
}

impl Ext4 {
    fn group(&self, number: u32) -> Result<&Group> {
        let missing = || FsError::corrupt("group descriptor", 0, format!("there is no group {number}"));
        self.groups.get(bytes::index(number)).ok_or_else(missing)
    }
}

impl Editable for Ext4 {
    fn begin_on<'a>(&'a mut self, device: &'a DiskMut) -> Result<Box<dyn Transaction + 'a>> {
        Ok(Box::new(Change::begin(self, device)?))
    }
}
