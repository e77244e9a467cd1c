//! The two ends of the log: where it starts, and where the next record would go.
//!
//! Blocks before the head are of one round, those after it of the round before. Several records are on their
//! way at the same time, so that blocks just before the head may be missing, and the last records may be
//! torn.

use vfs::Result;

use super::record::Header;
use super::{BLOCK, IN_FLIGHT, Log, WINDOW, block_of, next_cycle};
use crate::bytes::{be32, byte, index, word};

/// `oh_flags`: the file system was unmounted.
pub(super) const UNMOUNT: u8 = 0x20;
/// Where the flags are in an operation's header.
const FLAGS_AT: usize = 9;

/// Where a log starts and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Where the next record goes, and in which round.
    pub(super) head: u32,
    pub(super) cycle: u32,
    /// The last record; `None` in a log that was never written.
    pub(super) last: Option<u32>,
    /// The first record of which not all may be on the volume.
    pub(super) tail: u32,
    /// Nothing is to be recovered.
    pub(crate) clean: bool,
}

impl Log {
    /// Finds the ends of the log.
    pub(crate) fn ends(&self) -> Result<Ends> {
        let Some(head) = self.written()? else {
            return Ok(Ends { head: 0, cycle: 1, last: None, tail: 0, clean: true });
        };
        let head = self.whole(head)?;
        let ends = self.before(head)?;
        if ends.clean {
            return Ok(ends);
        }
        match self.first_torn(&ends)? {
            Some(torn) => self.before(torn),
            None => Ok(ends),
        }
    }

    /// The first block that was not written in this round; `None` if none ever was.
    fn written(&self) -> Result<Option<u32>> {
        let end = self.blocks;
        let (first, last) = (self.cycle(0)?, self.cycle(end.saturating_sub(1))?);
        if first == 0 {
            return Ok(None);
        }
        if last == 0 && first != 1 {
            return Err(self.corrupt(0, "a log that was written once is not in its first round"));
        }
        let (mut from, mut to) = (0, end);
        let stale = if first == last { last.wrapping_sub(1) } else { last };
        while first != last && to.saturating_sub(from) > 1 {
            let middle = from.saturating_add(to.saturating_sub(from) >> 1);
            if self.cycle(middle)? == last { to = middle } else { from = middle }
        }
        // Holes just before the head.
        let span = WINDOW.min(end);
        let before = span.saturating_sub(to);
        if before > 0 && last != 0 {
            let start = end.saturating_sub(before);
            let older = stale.wrapping_sub(1);
            if let Some(at) = self.cycles(start, before)?.iter().position(|&cycle| cycle == older) {
                return Ok(Some(start.saturating_add(word(at))));
            }
        }
        let start = to.saturating_sub(span);
        let hole = self.cycles(start, to.saturating_sub(start))?.iter().position(|&cycle| cycle == stale);
        Ok(Some(hole.map_or(to, |at| start.saturating_add(word(at)))))
    }

    /// The end of the last record that has as many blocks as it says; `head` may be one past the last block.
    fn whole(&self, head: u32) -> Result<u32> {
        let head = self.after(head, 0);
        let last = self.header_before(head)?;
        let whole = last.is_some_and(|header| self.distance(header.block, head) == header.blocks());
        Ok(last.filter(|_| !whole).map_or(head, |header| header.block))
    }

    /// The last header before a block, which may be itself the first of the log.
    fn header_before(&self, block: u32) -> Result<Option<Header>> {
        let mut left = self.blocks;
        let mut end = block;
        while left > 0 {
            // No record is longer than this: most often one look is enough.
            let count = left.min(WINDOW >> 3);
            end = self.after(end, self.blocks.saturating_sub(count));
            let bytes = self.read(end, count)?;
            let is_header = |block: &[u8]| be32(block, 0).is_ok_and(|word| word == super::MAGIC);
            if let Some(at) = bytes.chunks_exact(index(BLOCK)).rposition(is_header) {
                return Header::read(self, self.after(end, word(at)));
            }
            left = left.saturating_sub(count);
        }
        Ok(None)
    }

    /// The first header from `block` on and before `head`.
    fn header_from(&self, block: u32, head: u32) -> Result<Option<Header>> {
        let mut at = block;
        for _ in 0..self.distance(block, head) {
            if let Some(header) = Header::read(self, at)? {
                return Ok(Some(header));
            }
            at = self.after(at, 1);
        }
        Ok(None)
    }

    /// What the last record before `head` says.
    fn before(&self, head: u32) -> Result<Ends> {
        let last = self.header_before(head)?.filter(Header::is_possible);
        let last = last.ok_or_else(|| self.corrupt(head, "there is no record before the end of the log"))?;
        let cycle = if head <= last.block { next_cycle(last.cycle) } else { last.cycle };
        let ends = Ends { head, cycle, last: Some(last.block), tail: head, clean: true };
        let tail = block_of(last.tail_lsn);
        if last.operations == 1 && self.after(last.block, last.blocks()) == head {
            let operations = last.load(self)?.operations()?;
            if byte(&operations, FLAGS_AT)? & UNMOUNT != 0 {
                return Ok(ends);
            }
        }
        if tail >= self.blocks {
            return Err(self.corrupt(last.block, "the log starts past its end"));
        }
        Ok(Ends { tail, clean: tail == head, ..ends })
    }

    /// The first of the last records that was not written as a whole.
    fn first_torn(&self, ends: &Ends) -> Result<Option<u32>> {
        let len = self.distance(ends.tail, ends.head);
        let mut at = ends.head;
        for _ in 0..IN_FLIGHT {
            match self.header_before(at)? {
                Some(header) if self.distance(header.block, ends.head) <= len => at = header.block,
                _ => break,
            }
        }
        self.first_damaged(at, ends.head)
    }

    /// The first record to be carried out. Records at the tail may have been overwritten by ones that were
    /// torn then.
    pub(super) fn start(&self, ends: &Ends) -> Result<u32> {
        let missing = |at: u32| self.corrupt(at, "the log does not start with a record");
        let last = ends.last.map_or(Ok(None), |block| Header::read(self, block))?;
        let reach = last.map_or(0, |last| last.size >> 9).saturating_mul(IN_FLIGHT);
        let mut start = self.header_from(ends.tail, ends.head)?.ok_or_else(|| missing(ends.tail))?.block;
        while let Some(damaged) = self.first_damaged(start, ends.head)? {
            if self.distance(ends.head, damaged) > reach {
                return Err(self.corrupt(damaged, "a record is damaged, and Linux would not mount it"));
            }
            let next = self.header_from(self.after(damaged, 1), ends.head)?;
            start = next.ok_or_else(|| missing(damaged))?.block;
        }
        Ok(start)
    }

    /// The first record between two that is damaged.
    fn first_damaged(&self, from: u32, head: u32) -> Result<Option<u32>> {
        let mut at = from;
        let mut left = self.distance(from, head);
        while left > 0 {
            let header = Header::read(self, at)?;
            let header = header.filter(|header| header.is_possible() && header.blocks() <= left);
            let Some(header) = header else { return Ok(Some(at)) };
            if header.load(self)?.is_whole()? == Some(false) {
                return Ok(Some(at));
            }
            left = left.saturating_sub(header.blocks());
            at = self.after(at, header.blocks());
        }
        Ok(None)
    }
}
