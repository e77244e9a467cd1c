//! A checkpoint, and the tables that it names: open attributes, dirty pages and transactions (rust-fs-ntfs,
//! "Checkpoint and restart tables").

use std::collections::{BTreeMap, HashMap};

use vfs::Result;
use vfs::bytes::{byte, index, le16, le32, le64, low16, part, wide};

use super::opcode::Opcode;
use super::page::{Log, corrupt};
use super::record::Kind;
use super::refused;
use crate::record::Reference;

/// Bytes of a checkpoint.
const CHECKPOINT: usize = 0x40;
/// The only version of it that is known; an older one had other tables.
const VERSION: u32 = 1;
/// Bytes of a table's head.
const TABLE: usize = 0x18;
/// An entry is in use.
const USED: u32 = 0xffff_ffff;
/// Bytes of an entry of open attributes, and the fewest of the others.
const OPEN: usize = 0x28;
const DIRTY: usize = 0x20;
const TRANSACTION: usize = 0x28;
/// A transaction is neither prepared nor committed.
const ACTIVE: u8 = 1;

/// An attribute that changes are made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenAttribute {
    pub(super) kind: u32,
    pub(super) file: Reference,
    /// The record from which on its number means it; 0 for one that is open at the checkpoint.
    pub(super) since: u64,
}

/// A cluster of a page that may not be on the volume.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dirty {
    /// The first change that may not be.
    pub(super) oldest: u64,
    /// Where on the volume it is, as the checkpoint says.
    pub(super) lcn: Option<u64>,
}

/// A transaction that is not over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Transaction {
    /// There is something to take back.
    pub(super) undo: bool,
    /// Its last record.
    pub(super) last: u64,
}

/// What is known at a checkpoint, and later.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Where analysis begins.
    pub(super) start: u64,
    pub(super) open: HashMap<u16, OpenAttribute>,
    /// By the attribute, and the cluster in it.
    pub(super) dirty: HashMap<(u16, u64), Dirty>,
    pub(super) transactions: BTreeMap<u32, Transaction>,
}

impl OpenAttribute {
    /// The attribute in an entry.
    pub(super) fn read(entry: &[u8]) -> Result<Self> {
        Ok(Self { kind: le32(entry, 8)?, file: Reference::of(le64(entry, 16)?), since: 0 })
    }
}

/// The entries of a table that are in use, with their places, which are their names as well.
fn entries(table: &[u8], least: usize, lsn: u64) -> Result<Vec<(usize, &[u8])>> {
    let (size, count) = (usize::from(le16(table, 0)?), usize::from(le16(table, 2)?));
    if size < least {
        return Err(corrupt(lsn, format!("the entries of a table have {size} bytes")));
    }
    let mut found = Vec::new();
    for number in 0..count {
        let at = number.saturating_mul(size).saturating_add(TABLE);
        let entry = part(table, at, size)?;
        if le32(entry, 0)? == USED {
            found.push((at, entry));
        }
    }
    Ok(found)
}

impl Tables {
    /// What the log's last checkpoint says.
    pub(super) fn read(log: &Log<'_>) -> Result<Self> {
        let lsn = log.layout.checkpoint;
        let record = log.needed(lsn)?;
        if record.kind != Kind::Checkpoint || record.data.len() < CHECKPOINT {
            return Err(corrupt(lsn, "there is no checkpoint"));
        }
        let body = &record.data;
        let version = le32(body, 0)?;
        if version != VERSION {
            return Err(refused(format!("its checkpoint is of version {version}")));
        }
        // The first checkpoint in a log has nothing in front of it.
        let start = match le64(body, 8)? {
            0 => lsn,
            start => start,
        };
        let mut tables = Self { start, ..Self::default() };
        tables.read_open(log, le64(body, 0x10)?)?;
        tables.read_dirty(log, le64(body, 0x20)?)?;
        tables.read_transactions(log, le64(body, 0x28)?)?;
        Ok(tables)
    }

    fn read_open(&mut self, log: &Log<'_>, lsn: u64) -> Result<()> {
        with_table(log, lsn, Opcode::OpenAttributeTableDump, |table| {
            let size = usize::from(le16(table, 0)?);
            if size != OPEN {
                let why = format!("its open attributes have entries of {size} bytes");
                return Err(refused(why));
            }
            for (at, entry) in entries(table, OPEN, lsn)? {
                self.open.insert(low16(wide(at)), OpenAttribute::read(entry)?);
            }
            Ok(())
        })
    }

    fn read_dirty(&mut self, log: &Log<'_>, lsn: u64) -> Result<()> {
        with_table(log, lsn, Opcode::DirtyPageTableDump, |table| {
            for (_, entry) in entries(table, DIRTY, lsn)? {
                let attribute = low16(le32(entry, 4)?);
                let (first, oldest) = (le64(entry, 0x10)?, le64(entry, 0x18)?);
                let lcns = part(entry, DIRTY, index(le32(entry, 0x0c)?).saturating_mul(8))?;
                if lcns.is_empty() || oldest == 0 {
                    return Err(corrupt(lsn, "a dirty page has no clusters, or no first change"));
                }
                // A change names any cluster of a page: each has an entry of its own.
                for (number, lcn) in lcns.as_chunks::<8>().0.iter().enumerate() {
                    let vcn = first.checked_add(wide(number));
                    let vcn = vcn.ok_or_else(|| corrupt(lsn, "a dirty page lies nowhere"))?;
                    // One that had no place yet has 0.
                    let lcn = Some(u64::from_le_bytes(*lcn)).filter(|lcn| *lcn != 0);
                    let new = Dirty { oldest, lcn };
                    let kept = self.dirty.entry((attribute, vcn)).or_insert(new);
                    kept.oldest = kept.oldest.min(oldest);
                    kept.lcn = kept.lcn.or(lcn);
                }
            }
            Ok(())
        })
    }

    fn read_transactions(&mut self, log: &Log<'_>, lsn: u64) -> Result<()> {
        with_table(log, lsn, Opcode::TransactionTableDump, |table| {
            for (at, entry) in entries(table, TRANSACTION, lsn)? {
                let state = byte(entry, 4)?;
                if state != ACTIVE {
                    let why = format!("a transaction is in state {state} at its checkpoint");
                    return Err(refused(why));
                }
                let transaction = Transaction { undo: le64(entry, 0x18)? != 0, last: le64(entry, 0x10)? };
                self.transactions.insert(vfs::bytes::low32(wide(at)), transaction);
            }
            Ok(())
        })
    }
}

/// Calls with a table that a checkpoint names, if it names one.
fn with_table(log: &Log<'_>, lsn: u64, dump: Opcode, read: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
    if lsn == 0 {
        return Ok(());
    }
    let record = log.needed(lsn)?;
    if record.kind != Kind::Change || record.redo()? != dump {
        return Err(corrupt(lsn, format!("there is no {dump:?}")));
    }
    read(record.table()?)
}
