//! A change in the making: what all verbs share, and how it ends.

use std::collections::BTreeMap;

use block::{Disk, DiskMut, Overlay};
use vfs::{Blocks, FsError, Result};

use crate::Xfs;
use crate::ag::Group;

/// A change in the making.
///
/// Metadata are staged in memory, content goes to an overlay of this change's own; nothing reaches the device
/// before [`finish`](Self::finish).
pub(crate) struct Change<'a> {
    /// The file system as it is without this change, and where it is.
    target: &'a mut Xfs,
    device: &'a DiskMut,
    overlay: Overlay,
    pub(crate) writer: DiskMut,
    /// The file system as this change sees it.
    pub(crate) fs: Xfs,
    /// A verb failed half way: there is nothing to finish.
    failed: bool,
}

impl<'a> Change<'a> {
    /// Starts a change, if this file system may be written at all.
    pub(crate) fn begin(target: &'a mut Xfs, device: &'a DiskMut) -> Result<Self> {
        target.sb.features.check_writable()?;
        if target.sb.log.is_none() {
            return Err(FsError::unsupported("writing to XFS with an external log"));
        }
        if target.needs_recovery()? {
            return Err(FsError::unsupported(
                "writing to XFS that was not unmounted: its log must be replayed first",
            ));
        }
        Self::recover(target, device)
    }

    /// Starts a change of a file system that must be recovered before it may be written.
    pub(crate) fn recover(target: &'a mut Xfs, device: &'a DiskMut) -> Result<Self> {
        let overlay = Overlay::new(device.disk())?;
        let fs = target.over(overlay.disk());
        let writer = overlay.writer();
        Ok(Self { target, device, overlay, writer, fs, failed: false })
    }

    /// Runs a verb; after an error there is nothing more to do here.
    pub(crate) fn attempt<T>(&mut self, verb: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.failed {
            return Err(FsError::Invalid("an earlier step of this transaction failed".into()));
        }
        let answer = verb(self);
        self.failed = answer.is_err();
        answer
    }

    /// Writes everything to the device.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.failed {
            return Err(FsError::Invalid("a step of this transaction failed".into()));
        }
        self.write_directories()?;
        self.fs.blocks.write_staged(&self.writer)?;
        let fs = &mut self.fs;
        for group in fs.groups.values_mut() {
            for (place, sector) in group.encode(&fs.sb)? {
                self.writer.write_at(&sector, place)?;
            }
        }
        if fs.sb.has_quota() {
            fs.sb.forget_quota_counts();
        }
        self.writer.write_at(fs.sb.encode()?, 0)?;
        self.overlay.merge_into(self.device)?;
        *self.target = self.fs.over(self.device.disk());
        Ok(())
    }

    /// The headers of a group, which will be written.
    pub(crate) fn edit_group(&mut self, number: u32) -> Result<&mut Group> {
        if !self.fs.groups.contains_key(&number) {
            let group = self.fs.group(number)?;
            self.fs.groups.insert(number, group);
        }
        self.fs.groups.get_mut(&number).ok_or(FsError::NotFound)
    }
}

impl Xfs {
    /// The same file system, read from another device.
    fn over(&self, disk: Disk) -> Self {
        Self {
            blocks: Blocks::new(disk, self.sb.clone()),
            sb: self.sb.clone(),
            groups: BTreeMap::new(),
            directories: BTreeMap::new(),
        }
    }
}
