//! Tree blocks: leaves with items, and nodes with pointers ("Trees").

use std::ops::Range;
use std::sync::Arc;

use vfs::{FsError, Result};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::bytes::{index, wide};
use crate::key::{Key, RawKey};
use crate::superblock::{CHECKED_FROM, LEVELS, Superblock};

/// As it is on disk.
#[derive(Debug, Clone, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    csum: [u8; 32],
    fsid: [u8; 16],
    bytenr: U64,
    flags: U64,
    chunk_tree_uuid: [u8; 16],
    generation: U64,
    owner: U64,
    nritems: U32,
    level: u8,
}
const HEADER: usize = 101;
const _: () = assert!(size_of::<RawHeader>() == HEADER);

/// In a leaf, after the header: an item, whose data are at `offset` after the header.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawItem {
    key: RawKey,
    offset: U32,
    size: U32,
}
const _: () = assert!(size_of::<RawItem>() == 25);

/// In a node, after the header: a block of the level below.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPointer {
    key: RawKey,
    blockptr: U64,
    generation: U64,
}
const _: () = assert!(size_of::<RawPointer>() == 33);

/// What a block has for one key.
#[derive(Debug, Clone)]
enum Entries {
    /// Items, and where in the block their data are.
    Items(Vec<(Key, Range<usize>)>),
    /// Logical addresses and generations.
    Pointers(Vec<(Key, u64, u64)>),
}

/// A sound tree block.
#[derive(Debug)]
pub(crate) struct Node {
    bytes: Vec<u8>,
    /// Where it was read from, in bytes of the device.
    pub(crate) place: u64,
    pub(crate) generation: u64,
    /// The tree for which it was written.
    pub(crate) owner: u64,
    pub(crate) level: u8,
    entries: Entries,
}

/// An item, with the leaf it is in.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key: Key,
    node: Arc<Node>,
    data: Range<usize>,
}

impl Node {
    /// Checks all that a block tells of itself; it was read from byte `place` for the logical address
    /// `logical`.
    pub(crate) fn parse(bytes: Vec<u8>, logical: u64, place: u64, sb: &Superblock) -> Result<Self> {
        let corrupt = |what: String| FsError::corrupt(format!("tree block {logical:#x}"), place, what);
        let (header, rest) =
            RawHeader::ref_from_prefix(&bytes).map_err(|_| corrupt("it is too short".into()))?;
        if !sb.checksum.is_right(bytes.get(CHECKED_FROM..).unwrap_or_default(), &header.csum) {
            return Err(corrupt("its checksum is wrong".into()));
        }
        if header.bytenr.get() != logical {
            return Err(corrupt(format!("it is that of {:#x}", header.bytenr.get())));
        }
        if header.fsid != sb.metadata_uuid() {
            return Err(corrupt("it belongs to another file system".into()));
        }
        let count = index(header.nritems.get());
        let cut = || corrupt(format!("{count} items do not fit"));
        let entries = match header.level {
            0 => {
                let (items, _) = <[RawItem]>::ref_from_prefix_with_elems(rest, count).map_err(|_| cut())?;
                // Data fill the block from its end on, in the order of the items.
                let mut end = rest.len();
                let mut entries = Vec::with_capacity(items.len());
                for item in items {
                    let start = index(item.offset.get());
                    if start.checked_add(index(item.size.get())) != Some(end) || start < size_of_val(items) {
                        return Err(corrupt(format!("the data of item {} lie elsewhere", entries.len())));
                    }
                    let data = start.saturating_add(HEADER)..end.saturating_add(HEADER);
                    entries.push((Key::from(item.key), data));
                    end = start;
                }
                Entries::Items(entries)
            }
            level if level >= LEVELS => return Err(corrupt(format!("its level is {level}"))),
            _ => {
                let (pointers, _) =
                    <[RawPointer]>::ref_from_prefix_with_elems(rest, count).map_err(|_| cut())?;
                if pointers.is_empty() {
                    return Err(corrupt("it leads nowhere".into()));
                }
                let pointer =
                    |raw: &RawPointer| (Key::from(raw.key), raw.blockptr.get(), raw.generation.get());
                Entries::Pointers(pointers.iter().map(pointer).collect())
            }
        };
        let (generation, owner, level) = (header.generation.get(), header.owner.get(), header.level);
        let node = Self { place, generation, owner, level, entries, bytes };
        if !(1..node.len()).all(|at| node.key(at.saturating_sub(1)) < node.key(at)) {
            return Err(corrupt("its keys are not in order".into()));
        }
        Ok(node)
    }

    /// How many items or pointers it has.
    pub(crate) fn len(&self) -> usize {
        match &self.entries {
            Entries::Items(items) => items.len(),
            Entries::Pointers(pointers) => pointers.len(),
        }
    }

    /// The key at a position.
    pub(crate) fn key(&self, at: usize) -> Option<Key> {
        match &self.entries {
            Entries::Items(items) => items.get(at).map(|(key, _)| *key),
            Entries::Pointers(pointers) => pointers.get(at).map(|(key, ..)| *key),
        }
    }

    /// How many keys are below, or equal to, the given one.
    pub(crate) fn up_to(&self, key: Key) -> usize {
        match &self.entries {
            Entries::Items(items) => items.partition_point(|(known, _)| *known <= key),
            Entries::Pointers(pointers) => pointers.partition_point(|(known, ..)| *known <= key),
        }
    }

    /// Logical address and generation of the block that a position of a node leads to.
    pub(crate) fn pointer(&self, at: usize) -> Option<(u64, u64)> {
        match &self.entries {
            Entries::Items(_) => None,
            Entries::Pointers(pointers) => {
                pointers.get(at).map(|(_, logical, generation)| (*logical, *generation))
            }
        }
    }

    /// The item at a position of a leaf.
    pub(crate) fn item(self: &Arc<Self>, at: usize) -> Option<Item> {
        match &self.entries {
            Entries::Items(items) => {
                let (key, data) = items.get(at)?.clone();
                Some(Item { key, node: self.clone(), data })
            }
            Entries::Pointers(_) => None,
        }
    }
}

impl Item {
    /// Its data.
    pub(crate) fn data(&self) -> &[u8] {
        self.node.bytes.get(self.data.clone()).unwrap_or_default()
    }

    /// The structure that its data begin with, and the rest.
    pub(crate) fn read<T>(&self) -> Result<(T, &[u8])>
    where
        T: FromBytes + KnownLayout + Immutable,
    {
        T::read_from_prefix(self.data()).map_err(|_| self.corrupt("it is too short"))
    }

    /// Where its data are, in bytes of the device.
    pub(crate) fn place(&self) -> u64 {
        self.node.place.saturating_add(wide(self.data.start))
    }

    pub(crate) fn corrupt(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        FsError::corrupt(format!("item {} of tree {}", self.key, self.node.owner), self.place(), what)
    }
}
