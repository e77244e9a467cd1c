//! btrfs, read.
//!
//! Written from *Btrfs on-disk format* and the developer documentation at btrfs.readthedocs.io, whose
//! structure and field names are used throughout.
//!
//! # Model
//!
//! All addresses in the format are logical; chunks say where they are on which device. Everything is an item
//! in one of several trees: the root tree has the roots of the others, each subvolume has a tree of its own.
//! [`open`] reads the superblock and the chunks, the rest is read when asked for. Every checksum is verified,
//! of tree blocks and of data, and where there are two copies the other one is taken if one is damaged.
//!
//! # Subvolumes
//!
//! The root directory is that of the default subvolume, as for the kernel where no mount option says
//! otherwise; [`Btrfs::with_subvolume`] and [`Btrfs::with_subvolume_at`] are the options `subvolid` and
//! `subvol`. Subvolumes in a subvolume are directories. In a snapshot they are not there: it has an empty
//! directory of root's in the place of each.
//!
//! # What is not here
//!
//! Writing: [`open_mut`] says what to do instead. The log that `fsync` leaves is not replayed: what is shown
//! is the last commit, and the state is [`NeedsRecovery`](vfs::State::NeedsRecovery). Chunks of RAID5 and
//! RAID6, file systems some of whose devices are missing, and the features zoned, extent_tree_v2,
//! raid_stripe_tree and remap_tree are refused by name.
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

mod bytes;
mod checksum;
mod chunk;
mod compress;
mod content;
mod data;
mod dir;
mod features;
mod inode;
mod key;
mod node;
mod nodes;
mod read;
mod root;
mod space;
mod superblock;
mod tree;
mod volume;

use block::{Disk, DiskMut};
use vfs::{Driver, FsError, NodeId, Result};

use nodes::Place;
use volume::Volume;

pub use root::Subvolume;

/// A file system opened for reading, seen from one of its subvolumes.
#[derive(Debug)]
pub struct Btrfs {
    volume: Volume,
    root: NodeId,
}

/// Its line in the table of file systems.
pub static DRIVER: Driver = Driver {
    name: "btrfs",
    probe,
    open: |disk| Ok(Box::new(open(disk)?)),
    open_mut: |device| match open_mut(&device)? {},
    replay,
    open_subvolume: Some(|disk, path| Ok(Box::new(open(disk)?.with_subvolume_at(path)?))),
};

/// Whether the device carries the magic number of btrfs.
///
/// # Errors
/// What the device reports.
pub fn probe(disk: &Disk) -> Result<bool> {
    superblock::probe(disk)
}

/// Opens a file system on one device; its root is that of the default subvolume. One with a log is read as it
/// is without it.
///
/// # Errors
/// `Unsupported` for features we cannot read and where devices are missing, `Corrupt` for superblocks and
/// chunks that make no sense.
pub fn open(disk: Disk) -> Result<Btrfs> {
    open_devices(vec![disk])
}

/// Opens a file system on several devices, given in any order.
///
/// # Errors
/// As [`open`]; `Invalid` if the devices do not belong together.
pub fn open_devices(disks: Vec<Disk>) -> Result<Btrfs> {
    let volume = Volume::open(disks)?;
    let tree = volume.default_subvolume()?;
    tracing::debug!(generation = volume.sb.generation, tree, "opened");
    let root = Place::Inode { tree, number: key::ROOT_DIR }.node()?;
    Ok(Btrfs { volume, root })
}

/// Why a file system is not written, and what to do instead.
const NOT_WRITTEN: &str = "writing to btrfs; make the changes in the running guest before the migration, or mount the image on Linux";

/// Refuses to write, for that is not there.
///
/// # Errors
/// As [`open`]; else `Unsupported`, with what to do instead.
pub fn open_mut(device: &DiskMut) -> Result<std::convert::Infallible> {
    open(device.disk())?;
    Err(FsError::unsupported(NOT_WRITTEN))
}

/// Refuses to replay a log, for that is not there. Says that there is nothing to do where there is no log.
///
/// # Errors
/// As [`open`]; `Unsupported` if there is a log, with what to do instead.
pub fn replay(device: &DiskMut) -> Result<bool> {
    if open(device.disk())?.volume.sb.has_log() {
        let what =
            "replaying the log of btrfs (what was synced since the last commit); mount it once on Linux";
        return Err(FsError::unsupported(what));
    }
    Ok(false)
}

impl Btrfs {
    /// All subvolumes and snapshots by their numbers, the one at the top first.
    ///
    /// # Errors
    /// `Corrupt`, and what the device reports.
    pub fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        self.volume.subvolumes()
    }

    /// The number of the subvolume whose root directory is the root.
    pub fn subvolume(&self) -> u64 {
        match Place::of(self.root) {
            Place::Inode { tree, .. } | Place::Stub { tree, .. } => tree,
        }
    }
}
