//! Recovery: what a file system needs that was not unmounted.

mod intents;
mod leftovers;

use block::{DiskMut, Overlay};
use vfs::Result;

use crate::change::Change;
use crate::log::{Log, Replay};
use crate::{Xfs, bytes::wide};

/// What recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Transactions of the log that were carried out.
    pub transactions: u64,
    /// Buffers that they changed, new inodes included.
    pub buffers: u64,
    /// Inodes that they changed.
    pub inodes: u64,
    /// Quotas that they changed.
    pub quotas: u64,
    /// Changes that were left out because a later transaction cancelled the buffer.
    pub cancelled: u64,
    /// Changes that were left out because what is on the volume is newer.
    pub newer: u64,
    /// Operations of several transactions that were finished.
    pub intents: u64,
    /// Inodes without a name that were removed, with their content.
    pub deleted: u64,
    /// Runs of blocks that were set aside for copies on write and were freed.
    pub staged: u64,
}

/// Does what Linux does when it mounts a file system that was not unmounted: replays the log, finishes what
/// was begun, removes the inodes without a name, and leaves the log clean. `None` if there is nothing to do.
/// After an error `device` is as it was.
///
/// # Errors
/// `Unsupported` by name for what cannot be recovered here: an external log, one of another byte order or
/// with features in use, unfinished changes of attributes, and volumes that we do not write. `Corrupt` for a
/// log that Linux would not replay either.
pub fn replay(device: &DiskMut) -> Result<Option<Replayed>> {
    let fs = crate::open(device.disk())?;
    let log = Log::open(&device.disk(), &fs.sb)?;
    let ends = log.ends()?;
    if ends.clean {
        return Ok(None);
    }
    fs.sb.features.check_writable()?;
    let overlay = Overlay::new(device.disk())?;
    let writer = overlay.writer();
    let Replay { mut replayed, intents } = crate::log::replay(&log, &ends, &writer)?;
    // The log may have had a newer superblock.
    let mut fs = crate::open(overlay.disk())?;
    fs.sb.features.check_writable()?;
    let mut change = Change::recover(&mut fs, &writer)?;
    change.recount()?;
    replayed.intents = wide(intents.len());
    for intent in intents {
        change.finish_intent(intent)?;
    }
    replayed.deleted = change.remove_nameless()?;
    replayed.staged = change.free_staged()?;
    change.finish()?;
    log.write_unmount(&ends, &writer)?;
    overlay.merge_into(device)?;
    tracing::debug!(?replayed, "recovered");
    Ok(Some(replayed))
}

impl Xfs {
    /// Whether the log must be replayed before anything else. Of one that is elsewhere nobody knows.
    pub(crate) fn needs_recovery(&self) -> Result<bool> {
        match self.sb.log {
            Some(_) => Ok(!Log::open(self.blocks.disk(), &self.sb)?.ends()?.clean),
            None => Ok(false),
        }
    }
}

impl Change<'_> {
    /// Counts inodes and free blocks anew, as the headers of the groups have them: the log does not.
    fn recount(&mut self) -> Result<()> {
        let (mut inodes, mut free_inodes, mut free_blocks) = (0_u64, 0_u64, 0_u64);
        for ag in 0..self.fs.sb.ag_count {
            let group = self.fs.group(ag)?;
            inodes = inodes.saturating_add(group.agi.count.into());
            free_inodes = free_inodes.saturating_add(group.agi.free_count.into());
            let blocks =
                [group.agf.free_blocks.into(), group.agf.tree_blocks.into(), wide(group.free_list.len())];
            free_blocks = blocks.into_iter().fold(free_blocks, u64::saturating_add);
        }
        let sb = &mut self.fs.sb;
        (sb.inodes, sb.free_inodes, sb.free_blocks) = (inodes, free_inodes, free_blocks);
        Ok(())
    }
}
