//! What the trees of a group hold: free runs, chunks of inodes, owners, shared runs.

use vfs::Result;

use crate::ag::{Group, Root};
use crate::bytes::{be16, be32, be64, byte, low32};

/// The order of records: compared from the left.
pub(crate) type Key = [u64; 3];

/// Which tree: its magic number without and with checksums, and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) magic: [u8; 4],
    pub(crate) magic_v5: [u8; 4],
}

/// A record of one of the trees.
pub(crate) trait Record: Copy + PartialEq + std::fmt::Debug {
    /// The tree it belongs to.
    const KIND: Kind;
    /// Bytes of a record, and of a key.
    const LEN: usize;
    const KEY_LEN: usize = 4;
    /// Records may cover the same blocks, so inner nodes have the highest key of each child as well.
    const OVERLAPPING: bool = false;

    fn decode(bytes: &[u8]) -> Result<Self>;
    fn encode(&self) -> Vec<u8>;
    fn key(&self) -> Key;
    /// The highest key that the record covers; of importance in overlapping trees only.
    fn high_key(&self) -> Key {
        self.key()
    }
    /// A key is the place where its record starts, unless the type says otherwise.
    fn decode_key(bytes: &[u8]) -> Result<Key> {
        Ok([be32(bytes, 0)?.into(), 0, 0])
    }
    fn encode_key(key: Key) -> Vec<u8> {
        low32(key[0]).to_be_bytes().to_vec()
    }

    /// The tree's root, as the headers of a group have it; `None` where the file system has no such tree.
    fn root(group: &Group) -> Option<Root>;
    fn set_root(group: &mut Group, root: Root);
    /// Counts a block of the tree in or out, in the headers of its group.
    fn count_block(group: &mut Group, added: bool);
    /// Who owns the blocks of the tree, other than its group; those come from the free space, all others from
    /// the free list.
    const OWNER: Option<u64> = None;
}

fn count(blocks: &mut u32, added: bool) {
    *blocks = if added { blocks.saturating_add(1) } else { blocks.saturating_sub(1) };
}

fn pair(bytes: &[u8]) -> Result<(u32, u32)> {
    Ok((be32(bytes, 0)?, be32(bytes, 4)?))
}

fn put_pair(first: u32, second: u32) -> Vec<u8> {
    [first.to_be_bytes(), second.to_be_bytes()].concat()
}

/// Defines a free run in one of its two orders.
macro_rules! free_run {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $root:ident, |$run:ident| $key:expr, |$from:ident| $encode_key:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name {
            pub(crate) start: u32,
            pub(crate) len: u32,
        }

        impl Record for $name {
            const KIND: Kind = $kind;
            const LEN: usize = 8;
            const KEY_LEN: usize = 8;

            fn decode(bytes: &[u8]) -> Result<Self> {
                let (start, len) = pair(bytes)?;
                Ok(Self { start, len })
            }

            fn encode(&self) -> Vec<u8> {
                put_pair(self.start, self.len)
            }

            fn key(&self) -> Key {
                let $run = self;
                $key
            }

            fn decode_key(bytes: &[u8]) -> Result<Key> {
                Ok(Self::decode(bytes)?.key())
            }

            fn encode_key($from: Key) -> Vec<u8> {
                $encode_key
            }

            fn root(group: &Group) -> Option<Root> {
                Some(group.agf.$root)
            }

            fn set_root(group: &mut Group, root: Root) {
                group.agf.$root = root;
            }

            fn count_block(group: &mut Group, added: bool) {
                count(&mut group.agf.tree_blocks, added);
            }
        }
    };
}

free_run!(
    /// Free blocks, in the order of their place.
    FreeByBlock,
    Kind { name: "bnobt", magic: *b"ABTB", magic_v5: *b"AB3B" },
    by_block,
    |run| [run.start.into(), run.len.into(), 0],
    |key| put_pair(low32(key[0]), low32(key[1]))
);
free_run!(
    /// Free blocks, in the order of length, then place.
    FreeBySize,
    Kind { name: "cntbt", magic: *b"ABTC", magic_v5: *b"AB3C" },
    by_size,
    |run| [run.len.into(), run.start.into(), 0],
    |key| put_pair(low32(key[1]), low32(key[0]))
);

/// `rm_owner` of what no inode owns.
pub(crate) mod owner {
    /// The free space trees, the rmap tree, and the free list.
    pub(crate) const GROUP: u64 = (-5_i64).cast_unsigned();
    /// The inode trees.
    pub(crate) const INODE_TREES: u64 = (-6_i64).cast_unsigned();
    /// Chunks of inodes.
    pub(crate) const INODES: u64 = (-7_i64).cast_unsigned();
    /// The refcount tree.
    pub(crate) const REFCOUNT_TREE: u64 = (-8_i64).cast_unsigned();
}

/// Inodes in a chunk.
pub(crate) const CHUNK: u32 = 64;

/// A chunk of 64 inodes ("Inode B+Trees"); parts of four may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The first inode.
    pub(crate) start: u32,
    /// A bit for every four inodes that are missing; only with the feature `sparse`.
    pub(crate) holes: u16,
    /// Inodes that are there; 64 without the feature.
    pub(crate) count: u8,
    pub(crate) free_count: u32,
    /// A bit for every inode that is free; missing ones count as free here.
    pub(crate) free: u64,
    /// The feature `sparse`: free inodes are counted in one byte, next to the two fields above.
    pub(crate) sparse: bool,
}

/// The same in the tree of chunks with free inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeChunk(pub(crate) Chunk);

impl Chunk {
    /// Inodes that are there and free.
    pub(crate) fn usable(&self) -> u64 {
        (0..16_u32).fold(self.free, |free, part| {
            let hole = self.holes >> part & 1 == 1;
            if hole { free & !(0xf_u64 << part.saturating_mul(4)) } else { free }
        })
    }
}

impl Record for Chunk {
    const KIND: Kind = Kind { name: "inobt", magic: *b"IABT", magic_v5: *b"IAB3" };
    const LEN: usize = 16;

    /// Without the feature `sparse` the second word is the number of free inodes, 64 at most: then its upper
    /// bytes, "holes" and "count", are zero, and no chunk has no inode at all.
    fn decode(bytes: &[u8]) -> Result<Self> {
        let (start, word) = pair(bytes)?;
        let (holes, count) = (be16(bytes, 4)?, byte(bytes, 6)?);
        let free = be64(bytes, 8)?;
        let sparse = count != 0;
        let (free_count, count) = if sparse { (word & 0xff, count) } else { (word, 64) };
        Ok(Self { start, holes, count, free_count, free, sparse })
    }

    fn encode(&self) -> Vec<u8> {
        let word = if self.sparse {
            u32::from(self.holes) << 16 | u32::from(self.count) << 8 | self.free_count
        } else {
            self.free_count
        };
        [&put_pair(self.start, word)[..], &self.free.to_be_bytes()].concat()
    }

    fn key(&self) -> Key {
        [self.start.into(), 0, 0]
    }

    fn root(group: &Group) -> Option<Root> {
        Some(group.agi.inodes)
    }

    fn set_root(group: &mut Group, root: Root) {
        group.agi.inodes = root;
    }

    fn count_block(group: &mut Group, added: bool) {
        count(&mut group.agi.inode_blocks, added);
    }

    const OWNER: Option<u64> = Some(owner::INODE_TREES);
}

impl Record for FreeChunk {
    const KIND: Kind = Kind { name: "finobt", magic: *b"FIBT", magic_v5: *b"FIB3" };
    const LEN: usize = Chunk::LEN;

    fn decode(bytes: &[u8]) -> Result<Self> {
        Chunk::decode(bytes).map(Self)
    }

    fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    fn key(&self) -> Key {
        self.0.key()
    }

    fn root(group: &Group) -> Option<Root> {
        group.agi.free_inodes
    }

    fn set_root(group: &mut Group, root: Root) {
        group.agi.free_inodes = Some(root);
    }

    fn count_block(group: &mut Group, added: bool) {
        count(&mut group.agi.free_inode_blocks, added);
    }

    const OWNER: Option<u64> = Some(owner::INODE_TREES);
}

/// A run of blocks with its owner ("Reverse-Mapping B+Tree").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// An inode, or one of the constants in [`owner`].
    pub(crate) owner: u64,
    /// The block of the file, with flags in the upper bits.
    pub(crate) offset: u64,
}

impl Owned {
    /// `rm_offset`: of the attribute fork.
    pub(crate) const ATTR: u64 = 1 << 63;
    /// A block of the tree that maps the fork.
    pub(crate) const TREE: u64 = 1 << 62;
    /// Reserved, not written yet. Not part of the key.
    pub(crate) const UNWRITTEN: u64 = 1 << 61;
    /// All flags.
    pub(crate) const FLAGS: u64 = Self::ATTR | Self::TREE | Self::UNWRITTEN;

    /// Owners that are no inodes are negative; they have no offsets.
    pub(crate) fn is_inode(owner: u64) -> bool {
        owner >> 63 == 0
    }

    /// Whether the offset counts along with the blocks.
    pub(crate) fn has_offset(&self) -> bool {
        Self::is_inode(self.owner) && self.offset & Self::TREE == 0
    }

    /// The block after the last.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.start).saturating_add(self.len.into())
    }
}

impl Record for Owned {
    const KIND: Kind = Kind { name: "rmapbt", magic: *b"RMB3", magic_v5: *b"RMB3" };
    const LEN: usize = 24;
    const KEY_LEN: usize = 20;
    const OVERLAPPING: bool = true;

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (start, len) = pair(bytes)?;
        Ok(Self { start, len, owner: be64(bytes, 8)?, offset: be64(bytes, 16)? })
    }

    fn encode(&self) -> Vec<u8> {
        [&put_pair(self.start, self.len)[..], &self.owner.to_be_bytes(), &self.offset.to_be_bytes()].concat()
    }

    fn key(&self) -> Key {
        [self.start.into(), self.owner, self.offset & !Self::UNWRITTEN]
    }

    fn high_key(&self) -> Key {
        let more = u64::from(self.len.saturating_sub(1));
        let [start, owner, offset] = self.key();
        let offset = if self.has_offset() { offset.saturating_add(more) } else { offset };
        [start.saturating_add(more), owner, offset]
    }

    fn decode_key(bytes: &[u8]) -> Result<Key> {
        Ok([be32(bytes, 0)?.into(), be64(bytes, 4)?, be64(bytes, 12)? & !Self::UNWRITTEN])
    }

    fn encode_key(key: Key) -> Vec<u8> {
        [&low32(key[0]).to_be_bytes()[..], &key[1].to_be_bytes(), &key[2].to_be_bytes()].concat()
    }

    fn root(group: &Group) -> Option<Root> {
        group.agf.rmap
    }

    fn set_root(group: &mut Group, root: Root) {
        group.agf.rmap = Some(root);
    }

    fn count_block(group: &mut Group, added: bool) {
        count(&mut group.agf.tree_blocks, added);
        count(&mut group.agf.rmap_blocks, added);
    }
}

/// A run of blocks that several files share ("Reference Count B+Tree").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shared {
    /// The upper bit marks blocks set aside for copies on write.
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) count: u32,
}

impl Shared {
    /// `rc_startblock`: set aside for a copy on write.
    pub(crate) const STAGING: u32 = 1 << 31;

    /// The block after the last.
    pub(crate) fn end(&self) -> u32 {
        self.start.saturating_add(self.len)
    }
}

impl Record for Shared {
    const KIND: Kind = Kind { name: "refcountbt", magic: *b"R3FC", magic_v5: *b"R3FC" };
    const LEN: usize = 12;

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (start, len) = pair(bytes)?;
        Ok(Self { start, len, count: be32(bytes, 8)? })
    }

    fn encode(&self) -> Vec<u8> {
        [&put_pair(self.start, self.len)[..], &self.count.to_be_bytes()].concat()
    }

    fn key(&self) -> Key {
        [self.start.into(), 0, 0]
    }

    fn root(group: &Group) -> Option<Root> {
        group.agf.refcount
    }

    fn set_root(group: &mut Group, root: Root) {
        group.agf.refcount = Some(root);
    }

    fn count_block(group: &mut Group, added: bool) {
        count(&mut group.agf.refcount_blocks, added);
    }

    const OWNER: Option<u64> = Some(owner::REFCOUNT_TREE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_with_and_without_holes() {
        let old = Chunk { start: 128, holes: 0, count: 64, free_count: 61, free: !7, sparse: false };
        assert_eq!(Chunk::decode(&old.encode()).unwrap(), old);
        let holes = Chunk { start: 64, holes: 0xff00, count: 32, free_count: 30, free: !3, sparse: true };
        assert_eq!(Chunk::decode(&holes.encode()).unwrap(), holes);
        assert_eq!(holes.usable(), 0xffff_fffc);
    }

    #[test]
    fn keys_of_owners() {
        let run = Owned { start: 10, len: 5, owner: 131, offset: 7 | Owned::UNWRITTEN };
        assert_eq!(run.key(), [10, 131, 7]);
        assert_eq!(run.high_key(), [14, 131, 11]);
        assert_eq!(Owned::decode_key(&Owned::encode_key(run.key())).unwrap(), run.key());
        let tree = Owned { offset: Owned::TREE, ..run };
        assert_eq!(tree.high_key(), [14, 131, Owned::TREE]);
        assert_eq!(Owned::decode(&tree.encode()).unwrap(), tree);
    }
}
