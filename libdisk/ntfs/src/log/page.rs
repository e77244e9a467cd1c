//! Record pages: the ring of pages in which the records of a log are.
//!
//! In version 2 the newest pages are first written to the pages between the restart pages and the ring, so each
//! page of the ring may have copies there, and the newest copy counts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use vfs::bytes::{index, le32, le64};
use vfs::{FsError, Result};

use super::refused;
use super::restart::{self, Layout, Restart};
use crate::fixup;
use crate::stream::Stream;
use crate::volume::Volume;

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// Pages between the restart pages and the ring.
const COPIES: u64 = 32;
/// Where the ring begins.
pub(super) const FIRST: u64 = (2 + COPIES) * PAGE;
/// The log is no longer than so many bytes.
const LARGEST: u64 = 4 << 30;
/// A record ends in the page.
const RECORD_ENDS: u32 = 1;
/// Pages of the ring that are kept in memory.
const KEPT: usize = 256;
/// Pages behind the end of the log that are looked at: if one of them is newer than the end, then the end is
/// damage.
const BEHIND: u64 = 256;

/// A page that was written whole.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    /// The last record that is in it, wholly or in part.
    last: u64,
    /// The last record that ends in it; 0 if none does.
    end: u64,
    /// Where in the ring it belongs.
    home: u64,
}

/// A log of which records can be read.
#[derive(Debug)]
pub(crate) struct Log<'v> {
    volume: &'v Volume,
    stream: Stream,
    pub(super) layout: Layout,
    current: u64,
    copies: Vec<Page>,
    ring: RefCell<HashMap<u64, Option<Arc<Page>>>>,
}

pub(super) fn corrupt(lsn: u64, why: impl std::fmt::Display) -> FsError {
    FsError::corrupt("$LogFile", 0, format!("at LSN {lsn:#x}, {why}"))
}

impl<'v> Log<'v> {
    /// The log of a volume in which work is pending.
    ///
    /// # Errors
    /// `Unsupported` for a version or a layout that is not known; `Corrupt`.
    pub(crate) fn open(volume: &'v Volume) -> Result<Self> {
        let missing = || FsError::corrupt("$LogFile", 0, "it has no content");
        let stream = super::stream(volume)?.ok_or_else(missing)?;
        if stream.size() > LARGEST {
            let why = format!("it has {} bytes, and no log has more than 4 GiB", stream.size());
            return Err(FsError::corrupt("$LogFile", 0, why));
        }
        let mut head = vec![0; restart::RESTART.min(index(stream.size()))];
        stream.read(&volume.disk, &volume.boot, &mut head, 0)?;
        let unreadable = || FsError::corrupt("$LogFile", 0, "neither of its restart pages can be read");
        let restart: Restart = restart::newest(&head).ok_or_else(unreadable)?;
        if restart.version.0 != 2 {
            let (major, minor) = restart.version;
            return Err(refused(format!(
                "it is of version {major}.{minor}, as Windows 7 and Server 2008 R2 write it"
            )));
        }
        let layout = restart.layout(stream.size())?;
        if layout.size < FIRST.saturating_add(PAGE) {
            return Err(FsError::corrupt("$LogFile", 0, format!("it has {} bytes", layout.size)));
        }
        let ring = RefCell::default();
        let mut log = Self { volume, stream, layout, current: restart.current, copies: Vec::new(), ring };
        for at in (2 * PAGE..FIRST).step_by(index(PAGE)) {
            log.copies.extend(log.read(at)?);
        }
        Ok(log)
    }

    /// The page at a place; `None` if it was not written whole.
    fn read(&self, at: u64) -> Result<Option<Page>> {
        let mut bytes = vec![0; index(PAGE)];
        let len = self.stream.read(&self.volume.disk, &self.volume.boot, &mut bytes, at)?;
        if len < bytes.len() || fixup::take_off(&mut bytes, *b"RCRD", "record page", at).is_err() {
            return Ok(None);
        }
        let end = if le32(&bytes, 16)? & RECORD_ENDS == 0 { 0 } else { le64(&bytes, 32)? };
        let home = if at < FIRST { u64::from(le32(&bytes, 60)?) } else { at };
        Ok(Some(Page { last: le64(&bytes, 8)?, end, home, bytes }))
    }

    /// A page of the ring as it is in its place.
    fn in_ring(&self, at: u64) -> Result<Option<Arc<Page>>> {
        if let Some(page) = self.ring.borrow().get(&at) {
            return Ok(page.clone());
        }
        let page = self.read(at)?.map(Arc::new);
        let mut ring = self.ring.borrow_mut();
        if ring.len() >= KEPT {
            ring.clear();
        }
        ring.insert(at, page.clone());
        Ok(page)
    }

    /// Looks into the newest copy of a page of the ring; `None` if none has the record, or what is newer.
    ///
    /// # Errors
    /// `Corrupt` if two copies are as new as each other and differ, and the page itself is older.
    pub(super) fn page<T>(&self, at: u64, lsn: u64, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let home = self.in_ring(at)?.filter(|page| page.last >= lsn);
        let of_it = |copy: &&Page| copy.home == at && copy.last >= lsn;
        let Some(newest) = self.copies.iter().filter(of_it).max_by_key(|copy| copy.last) else {
            return Ok(home.map(|page| look(&page.bytes)));
        };
        if let Some(page) = home.filter(|page| page.last >= newest.last) {
            return Ok(Some(look(&page.bytes)));
        }
        let content = |copy: &Page| copy.bytes.get(self.layout.head..).map(<[u8]>::to_vec);
        let mut equal = self.copies.iter().filter(of_it).filter(|copy| copy.last == newest.last);
        if equal.any(|copy| content(copy) != content(newest)) {
            return Err(corrupt(lsn, format!("two copies of the page at {at:#x} are as new, and differ")));
        }
        Ok(Some(look(&newest.bytes)))
    }

    /// The page of the ring behind one; whether that is on the next lap.
    pub(super) fn behind(&self, at: u64) -> (u64, bool) {
        match at.checked_add(PAGE) {
            Some(next) if next < self.layout.size => (next, false),
            _ => (FIRST, true),
        }
    }

    /// Whether the log ends with a record: nothing that is newer is known.
    ///
    /// # Errors
    /// `Corrupt` if it goes on.
    pub(super) fn ends_with(&self, lsn: u64) -> Result<()> {
        let mut newest = self.copies.iter().map(|copy| copy.end).max().unwrap_or(0).max(self.current);
        let mut at = self.offset(lsn).map_or(FIRST, |at| at.saturating_sub(at % PAGE));
        for _ in 0..BEHIND.min(self.layout.size / PAGE) {
            newest = newest.max(self.in_ring(at)?.map_or(0, |page| page.end));
            (at, _) = self.behind(at);
        }
        if newest > lsn {
            let why = format!("a page cannot be read, and records up to LSN {newest:#x} are behind it");
            return Err(corrupt(lsn, why));
        }
        Ok(())
    }

    /// Where in the log a record is, if in the ring.
    pub(super) fn offset(&self, lsn: u64) -> Option<u64> {
        let units = lsn & low_bits(self.layout.offset_bits);
        units.checked_mul(8).filter(|at| (FIRST..self.layout.size).contains(at))
    }

    /// The number of a record at a place, on a lap.
    pub(super) fn lsn(&self, lap: u64, offset: u64) -> Option<u64> {
        let fits = lap.leading_zeros() >= self.layout.offset_bits;
        fits.then(|| (lap << self.layout.offset_bits) | (offset / 8))
    }

    /// How often the log had been filled when a record was written.
    pub(super) fn lap(&self, lsn: u64) -> u64 {
        lsn >> self.layout.offset_bits
    }

    /// The content of the log, to be reset.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }
}

fn low_bits(bits: u32) -> u64 {
    1_u64.checked_shl(bits).map_or(u64::MAX, |bit| bit.wrapping_sub(1))
}
