//! The state of `$LogFile`: whether work is pending in it (linux-ntfs documentation, "$LogFile").

use vfs::Result;
use vfs::bytes::{index, le16, le32, le64, part};

use crate::fixup;

/// Nobody has the log open.
const NO_CLIENT: u16 = 0xffff;
/// The volume was dismounted.
const CLEAN: u16 = 2;

/// Bytes from the start of a log in which both restart pages lie.
pub(crate) const RESTART: usize = 2 * 4096;

/// What the log's restart pages say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogState {
    /// It was reset: it holds nothing.
    Empty,
    /// All is done.
    Clean {
        /// Of the log's format.
        version: (u16, u16),
    },
    /// Work is pending.
    Pending {
        /// Of the log's format.
        version: (u16, u16),
    },
    /// Neither restart page can be read.
    Unreadable,
}

/// What a restart page says: its sequence number, version, and whether all is done.
fn restart_page(page: &[u8]) -> Result<(u64, (u16, u16), bool)> {
    let size = index(le32(page, 16)?).min(page.len());
    let mut page = part(page, 0, size)?.to_vec();
    fixup::take_off(&mut page, *b"RSTR", "restart page", 0)?;
    let area = page.get(usize::from(le16(&page, 24)?)..).unwrap_or_default();
    let done = le16(area, 12)? == NO_CLIENT || le16(area, 14)? & CLEAN != 0;
    Ok((le64(area, 0)?, (le16(&page, 28)?, le16(&page, 26)?), done))
}

/// The state of a log whose first [`RESTART`] bytes are given.
pub(crate) fn state(head: &[u8]) -> LogState {
    if head.iter().all(|byte| *byte == 0xff) {
        return LogState::Empty;
    }
    let pages = [0, 4096].into_iter().filter_map(|at| restart_page(head.get(at..)?.get(..4096)?).ok());
    match pages.max_by_key(|(lsn, ..)| *lsn) {
        None => LogState::Unreadable,
        Some((_, version, true)) => LogState::Clean { version },
        Some((_, version, false)) => LogState::Pending { version },
    }
}
