//! A block of a tree in memory.

use vfs::{FsError, Result};

use super::{Key, Record};
use crate::Xfs;
use crate::bytes::{be16, be32, be64, half, index, part, put, put16, put32, put64};
use crate::checksum;
use crate::superblock::Superblock;

// The header, short form: its fields' places.
const LEVEL_AT: usize = 4;
const COUNT_AT: usize = 6;
const LEFT_AT: usize = 8;
const RIGHT_AT: usize = 12;
const DADDR_AT: usize = 16;
const UUID_AT: usize = 32;
const OWNER_AT: usize = 48;
const CRC_AT: usize = 52;

fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 56 } else { 16 }
}

/// What an inner node tells of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) low: Key,
    /// The same as `low` where records do not overlap.
    pub(crate) high: Key,
    pub(crate) block: u32,
}

/// What a node holds, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entries<R> {
    Records(Vec<R>),
    Children(Vec<Child>),
}

/// A block of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node<R> {
    /// 0 for leaves.
    pub(crate) level: u32,
    /// The neighbours of the same level; [`NULL`](crate::ag::NULL) at the ends.
    pub(crate) left: u32,
    pub(crate) right: u32,
    pub(crate) entries: Entries<R>,
}

/// Bytes of the keys for one child.
fn keys_len<R: Record>() -> usize {
    if R::OVERLAPPING { R::KEY_LEN.saturating_mul(2) } else { R::KEY_LEN }
}

/// The most entries of a node.
pub(super) fn capacity<R: Record>(sb: &Superblock, level: u32) -> usize {
    let len = if level == 0 { R::LEN } else { keys_len::<R>().saturating_add(4) };
    index(sb.block_size).saturating_sub(header_len(sb)).checked_div(len).unwrap_or_default()
}

impl<R: Record> Node<R> {
    pub(super) fn len(&self) -> usize {
        match &self.entries {
            Entries::Records(records) => records.len(),
            Entries::Children(children) => children.len(),
        }
    }

    /// Its entry in its parent.
    pub(super) fn as_child(&self, block: u32) -> Option<Child> {
        let (low, high) = match &self.entries {
            Entries::Records(records) => {
                (records.first()?.key(), records.iter().map(Record::high_key).max()?)
            }
            Entries::Children(children) => {
                (children.first()?.low, children.iter().map(|child| child.high).max()?)
            }
        };
        Some(Child { low, high: if R::OVERLAPPING { high } else { low }, block })
    }

    /// Takes the entries from `at` on away into a node of its own; neighbours are left as they are.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let entries = match &mut self.entries {
            Entries::Records(records) => Entries::Records(records.split_off(at.min(records.len()))),
            Entries::Children(children) => Entries::Children(children.split_off(at.min(children.len()))),
        };
        Self { entries, ..*self }
    }

    /// Takes the entries of a right neighbour.
    pub(super) fn append(&mut self, other: Self) {
        match (&mut self.entries, other.entries) {
            (Entries::Records(own), Entries::Records(more)) => own.extend(more),
            (Entries::Children(own), Entries::Children(more)) => own.extend(more),
            // `read` has checked that nodes of a level are of one kind.
            _ => {}
        }
    }

    fn encode(&self, sb: &Superblock, ag: u32, block: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; index(sb.block_size)];
        put(&mut bytes, 0, if sb.v5() { &R::KIND.magic_v5 } else { &R::KIND.magic })?;
        put16(&mut bytes, LEVEL_AT, half(self.level))?;
        put16(&mut bytes, COUNT_AT, half(self.len()))?;
        put32(&mut bytes, LEFT_AT, self.left)?;
        put32(&mut bytes, RIGHT_AT, self.right)?;
        let mut at = header_len(sb);
        match &self.entries {
            Entries::Records(records) => {
                for record in records {
                    put(&mut bytes, at, &record.encode())?;
                    at = at.saturating_add(R::LEN);
                }
            }
            Entries::Children(children) => {
                let keys = capacity::<R>(sb, self.level).saturating_mul(keys_len::<R>());
                let mut pointer = at.saturating_add(keys);
                for child in children {
                    put(&mut bytes, at, &R::encode_key(child.low))?;
                    if R::OVERLAPPING {
                        put(&mut bytes, at.saturating_add(R::KEY_LEN), &R::encode_key(child.high))?;
                    }
                    put32(&mut bytes, pointer, child.block)?;
                    at = at.saturating_add(keys_len::<R>());
                    pointer = pointer.saturating_add(4);
                }
            }
        }
        if sb.v5() {
            put64(&mut bytes, DADDR_AT, sb.daddr(sb.join(ag, block)))?;
            put(&mut bytes, UUID_AT, &sb.meta_uuid)?;
            put32(&mut bytes, OWNER_AT, ag)?;
            checksum::update(&mut bytes, CRC_AT)?;
        }
        Ok(bytes)
    }

    fn decode(sb: &Superblock, ag: u32, block: u32, level: u32, bytes: &[u8]) -> Result<Self> {
        let place = sb.join(ag, block);
        let corrupt = |what: &'static str| {
            FsError::corrupt(format!("{} of group {ag}", R::KIND.name), sb.byte(place), what)
        };
        if part(bytes, 0, 4)? != if sb.v5() { &R::KIND.magic_v5[..] } else { &R::KIND.magic[..] } {
            return Err(corrupt("the magic number of a block is wrong"));
        }
        if sb.v5() {
            if !checksum::is_right(bytes, CRC_AT) {
                return Err(corrupt("the checksum of a block is wrong"));
            }
            if be64(bytes, DADDR_AT)? != sb.daddr(place)
                || part(bytes, UUID_AT, 16)? != sb.meta_uuid
                || be32(bytes, OWNER_AT)? != ag
            {
                return Err(corrupt("a block belongs elsewhere"));
            }
        }
        if u32::from(be16(bytes, LEVEL_AT)?) != level {
            return Err(corrupt("a block is of another level"));
        }
        let count = usize::from(be16(bytes, COUNT_AT)?);
        if count > capacity::<R>(sb, level) || level > 0 && count == 0 {
            return Err(corrupt("the number of entries in a block is wrong"));
        }
        let start = header_len(sb);
        let entries = if level == 0 {
            let bytes = part(bytes, start, count.saturating_mul(R::LEN))?;
            Entries::Records(bytes.chunks_exact(R::LEN).map(R::decode).collect::<Result<_>>()?)
        } else {
            let keys = part(bytes, start, count.saturating_mul(keys_len::<R>()))?;
            let pointers = capacity::<R>(sb, level).saturating_mul(keys_len::<R>());
            let pointers = part(bytes, start.saturating_add(pointers), count.saturating_mul(4))?;
            let child = |(keys, pointer): (&[u8], &[u8])| {
                let low = R::decode_key(keys)?;
                let high = if R::OVERLAPPING {
                    R::decode_key(keys.get(R::KEY_LEN..).unwrap_or_default())?
                } else {
                    low
                };
                Ok(Child { low, high, block: be32(pointer, 0)? })
            };
            let pairs = keys.chunks_exact(keys_len::<R>()).zip(pointers.chunks_exact(4));
            Entries::Children(pairs.map(child).collect::<Result<_>>()?)
        };
        let ascends = match &entries {
            Entries::Records(records) => records.is_sorted_by(|a, b| a.key() < b.key()),
            Entries::Children(children) => children.is_sorted_by(|a, b| a.low < b.low),
        };
        if !ascends {
            return Err(corrupt("the entries of a block do not ascend"));
        }
        Ok(Self { level, left: be32(bytes, LEFT_AT)?, right: be32(bytes, RIGHT_AT)?, entries })
    }
}

impl Xfs {
    /// The node in this block of a group, which must be of this level.
    pub(super) fn node<R: Record>(&self, ag: u32, block: u32, level: u32) -> Result<Node<R>> {
        let bytes = self.blocks.read(self.sb.join(ag, block))?;
        Node::decode(&self.sb, ag, block, level, &bytes)
    }

    /// Stages a node.
    pub(super) fn stage_node<R: Record>(&mut self, ag: u32, block: u32, node: &Node<R>) -> Result<()> {
        let bytes = node.encode(&self.sb, ag, block)?;
        self.blocks.stage(self.sb.join(ag, block), bytes)
    }
}
