//! The first step of recovery: from the last checkpoint to the end of the log.

use vfs::{FsError, Result};

use super::refused;

use super::opcode::{Opcode, Target};
use super::page::Log;
use super::record::{Kind, Record};
use super::tables::{Dirty, OpenAttribute, Tables, Transaction};

/// What is to be done.
#[derive(Debug)]
pub(super) struct Analysis {
    pub(super) tables: Tables,
    /// The first record of which a page may not have the change.
    pub(super) redo_from: u64,
    /// The last record.
    pub(super) end: u64,
    /// Records that are to be taken back, newest first.
    pub(super) undo: Vec<u64>,
}

pub(super) fn refuse(lsn: u64, opcode: Opcode) -> FsError {
    refused(format!("{opcode:?} at LSN {lsn:#x} is not known well enough"))
}

impl Analysis {
    pub(super) fn of(log: &Log<'_>) -> Result<Self> {
        let mut tables = Tables::read(log)?;
        let end = log.each(tables.start, |record| tables.note(record))?;
        let oldest = tables.dirty.values().map(|page| page.oldest).min();
        let redo_from = oldest.map_or(tables.start, |oldest| oldest.min(tables.start));
        let undo = to_undo(log, &tables)?;
        Ok(Self { tables, redo_from, end, undo })
    }
}

impl Tables {
    /// Takes note of a record.
    fn note(&mut self, record: &Record) -> Result<()> {
        match record.kind {
            Kind::Change => {}
            Kind::Checkpoint => return Ok(()),
            Kind::Other(kind) => {
                return Err(refused(format!("it has records of the kind {kind}")));
            }
        }
        let (redo, undo) = (record.redo()?, record.undo()?);
        if redo.target() == Target::Unproven {
            return Err(refuse(record.lsn, redo));
        }
        if redo == Opcode::ForgetTransaction {
            self.transactions.remove(&record.transaction);
        } else {
            let Transaction { undo: before, .. } =
                self.transactions.get(&record.transaction).copied().unwrap_or_default();
            let now = !matches!(undo, Opcode::Noop | Opcode::CompensationLogRecord);
            let transaction = Transaction { undo: before || now, last: record.lsn };
            self.transactions.insert(record.transaction, transaction);
        }
        if redo == Opcode::OpenNonresidentAttribute {
            let new = OpenAttribute { since: record.lsn, ..OpenAttribute::read(record.table()?)? };
            let known = self.open.entry(record.attribute()?).or_insert(new);
            if (known.kind, known.file) != (new.kind, new.file) {
                *known = new;
            }
        } else if record.has_clusters()? {
            let page = record.page()?;
            let since = self.open.get(&page.0).map_or(0, |open| open.since);
            let new = Dirty { oldest: record.lsn, lcn: None };
            let known = self.dirty.entry(page).or_insert(new);
            // The page of another attribute, which had the number before.
            if known.oldest < since {
                *known = new;
            }
        }
        Ok(())
    }
}

/// The records of transactions that were not over when the log ended, newest first.
fn to_undo(log: &Log<'_>, tables: &Tables) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut left = log.layout.size.saturating_mul(2);
    for (number, transaction) in tables.transactions.iter().filter(|(_, open)| open.undo) {
        let mut lsn = transaction.last;
        while lsn != 0 {
            let record = log.needed(lsn)?;
            let corrupt = |why: &str| super::page::corrupt(lsn, format!("transaction {number} {why}"));
            if record.kind != Kind::Change || record.transaction != *number {
                return Err(corrupt("goes on in a record of another one"));
            }
            if record.undo_next >= lsn {
                return Err(corrupt("is to be taken back in circles"));
            }
            let read = vfs::bytes::wide(record.data.len()).saturating_add(48);
            left = left.checked_sub(read).ok_or_else(|| corrupt("has more records than the log"))?;
            match record.undo()?.target() {
                Target::Unproven if record.undo()? != Opcode::CompensationLogRecord => {
                    return Err(refuse(lsn, record.undo()?));
                }
                Target::Unproven | Target::Nothing => {}
                _ => found.push(lsn),
            }
            lsn = record.undo_next;
        }
    }
    found.sort_unstable_by_key(|lsn| std::cmp::Reverse(*lsn));
    Ok(found)
}
