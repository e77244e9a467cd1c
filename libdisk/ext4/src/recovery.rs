//! Recovery: what a file system needs that was not unmounted, or frozen while files were being removed.

use block::{DiskMut, Overlay};
use vfs::{Result, State};

use crate::change::Change;
use crate::features::incompat;
use crate::journal::Log;

/// What recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Transactions of the journal that were carried out.
    pub transactions: u64,
    /// Blocks that they wrote.
    pub blocks: u64,
    /// Blocks that they did not write because a later transaction revoked them.
    pub revoked: u64,
    /// Inodes without a name that were removed, with their content.
    pub deleted: u64,
    /// Files that were cut off at their size.
    pub truncated: u64,
}

/// Does what Linux does when it mounts a file system that was not unmounted: replays the journal, removes or
/// truncates the orphans, and leaves it clean. `None` if there is nothing to do. After an error `device` is
/// as it was.
///
/// # Errors
/// `Unsupported` by name for what cannot be recovered here: an external journal, fast commits, unknown
/// journal features, recorded errors, and volumes that we do not write. `Corrupt` for a journal that Linux
/// would not replay either.
pub fn replay(device: &DiskMut) -> Result<Option<Replayed>> {
    let fs = crate::open(device.disk())?;
    if fs.sb.state() != State::NeedsRecovery {
        return Ok(None);
    }
    fs.sb.check_recoverable()?;
    let mut replayed = Replayed::default();
    let overlay = Overlay::new(device.disk())?;
    let writer = overlay.writer();
    if fs.sb.incompat(incompat::RECOVER) {
        Log::read(&fs)?.replay(&fs, &writer, &mut replayed)?;
    }
    // The log may have had a newer superblock and newer descriptors.
    let mut fs = crate::open(overlay.disk())?;
    fs.sb.check_recoverable()?;
    let mut change = Change::recover(&mut fs, &writer)?;
    change.remove_orphans(&mut replayed)?;
    change.fs.sb.set_recovered();
    change.finish()?;
    overlay.merge_into(device)?;
    tracing::debug!(?replayed, "recovered");
    Ok(Some(replayed))
}
