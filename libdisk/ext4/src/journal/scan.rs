//! Finding what the log holds: every transaction that was committed, up to the first that was not.

use vfs::Result;

use super::commit::{Commit, TransactionSum};
use super::superblock::Checksums;
use super::{Header, Journal, descriptor};
use crate::bytes::wide;

/// The blocks of a transaction, as block numbers of the journal.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) sequence: u32,
    pub(super) descriptors: Vec<u32>,
    pub(super) revokes: Vec<u32>,
}

/// What a log holds.
#[derive(Debug)]
pub(super) struct Scan {
    /// The committed transactions, oldest first.
    pub(super) transactions: Vec<Transaction>,
    /// The number of the first transaction that is not among them.
    pub(super) next: u32,
}

/// Walks a log.
struct Walk<'a> {
    journal: &'a Journal,
    /// The block to be read next.
    at: u32,
    /// Blocks that may still come: a log is no longer than itself.
    left: u32,
    /// The transaction whose commit block is still to come.
    open: Transaction,
    done: Vec<Transaction>,
    /// A checksum of the open transaction is wrong.
    suspect: bool,
    /// Over the open transaction.
    sum: TransactionSum,
    /// When the last transaction was committed.
    last_time: u64,
    /// The first transaction that an asynchronous commit left torn.
    torn: Option<u32>,
}

/// Scans the log from its start.
pub(super) fn scan(journal: &Journal, start: u32) -> Result<Scan> {
    let sb = &journal.sb;
    let mut walk = Walk {
        journal,
        at: start,
        left: sb.end.saturating_sub(sb.first),
        open: Transaction { sequence: sb.sequence(), ..Transaction::default() },
        done: Vec::new(),
        suspect: false,
        sum: TransactionSum::START,
        last_time: 0,
        torn: None,
    };
    while walk.step()? {}
    let next = walk.torn.unwrap_or(walk.open.sequence);
    Ok(Scan { transactions: walk.done, next })
}

impl Walk<'_> {
    /// Moves on by one block; where to, or `None` after as many blocks as the log has.
    fn advance(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let block = self.at;
        self.at = self.journal.next(block);
        Some(block)
    }

    /// Takes the next block of the journal's own; says whether the log goes on.
    fn step(&mut self) -> Result<bool> {
        let Some(block) = self.advance() else { return Ok(false) };
        let bytes = self.journal.read(block)?;
        let header = Header::parse(&bytes).filter(|header| header.sequence.get() == self.open.sequence);
        match header.and_then(Header::kind) {
            Some(Header::DESCRIPTOR) => {
                self.suspect |= !self.journal.has_valid_tail(&bytes)?;
                self.open.descriptors.push(block);
                self.content(&bytes)
            }
            Some(Header::REVOKE) => {
                self.suspect |= !self.journal.has_valid_tail(&bytes)?;
                self.open.revokes.push(block);
                Ok(true)
            }
            Some(Header::COMMIT) => self.commit(block, &bytes),
            // What was here before, or nothing ever: the log ends.
            _ => Ok(false),
        }
    }

    /// Skips the blocks that a descriptor block describes.
    fn content(&mut self, bytes: &[u8]) -> Result<bool> {
        let summed = self.journal.sb.checksums == Checksums::V1;
        if summed {
            self.sum.add(bytes);
        }
        for _ in descriptor::tags(&self.journal.sb, bytes)? {
            let Some(block) = self.advance() else { return Ok(false) };
            if summed {
                self.sum.add(&self.journal.read(block)?);
            }
        }
        Ok(true)
    }

    /// Ends the open transaction. One that is damaged ends the log if it is older than the last (it is left
    /// from an earlier round) or if asynchronous commits may have torn it; else somebody must look at it.
    fn commit(&mut self, block: u32, bytes: &[u8]) -> Result<bool> {
        let sb = &self.journal.sb;
        let sequence = self.open.sequence;
        let commit = Commit::parse(bytes)?;
        let damaged = || {
            let what = format!("transaction {sequence} is damaged, and Linux would not mount it: run e2fsck");
            Err(self.journal.corrupt(block, what))
        };
        if self.suspect {
            return if commit.time() >= self.last_time { damaged() } else { Ok(false) };
        }
        if self.torn.is_some() && sb.checksums == Checksums::V1 {
            return damaged();
        }
        if commit.is_valid(sb, bytes, self.sum) {
            self.last_time = commit.time();
        } else if commit.time() < self.last_time {
            return Ok(false);
        } else if sb.async_commit() {
            self.torn = self.torn.or(Some(sequence));
        } else {
            return damaged();
        }
        let next = Transaction { sequence: sequence.wrapping_add(1), ..Transaction::default() };
        let ended = std::mem::replace(&mut self.open, next);
        if self.torn.is_none() {
            tracing::trace!(sequence, content = wide(ended.descriptors.len()), "committed");
            self.done.push(ended);
        }
        self.sum = TransactionSum::START;
        Ok(true)
    }
}
