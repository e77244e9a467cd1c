//! Nodes of an index: entries in the order of their names, each with a node in front of it unless the node
//! is a leaf (linux-ntfs documentation, "Index header", "Index entry").

use vfs::Result;
use vfs::bytes::{byte, index, le16, le32, le64, part, put};

use super::{Entry, corrupt};
use crate::attribute::units;
use crate::fixup;

/// An entry has a node below it; so for a node whose entries have.
const HAS_CHILD: u16 = 1;
/// It is the last of its node, and has no name.
const LAST: u16 = 2;

/// Bytes of an INDEX_ROOT in front of its node.
pub(crate) const ROOT_HEAD: usize = 16;
/// Bytes of an index block in front of its node.
const BLOCK_HEAD: usize = 24;
/// Bytes of a node in front of its entries, in the root.
const NODE_HEAD: usize = 16;
/// Where the update sequence of an index block is.
const SEQUENCE: usize = 40;

/// An entry of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The file, as a reference.
    pub(crate) reference: u64,
    /// The content of its FILE_NAME attribute.
    pub(crate) key: Vec<u8>,
    /// The node whose names come before this one.
    pub(crate) child: Option<u64>,
}

impl Slot {
    pub(crate) fn name(&self) -> Result<Vec<u16>> {
        let len = usize::from(byte(&self.key, 64)?);
        Ok(units(part(&self.key, 66, len.saturating_mul(2))?))
    }

    pub(crate) fn entry(&self) -> Result<Entry> {
        Entry::read(self.reference, &self.key)
    }

    /// Bytes of it on the volume.
    pub(crate) fn len(&self) -> usize {
        padded(self.key.len().saturating_add(16)).saturating_add(if self.child.is_some() { 8 } else { 0 })
    }
}

/// A length as it is filled up to whole units of eight bytes.
pub(crate) fn padded(len: usize) -> usize {
    len.div_ceil(8).saturating_mul(8)
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Node {
    pub(crate) slots: Vec<Slot>,
    /// The node whose names come behind all of these.
    pub(crate) last: Option<u64>,
}

impl Node {
    /// The node in the content of an INDEX_ROOT.
    pub(crate) fn in_root(value: &[u8]) -> Result<Self> {
        Self::read(value.get(ROOT_HEAD..).unwrap_or_default())
    }

    /// The node in an index block, which says that it has this number.
    pub(crate) fn in_block(mut block: Vec<u8>, number: u64) -> Result<Self> {
        fixup::take_off(&mut block, *b"INDX", "index block", 0)?;
        if le64(&block, 16)? != number {
            return Err(corrupt(format!("node {number} says that it is another one")));
        }
        Self::read(block.get(BLOCK_HEAD..).unwrap_or_default())
    }

    /// The node whose header is at the start of some bytes.
    fn read(bytes: &[u8]) -> Result<Self> {
        let (first, end) = (index(le32(bytes, 0)?), index(le32(bytes, 4)?));
        let mut rest = part(bytes, 0, end)?.get(first..).unwrap_or_default();
        let mut slots = Vec::new();
        loop {
            let (len, flags) = (usize::from(le16(rest, 8)?), le16(rest, 12)?);
            if len < 16 || !len.is_multiple_of(8) || len > rest.len() {
                return Err(corrupt(format!("an entry has {len} bytes")));
            }
            let bytes = part(rest, 0, len)?;
            let child = match flags & HAS_CHILD {
                0 => None,
                _ => Some(le64(bytes, len.saturating_sub(8))?),
            };
            if flags & LAST != 0 {
                return Ok(Self { slots, last: child });
            }
            let key = part(bytes, 16, usize::from(le16(bytes, 10)?))?.to_vec();
            slots.push(Slot { reference: le64(bytes, 0)?, key, child });
            rest = rest.get(len..).unwrap_or_default();
        }
    }

    /// What comes in its order: nodes below, and entries.
    pub(super) fn into_parts(self) -> Result<std::vec::IntoIter<(Option<u64>, Option<Entry>)>> {
        let mut parts = Vec::new();
        for slot in &self.slots {
            parts.push((slot.child, Some(slot.entry()?)));
        }
        parts.push((self.last, None));
        Ok(parts.into_iter())
    }

    /// Whether either all entries have nodes below, or none.
    pub(crate) fn is_sound(&self) -> bool {
        self.slots.iter().all(|slot| slot.child.is_some() == self.last.is_some())
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.last.is_none()
    }

    /// Bytes of its entries.
    pub(crate) fn len(&self) -> usize {
        let last = if self.last.is_some() { 24 } else { 16 };
        self.slots.iter().fold(last, |sum: usize, slot| sum.saturating_add(slot.len()))
    }

    fn entries(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.len());
        let long = |_| corrupt("an entry is too long");
        for slot in &self.slots {
            let mut entry = vec![0; slot.len()];
            put(&mut entry, 0, &slot.reference.to_le_bytes())?;
            put(&mut entry, 8, &u16::try_from(slot.len()).map_err(long)?.to_le_bytes())?;
            put(&mut entry, 10, &u16::try_from(slot.key.len()).map_err(long)?.to_le_bytes())?;
            put(&mut entry, 16, &slot.key)?;
            if let Some(child) = slot.child {
                put(&mut entry, 12, &HAS_CHILD.to_le_bytes())?;
                put(&mut entry, slot.len().saturating_sub(8), &child.to_le_bytes())?;
            }
            bytes.extend(entry);
        }
        let (len, flags): (u16, u16) = if self.last.is_some() { (24, LAST | HAS_CHILD) } else { (16, LAST) };
        bytes.extend([0; 8]);
        bytes.extend(len.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(flags.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.last.into_iter().flat_map(u64::to_le_bytes));
        Ok(bytes)
    }

    /// A node's header.
    fn header(&self, first: usize, end: usize, allocated: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(NODE_HEAD);
        for number in [first, end, allocated] {
            bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes.extend(u32::from(!self.is_leaf()).to_le_bytes());
        bytes
    }

    /// It as the content of an INDEX_ROOT; `head` is what stands in front of its node.
    pub(crate) fn as_root(&self, head: &[u8]) -> Result<Vec<u8>> {
        let end = self.len().saturating_add(NODE_HEAD);
        Ok([part(head, 0, ROOT_HEAD)?, &self.header(NODE_HEAD, end, end), &self.entries()?].concat())
    }

    /// Bytes of entries that an index block of some size holds.
    pub(crate) fn room(block_size: usize) -> usize {
        block_size.saturating_sub(Self::first(block_size))
    }

    /// Where the entries of an index block begin.
    fn first(block_size: usize) -> usize {
        let numbers = block_size.div_euclid(512).saturating_add(1);
        padded(numbers.saturating_mul(2).saturating_add(SEQUENCE))
    }

    /// It as an index block in the place of another one, or of none; `None` if it does not fit.
    pub(crate) fn as_block(&self, number: u64, old: &[u8]) -> Result<Option<Vec<u8>>> {
        let size = old.len();
        let first = Self::first(size);
        if self.len() > Self::room(size) {
            return Ok(None);
        }
        let mut block = vec![0; size];
        put(&mut block, 0, b"INDX")?;
        put(&mut block, 4, &[40, 0])?;
        let numbers = size.div_euclid(512).saturating_add(1);
        put(&mut block, 6, &u16::try_from(numbers).unwrap_or(0).to_le_bytes())?;
        if part(old, 0, 4)? == b"INDX" {
            // What the log says of the block, and the number of its last write.
            put(&mut block, 8, part(old, 8, 8)?)?;
            put(&mut block, SEQUENCE, part(old, usize::from(le16(old, 4)?), 2)?)?;
        }
        put(&mut block, 16, &number.to_le_bytes())?;
        let node = first.saturating_sub(BLOCK_HEAD);
        let (end, allocated) = (node.saturating_add(self.len()), size.saturating_sub(BLOCK_HEAD));
        put(&mut block, BLOCK_HEAD, &self.header(node, end, allocated))?;
        put(&mut block, first, &self.entries()?)?;
        fixup::put_on(&mut block, *b"INDX", "index block", 0)?;
        Ok(Some(block))
    }
}
