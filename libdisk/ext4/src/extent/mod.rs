//! Extent trees ("ext4 disk layout: Extent Tree").

mod read;
mod write;

use vfs::{FsError, Result};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) use read::{map, walk};

use crate::bytes::{index, join32};
use crate::checksum::crc32c;
use crate::inode::Inode;
use crate::superblock::Superblock;

const MAGIC: u16 = 0xf30a;
const HEADER: usize = 12;
const ENTRY: usize = 12;
/// Deeper than any tree over 2^32 blocks.
const MAX_DEPTH: u16 = 5;
/// The longest run of one entry; what an entry counts beyond it is not written yet.
const MAX_LEN: u16 = 32768;

#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U16,
    entries: U16,
    max: U16,
    depth: U16,
    generation: U32,
}

/// An entry of an inner node: the tree from file block `block` on.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIndex {
    block: U32,
    leaf_lo: U32,
    leaf_hi: U16,
    unused: U16,
}

impl RawIndex {
    fn child(&self) -> u64 {
        join32(self.leaf_lo.get(), self.leaf_hi.get().into())
    }
}

/// An entry of a leaf: a run of blocks.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawExtent {
    block: U32,
    len: U16,
    start_hi: U16,
    start_lo: U32,
}

impl RawExtent {
    fn decode(&self) -> crate::mapping::Extent {
        let len = self.len.get();
        let unwritten = len > MAX_LEN;
        crate::mapping::Extent {
            logical: self.block.get().into(),
            physical: join32(self.start_lo.get(), self.start_hi.get().into()),
            len: if unwritten { len.saturating_sub(MAX_LEN) } else { len }.into(),
            unwritten,
        }
    }
}

/// The entries of one node.
enum Node<'a> {
    Inner(u16, &'a [RawIndex]),
    Leaf(&'a [RawExtent]),
}

/// Reads one node; `depth` is what its parent says.
fn node<'a>(bytes: &'a [u8], depth: Option<u16>, inode: &Inode, place: u64) -> Result<Node<'a>> {
    let corrupt =
        |what: &'static str| FsError::corrupt(format!("extent tree of inode {}", inode.number), place, what);
    let (header, rest) = RawHeader::ref_from_prefix(bytes).map_err(|_| corrupt("a node is too short"))?;
    let (count, max) = (usize::from(header.entries.get()), usize::from(header.max.get()));
    if header.magic.get() != MAGIC {
        return Err(corrupt("the magic number of a node is wrong"));
    }
    if count > max || max.saturating_mul(ENTRY) > rest.len() {
        return Err(corrupt("a node has more entries than room"));
    }
    let found = header.depth.get();
    if found > MAX_DEPTH || depth.is_some_and(|depth| depth != found) {
        return Err(corrupt("a node has the wrong depth"));
    }
    let short = |_| corrupt("a node is too short");
    Ok(if found == 0 {
        Node::Leaf(<[RawExtent]>::ref_from_prefix_with_elems(rest, count).map_err(|_| short(()))?.0)
    } else {
        Node::Inner(found, <[RawIndex]>::ref_from_prefix_with_elems(rest, count).map_err(|_| short(()))?.0)
    })
}

/// Where the checksum of a node block lies: behind the room for entries ("struct ext4_extent_tail").
fn tail(block_size: usize) -> usize {
    capacity(block_size).saturating_mul(ENTRY).saturating_add(HEADER)
}

/// Entries that a block has room for.
fn capacity(block_size: usize) -> usize {
    block_size.saturating_sub(HEADER).checked_div(ENTRY).unwrap_or_default()
}

fn checksum(sb: &Superblock, inode: &Inode, bytes: &[u8]) -> u32 {
    let covered = bytes.get(..tail(index(sb.block_size))).unwrap_or(bytes);
    crc32c(inode.seed(sb), covered)
}
