//! Restart pages: the two at the head of a log, which say whether work is pending and where the last checkpoint
//! is (linux-ntfs documentation, "$LogFile").

use vfs::bytes::{index, le16, le32, le64, part, wide};
use vfs::{FsError, Result};

use super::refused;
use crate::fixup;

/// Nobody has the log open.
const NO_CLIENT: u16 = 0xffff;
/// The volume was dismounted.
const CLEAN: u16 = 2;

/// Bytes of a page of the log, and of the system that wrote it.
const PAGE: usize = 4096;
/// Bytes of an entry of the table of clients.
const CLIENT: usize = 0xa0;
/// The name of the only client there is: "NTFS".
const NTFS: &[u8] = b"N\0T\0F\0S\0";

/// Bytes from the start of a log in which both restart pages lie.
pub(crate) const RESTART: usize = 2 * PAGE;

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

/// A restart page.
#[derive(Debug)]
pub(crate) struct Restart {
    /// The last record when the page was written.
    pub(crate) current: u64,
    pub(crate) version: (u16, u16),
    done: bool,
    /// The page, its update sequence taken off, and where its restart area begins.
    page: Vec<u8>,
    area: usize,
}

/// What is needed to find the records of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Bytes of the log.
    pub(crate) size: u64,
    /// Bits of a sequence number that say where in the log its record is, in units of eight bytes.
    pub(crate) offset_bits: u32,
    /// Bytes of a page's head.
    pub(crate) head: usize,
    /// The last checkpoint.
    pub(crate) checkpoint: u64,
}

fn read(page: &[u8]) -> Result<Restart> {
    let size = index(le32(page, 16)?).min(page.len());
    let mut page = part(page, 0, size)?.to_vec();
    fixup::take_off(&mut page, *b"RSTR", "restart page", 0)?;
    let start = usize::from(le16(&page, 24)?);
    let area = page.get(start..).unwrap_or_default();
    let done = le16(area, 12)? == NO_CLIENT || le16(area, 14)? & CLEAN != 0;
    let version = (le16(&page, 28)?, le16(&page, 26)?);
    Ok(Restart { current: le64(area, 0)?, version, done, area: start, page })
}

/// The newer of the restart pages that can be read.
pub(crate) fn newest(head: &[u8]) -> Option<Restart> {
    let pages = [0, PAGE].into_iter().filter_map(|at| read(head.get(at..)?.get(..PAGE)?).ok());
    pages.max_by_key(|page| page.current)
}

/// The state of a log whose first [`RESTART`] bytes are given.
pub(crate) fn state(head: &[u8]) -> LogState {
    if head.iter().all(|byte| *byte == 0xff) {
        return LogState::Empty;
    }
    match newest(head) {
        None => LogState::Unreadable,
        Some(Restart { version, done: true, .. }) => LogState::Clean { version },
        Some(Restart { version, done: false, .. }) => LogState::Pending { version },
    }
}

impl Restart {
    /// The layout of a log whose stream has `stored` bytes.
    ///
    /// # Errors
    /// `Unsupported` for a layout that is not known, `Corrupt` for one that is none.
    pub(crate) fn layout(&self, stored: u64) -> Result<Layout> {
        let corrupt = |why: String| FsError::corrupt("restart area", 0, why);
        let (system_page, page) = (le32(&self.page, 16)?, le32(&self.page, 20)?);
        if (index(system_page), index(page)) != (PAGE, PAGE) {
            let why = format!("its pages have {system_page} and {page} bytes");
            return Err(refused(why));
        }
        let area = self.page.get(self.area..).unwrap_or_default();
        let (clients, used) = (le16(area, 8)?, le16(area, 12)?);
        if used >= clients {
            return Err(corrupt(format!("client {used} of {clients} has the log open")));
        }
        let at = usize::from(le16(area, 22)?).checked_add(usize::from(used).saturating_mul(CLIENT));
        let client = part(area, at.unwrap_or(usize::MAX), CLIENT)?;
        if index(le32(client, 28)?) != NTFS.len() || part(client, 32, NTFS.len())? != NTFS {
            return Err(refused("its client is not NTFS"));
        }
        let size = le64(area, 24)?;
        let offset_bits = 64_u32.checked_sub(le32(area, 16)?).filter(|bits| (9..=60).contains(bits));
        let offset_bits = offset_bits.ok_or_else(|| corrupt("its sequence numbers have no place".into()))?;
        let reach = 8_u64.checked_shl(offset_bits).filter(|reach| *reach >= size);
        let whole = size.is_multiple_of(wide(PAGE)) && size <= stored;
        if reach.is_none() || !whole {
            return Err(corrupt(format!("the log has {size} bytes, and {stored} are stored")));
        }
        let head = usize::from(le16(area, 38)?);
        if !(0x40..PAGE / 2).contains(&head) || !head.is_multiple_of(8) {
            return Err(corrupt(format!("the head of a page has {head} bytes")));
        }
        Ok(Layout { size, offset_bits, head, checkpoint: le64(client, 8)? })
    }
}
