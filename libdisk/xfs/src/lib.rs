//! XFS, read and written.
//!
//! Written from "XFS Algorithms & Data Structures" (the xfsprogs documentation; its chapter names are quoted
//! throughout) and its field names.
//!
//! # Model
//!
//! [`Xfs`] reads: the superblock is in memory, everything else is read when asked for, and every checksum is
//! verified. [`XfsMut`] adds changes: one stages the metadata it edits and writes content to an overlay of
//! its own, so dropping it needs no undoing. Content is always replaced as a whole and mappings are always
//! built anew; so are a directory and a set of attributes that were changed. Only the trees of a group are
//! edited in place, and one implementation does that for all of them.
//!
//! Times come from the caller, never from a clock. What a change writes carries no log sequence number (0 is
//! older than any), so nothing runs ahead of the log, and the log stays as clean as it was. Quotas are not
//! counted here: a change takes back the mark that says they are right, as xfs_repair does, and the kernel
//! counts them when it mounts next.
//!
//! # What is not here
//!
//! A log writer: the device below is an overlay. A file system that needs recovery can be read (as it is
//! without) but not written before [`replay`] has recovered it. Realtime sections, external logs, parent
//! pointers, names without case, and features we do not know are refused by name. Chunks of inodes with parts
//! missing are used and freed, but new chunks are always whole.
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

mod ag;
mod attr;
mod bmap;
mod btree;
mod bytes;
mod change;
mod checksum;
mod chunk;
mod content;
mod da;
mod dir;
mod extent;
mod features;
mod fork;
mod inode;
mod log;
mod read;
mod recovery;
mod refcount;
mod rmap;
mod space;
mod superblock;
mod symlink;
mod transaction;

use std::collections::BTreeMap;

use block::{Disk, DiskMut};
use vfs::{Blocks, Driver, Editable, Result, Transaction, Writable};

use ag::Group;
use change::Change;
use dir::Directory;
use superblock::Superblock;

pub use recovery::{Replayed, replay};

/// A file system opened for reading.
#[derive(Debug)]
pub struct Xfs {
    blocks: Blocks<Superblock>,
    sb: Superblock,
    /// The headers of the groups that a change has loaded.
    groups: BTreeMap<u32, Group>,
    /// The directories that a change has edited.
    directories: BTreeMap<u64, Directory>,
}

/// A file system opened over a writable device.
pub type XfsMut = Writable<Xfs>;

/// Its line in the table of file systems.
pub static DRIVER: Driver = Driver {
    name: "xfs",
    probe,
    open: |disk| Ok(Box::new(open(disk)?)),
    open_mut: |device| Ok(Box::new(open_mut(device)?)),
    replay: |device| Ok(replay(device)?.is_some()),
    open_subvolume: None,
};

/// Whether the device carries the magic number of XFS.
///
/// # Errors
/// What the device reports.
pub fn probe(disk: &Disk) -> Result<bool> {
    superblock::probe(disk)
}

/// Opens a file system for reading. One that needs recovery is read as it is without it.
///
/// # Errors
/// `Unsupported` for features we cannot read, `Corrupt` for a superblock that makes no sense.
pub fn open(disk: Disk) -> Result<Xfs> {
    let sb = Superblock::read(&disk)?;
    tracing::debug!(blocks = sb.blocks, groups = sb.ag_count, "opened");
    Ok(Xfs {
        blocks: Blocks::new(disk, sb.clone()),
        sb,
        groups: BTreeMap::new(),
        directories: BTreeMap::new(),
    })
}

/// Opens a file system for reading and writing; whether it may be written is said by `begin`.
///
/// # Errors
/// As [`open`].
pub fn open_mut(device: DiskMut) -> Result<XfsMut> {
    Ok(Writable::new(open(device.disk())?, device))
}

impl Editable for Xfs {
    fn begin_on<'a>(&'a mut self, device: &'a DiskMut) -> Result<Box<dyn Transaction + 'a>> {
        Ok(Box::new(Change::begin(self, device)?))
    }
}
