//! Operations, and the transactions that they are pieces of ("Log Operations", "Log Items").

use std::collections::HashMap;

use vfs::{FsError, Result};

use super::record::Header;
use super::{Log, buffer};
use crate::bytes::{be32, byte, index, le16, le32, part, wide};

/// Bytes of the header of an operation.
const OPERATION: usize = 12;
/// `oh_clientid` of what we know.
const CLIENTS: [u8; 2] = [0x69, 0xaa];
/// Bytes of the header of a transaction, and what it starts with.
const HEADER: usize = 16;
const MAGIC: u32 = 0x5452_414e;
/// The most regions of an item: the format, and every other 128 bytes of the largest buffer.
const REGIONS_MAX: usize = 257;
/// Bytes that open transactions may have: no kernel writes transactions of more than 64 MiB.
const OPEN_MAX: usize = 512 << 20;

/// `oh_flags`.
mod flag {
    pub(super) const START: u8 = 0x01;
    pub(super) const COMMIT: u8 = 0x02;
    pub(super) const CONTINUE: u8 = 0x04;
    pub(super) const WAS_CONTINUED: u8 = 0x08;
    pub(super) const END: u8 = 0x10;
    pub(super) use super::super::head::UNMOUNT;
}

/// An item: the first region is its format, the others are content.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) regions: Vec<Vec<u8>>,
    /// How many regions its format tells of.
    expected: usize,
}

impl Item {
    /// Which item it is.
    pub(super) fn kind(&self) -> Result<u16> {
        le16(self.format(), 0)
    }

    pub(super) fn format(&self) -> &[u8] {
        self.region(0)
    }

    /// A region; what is not there is empty.
    pub(super) fn region(&self, number: usize) -> &[u8] {
        self.regions.get(number).map_or(&[], Vec::as_slice)
    }
}

/// A transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The record in which it starts.
    pub(super) lsn: u64,
    /// Its header, which may come in pieces.
    header: Vec<u8>,
    pub(super) items: Vec<Item>,
}

impl Transaction {
    /// A new region.
    fn add(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.header.is_empty() {
            if !le32(bytes, 0).is_ok_and(|magic| magic == MAGIC) || bytes.len() > HEADER {
                return Err("a transaction does not start with a header");
            }
            self.header.extend_from_slice(bytes);
            return Ok(());
        }
        if self.items.last().is_none_or(|item| item.regions.len() == item.expected) {
            let expected = le16(bytes, 2).map_or(0, usize::from);
            if !(1..=REGIONS_MAX).contains(&expected) {
                return Err("an item has no or too many regions");
            }
            self.items.push(Item { regions: Vec::new(), expected });
        }
        if let Some(item) = self.items.last_mut() {
            item.regions.push(bytes.to_vec());
        }
        Ok(())
    }

    /// More of the last region.
    fn go_on(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let region = match self.items.last_mut() {
            Some(item) => item.regions.last_mut(),
            None if self.header.len().saturating_add(bytes.len()) <= HEADER => Some(&mut self.header),
            None => return Err("the header of a transaction is too long"),
        };
        region.ok_or("what goes on did not start")?.extend_from_slice(bytes);
        Ok(())
    }

    /// Puts the items into the order in which they are carried out: buffers, all else, lists of inodes
    /// without a name, and at last what is cancelled.
    fn sort(&mut self) -> Result<()> {
        let mut ranked = Vec::with_capacity(self.items.len());
        for item in self.items.drain(..) {
            let rank = match item.kind()? {
                buffer::KIND => buffer::Format::parse(item.format())?.rank(),
                super::icreate::KIND => 0,
                _ => 1,
            };
            ranked.push((rank, item));
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        self.items.extend(ranked.into_iter().map(|(_, item)| item));
        Ok(())
    }
}

/// Puts transactions together.
#[derive(Debug, Default)]
struct Assembly {
    open: HashMap<u32, Transaction>,
    /// Bytes that they have.
    bytes: usize,
}

impl Assembly {
    /// Takes an operation; the transaction that it commits.
    fn operation(
        &mut self,
        (tid, flags): (u32, u8),
        content: &[u8],
        lsn: u64,
    ) -> Result<Option<Transaction>, &'static str> {
        let Some(transaction) = self.open.get_mut(&tid) else {
            // What belongs to transactions that started before the tail is done already.
            if flags & flag::START != 0 {
                let transaction = Transaction { lsn, header: Vec::new(), items: Vec::new() };
                self.open.insert(tid, transaction);
            }
            return Ok(None);
        };
        let mut flags = flags & !flag::END;
        if flags & flag::WAS_CONTINUED != 0 {
            flags &= !flag::CONTINUE;
        }
        match flags {
            0 | flag::CONTINUE => transaction.add(content)?,
            flag::WAS_CONTINUED => transaction.go_on(content)?,
            flag::COMMIT => {
                let done = self.open.remove(&tid);
                let bytes = done.iter().flat_map(|done| &done.items).flat_map(|item| &item.regions);
                self.bytes = self.bytes.saturating_sub(bytes.map(Vec::len).sum());
                return Ok(done);
            }
            flag::UNMOUNT => {
                self.open.remove(&tid);
            }
            _ => return Err("an operation has flags that contradict each other"),
        }
        self.bytes = self.bytes.saturating_add(content.len());
        if self.bytes > OPEN_MAX { Err("a transaction is too long") } else { Ok(None) }
    }
}

impl Log {
    /// Hands all transactions that were committed between two blocks to `each`, oldest first.
    pub(super) fn transactions(
        &self,
        from: u32,
        head: u32,
        each: &mut dyn FnMut(Transaction) -> Result<()>,
    ) -> Result<()> {
        let mut assembly = Assembly::default();
        let mut at = from;
        let mut left = self.distance(from, head);
        while left > 0 {
            let header = Header::read(self, at)?.filter(|header| header.blocks() <= left);
            let header = header.ok_or_else(|| self.corrupt(at, "there should be a record"))?;
            header.check_origin(self)?;
            let record = header.load(self)?;
            if self.sb.v5() && record.is_whole()? != Some(true) {
                return Err(self.corrupt(at, "the checksum of a record is wrong"));
            }
            let bytes = record.operations()?;
            let mut next = 0;
            for _ in 0..header.operations {
                if next >= bytes.len() {
                    break;
                }
                let operation = part(&bytes, next, OPERATION)?;
                let len = index(be32(operation, 4)?);
                next = next.saturating_add(OPERATION);
                let content = part(&bytes, next, len)?;
                next = next.saturating_add(len);
                if !CLIENTS.contains(&byte(operation, 8)?) {
                    return Err(self.corrupt(at, "an operation comes from nobody that is known"));
                }
                let which = (be32(operation, 0)?, byte(operation, 9)?);
                let done = assembly.operation(which, content, header.lsn);
                if let Some(mut done) = done.map_err(|what| self.corrupt(at, what))? {
                    done.sort()?;
                    each(done)?;
                }
            }
            left = left.saturating_sub(header.blocks());
            at = self.after(at, header.blocks());
        }
        tracing::trace!(open = wide(assembly.open.len()), "transactions that were not committed");
        Ok(())
    }
}

/// An item that makes no sense.
pub(super) fn corrupt(item: &'static str, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
    FsError::corrupt(format!("{item} in the log"), 0, what)
}
