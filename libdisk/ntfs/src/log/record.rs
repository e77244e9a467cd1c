//! Records of a log: read by their numbers, across the ends of pages (rust-fs-ntfs, "LFS record and NTFS client
//! data").

use vfs::Result;
use vfs::bytes::{index, le16, le32, le64, part};

use super::page::{Log, PAGE, corrupt};

/// Bytes of a record's head.
const HEAD: usize = 0x30;
/// A record has no more bytes: four tables of 65,535 entries would.
const LARGEST: usize = 4 << 20;
/// What is missing of the data for redo is zeros.
const ZEROS: u16 = 4;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It tells of a change.
    Change,
    /// It is a checkpoint.
    Checkpoint,
    /// No other is known.
    Other(u32),
}

/// A record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) lsn: u64,
    /// The record behind it, if there is one.
    pub(super) next: u64,
    /// The change of the same transaction that is to be taken back after this one; 0 for none.
    pub(super) undo_next: u64,
    pub(super) kind: Kind,
    pub(super) transaction: u32,
    /// What is missing of the data for redo is zeros.
    pub(super) zeros: bool,
    pub(super) data: Vec<u8>,
}

impl Log<'_> {
    /// A record; `None` if it is not there, or not whole.
    pub(super) fn record(&self, lsn: u64) -> Result<Option<Record>> {
        let Some(at) = self.offset(lsn) else { return Ok(None) };
        let mut inside = index(at % PAGE);
        let mut page = at.saturating_sub(at % PAGE);
        if inside < self.layout.head {
            return Ok(None);
        }
        let head = self.page(page, lsn, |bytes| part(bytes, inside, HEAD).map(<[u8]>::to_vec))?;
        let Some(Ok(head)) = head else { return Ok(None) };
        if le64(&head, 0)? != lsn {
            return Ok(None);
        }
        let len = index(le32(&head, 24)?);
        if len > LARGEST || len > index(self.layout.size) {
            return Err(corrupt(lsn, format!("a record says that it has {len} bytes")));
        }
        inside = inside.saturating_add(HEAD);
        let mut lap = self.lap(lsn);
        let mut data = Vec::new();
        loop {
            let left = index(PAGE).saturating_sub(inside).min(len.saturating_sub(data.len()));
            let take = |bytes: &[u8]| part(bytes, inside, left).map(|found| data.extend_from_slice(found));
            let Some(taken) = self.page(page, lsn, take)? else { return Ok(None) };
            taken?;
            inside = inside.saturating_add(left);
            if data.len() >= len {
                break;
            }
            (page, lap) = self.step(page, lap);
            inside = self.layout.head;
        }
        // The next one begins at a multiple of eight, where its head fits.
        inside = inside.div_ceil(8).saturating_mul(8);
        if index(PAGE).saturating_sub(inside) < HEAD {
            (page, lap) = self.step(page, lap);
            inside = self.layout.head;
        }
        let next = self.lsn(lap, page.saturating_add(vfs::bytes::wide(inside)));
        let kind = match le32(&head, 32)? {
            1 => Kind::Change,
            2 => Kind::Checkpoint,
            other => Kind::Other(other),
        };
        Ok(Some(Record {
            lsn,
            next: next.ok_or_else(|| corrupt(lsn, "the numbers of records have ended"))?,
            undo_next: le64(&head, 16)?,
            kind,
            transaction: le32(&head, 36)?,
            zeros: le16(&head, 40)? & ZEROS != 0,
            data,
        }))
    }

    fn step(&self, page: u64, lap: u64) -> (u64, u64) {
        let (next, wrapped) = self.behind(page);
        (next, lap.saturating_add(wrapped.into()))
    }

    /// A record that must be there.
    pub(super) fn needed(&self, lsn: u64) -> Result<Record> {
        self.record(lsn)?.ok_or_else(|| corrupt(lsn, "there is no record that can be read"))
    }

    /// Calls for each record from one on, up to the end of the log, and gives the last one's number.
    pub(super) fn each(&self, first: u64, mut each: impl FnMut(&Record) -> Result<()>) -> Result<u64> {
        let mut record = self.needed(first)?;
        // No more than two laps can be there: one in the ring, and copies of its pages.
        let mut left = self.layout.size.saturating_mul(2);
        loop {
            each(&record)?;
            let read = vfs::bytes::wide(record.data.len().saturating_add(HEAD));
            left = left.checked_sub(read).ok_or_else(|| corrupt(record.lsn, "the log has no end"))?;
            match self.record(record.next)? {
                Some(next) if next.lsn > record.lsn => record = next,
                _ => break,
            }
        }
        self.ends_with(record.lsn)?;
        Ok(record.lsn)
    }
}
