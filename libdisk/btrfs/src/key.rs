//! Keys, by which every tree is sorted ("Keys"), and the numbers in them that have names.

use std::fmt;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Numbers of trees.
pub(crate) mod tree {
    pub(crate) const ROOT: u64 = 1;
    pub(crate) const EXTENT: u64 = 2;
    pub(crate) const CHUNK: u64 = 3;
    /// The subvolume at the top.
    pub(crate) const FS: u64 = 5;
    pub(crate) const CSUM: u64 = 7;
    pub(crate) const BLOCK_GROUP: u64 = 11;
    /// All other subvolumes lie between these.
    pub(crate) const FIRST_FREE: u64 = 256;
    pub(crate) const LAST_FREE: u64 = 256_u64.wrapping_neg();

    /// Whether a tree is that of a subvolume.
    pub(crate) fn is_subvolume(id: u64) -> bool {
        id == FS || (FIRST_FREE..=LAST_FREE).contains(&id)
    }
}

/// The object of all chunk items.
pub(crate) const CHUNKS: u64 = 256;
/// The object of all data checksums.
pub(crate) const CHECKSUMS: u64 = 10_u64.wrapping_neg();
/// The inode of a subvolume's root directory.
pub(crate) const ROOT_DIR: u64 = 256;

/// Types of items.
pub(crate) mod kind {
    pub(crate) const INODE_ITEM: u8 = 1;
    pub(crate) const INODE_REF: u8 = 12;
    pub(crate) const XATTR_ITEM: u8 = 24;
    pub(crate) const DIR_ITEM: u8 = 84;
    pub(crate) const DIR_INDEX: u8 = 96;
    pub(crate) const EXTENT_DATA: u8 = 108;
    pub(crate) const EXTENT_CSUM: u8 = 128;
    pub(crate) const ROOT_ITEM: u8 = 132;
    pub(crate) const ROOT_BACKREF: u8 = 144;
    pub(crate) const ROOT_REF: u8 = 156;
    pub(crate) const EXTENT_ITEM: u8 = 168;
    pub(crate) const METADATA_ITEM: u8 = 169;
    pub(crate) const BLOCK_GROUP_ITEM: u8 = 192;
    pub(crate) const CHUNK_ITEM: u8 = 228;
}

/// As it is on disk.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawKey {
    objectid: U64,
    kind: u8,
    offset: U64,
}
const _: () = assert!(size_of::<RawKey>() == 17);

/// What an item is about; items are sorted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) objectid: u64,
    pub(crate) kind: u8,
    pub(crate) offset: u64,
}

impl Key {
    pub(crate) const MIN: Self = Self::new(0, 0, 0);
    pub(crate) const MAX: Self = Self::new(u64::MAX, u8::MAX, u64::MAX);

    pub(crate) const fn new(objectid: u64, kind: u8, offset: u64) -> Self {
        Self { objectid, kind, offset }
    }

    /// Whether it is of this object and type.
    pub(crate) fn is(self, objectid: u64, kind: u8) -> bool {
        self.objectid == objectid && self.kind == kind
    }
}

impl From<RawKey> for Key {
    fn from(raw: RawKey) -> Self {
        Self::new(raw.objectid.get(), raw.kind, raw.offset.get())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.objectid, self.kind, self.offset)
    }
}
