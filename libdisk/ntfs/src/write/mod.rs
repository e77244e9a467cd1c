//! A change in the making: what all verbs share, and how it ends.
//!
//! Everything goes to an overlay of this change's own, and is read from there again; nothing reaches the
//! device before [`Change::finish`].

mod bitmap;
mod content;
mod file;
mod index;
mod mft;
mod names;
mod record;
mod security;
mod transaction;

use block::{DiskMut, Overlay};
use vfs::{FsError, Result};

use crate::attribute::kind;
use crate::read::Ntfs;
use crate::stream::Stream;
use crate::volume::system;

/// A change in the making.
pub(crate) struct Change<'a> {
    /// The file system as it is without this change, and where it is.
    target: &'a mut Ntfs,
    device: &'a DiskMut,
    overlay: Overlay,
    writer: DiskMut,
    /// The file system as this change sees it.
    fs: Ntfs,
    /// The mirror of the first records, and how many they are.
    mirror: Stream,
    mirrored: u64,
    /// Where the next new cluster is looked for first.
    goal: u64,
    /// A verb failed half way: there is nothing to finish.
    failed: bool,
}

impl<'a> Change<'a> {
    /// Starts a change, if this volume may be written at all.
    pub(crate) fn begin(target: &'a mut Ntfs, device: &'a DiskMut) -> Result<Self> {
        target.check_writable()?;
        let overlay = Overlay::new(device.disk())?;
        let fs = target.over(overlay.disk())?;
        let record = fs.volume.file(system::MFT_MIRROR)?;
        let missing = || FsError::corrupt("$MFTMirr", 0, "it has no content");
        let mirror = fs.volume.stream(&record, kind::DATA, &[])?.ok_or_else(missing)?;
        let mirrored = mirror.size().checked_div(u64::from(fs.volume.boot.record_size)).unwrap_or(0);
        let writer = overlay.writer();
        // The first eighth is where Windows would have the master file table grow.
        let goal = fs.volume.boot.clusters.div_euclid(8);
        Ok(Self { target, device, overlay, writer, fs, mirror, mirrored, goal, failed: false })
    }

    /// Runs a verb; after an error there is nothing more to do here.
    fn attempt<T>(&mut self, verb: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.failed {
            return Err(FsError::Invalid("an earlier step of this transaction failed".into()));
        }
        let answer = verb(self);
        self.failed = answer.is_err();
        answer
    }

    /// Writes everything to the device.
    fn finish(self) -> Result<()> {
        if self.failed {
            return Err(FsError::Invalid("a step of this transaction failed".into()));
        }
        self.overlay.merge_into(self.device)?;
        *self.target = self.fs.over(self.device.disk())?;
        Ok(())
    }
}
