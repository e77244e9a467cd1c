//! The blocks that index names by their hashes, of directories and of attributes alike ("Directory/Attribute
//! B+Trees").

use std::collections::HashSet;
use std::ops::Range;

use vfs::{FsError, Result};

use crate::Xfs;
use crate::bmap::even_parts;
use crate::bytes::{be16, be32, be64, half, index, part, put, put16, put32, put64, wide, word};
use crate::change::Change;
use crate::checksum;
use crate::extent::Side;
use crate::inode::Inode;
use crate::superblock::Superblock;

/// Inner nodes: version 4, version 5.
const NODE: [u16; 2] = [0xfebe, 0x3ebe];
/// The deepest index that any kernel makes (`XFS_DA_NODE_MAXDEPTH`).
const MAX_DEPTH: u16 = 5;

const FORW_AT: usize = 0;
const BACK_AT: usize = 4;
const MAGIC_AT: usize = 8;

/// Where blocks of these two families keep what tells them apart from strays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// Nodes and leaves.
    Index,
    /// Directory data and free space blocks.
    Data,
}

impl Header {
    /// Places of checksum, disk address, UUID and owner.
    fn places(self) -> [usize; 4] {
        match self {
            Self::Index => [12, 16, 32, 48],
            Self::Data => [4, 8, 24, 40],
        }
    }
}

/// The blocks of a directory or of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) side: Side,
    /// Bytes of a block, and file-system blocks in it.
    pub(crate) size: usize,
    pub(crate) step: u64,
    /// Where the index starts, in file-system blocks.
    pub(crate) index: u64,
}

impl Space {
    pub(crate) fn attributes(sb: &Superblock) -> Self {
        Self { side: Side::Attr, size: index(sb.block_size), step: 1, index: 0 }
    }

    pub(crate) fn directory(sb: &Superblock) -> Self {
        let step = sb.blocks_for(wide(sb.dir_block_size));
        Self { side: Side::Data, size: sb.dir_block_size, step, index: (1 << 35) >> sb.block_log }
    }
}

/// The magic number of this version out of two.
pub(crate) fn magic(sb: &Superblock, pair: [u16; 2]) -> u16 {
    let [v4, v5] = pair;
    if sb.v5() { v5 } else { v4 }
}

/// The hash of a name: seven bits to the left for each byte ("Hash Function").
pub(crate) fn hash(name: &[u8]) -> u32 {
    let mut chunks = name.chunks_exact(4);
    let mut hash = 0_u32;
    for chunk in &mut chunks {
        let four =
            chunk.iter().zip([21, 14, 7, 0]).fold(0, |four, (&byte, shift)| four ^ u32::from(byte) << shift);
        hash = four ^ hash.rotate_left(28);
    }
    let rest = chunks.remainder();
    let bits = word(rest.len()).saturating_mul(7);
    let tail = rest.iter().fold(0_u32, |tail, &byte| tail << 7 ^ u32::from(byte));
    if rest.is_empty() { hash } else { tail ^ hash.rotate_left(bits) }
}

/// Bytes before the entries of a node, or of a directory's leaf.
pub(crate) fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 64 } else { 16 }
}

/// Where "count" lies in nodes and leaves; the field after it is the level, in nodes.
pub(crate) fn count_at(sb: &Superblock) -> usize {
    if sb.v5() { 56 } else { 12 }
}

/// Entries of a node, or of a directory's leaf.
pub(crate) fn capacity(sb: &Superblock, size: usize) -> usize {
    size.saturating_sub(header_len(sb)) >> 3
}

/// The magic number of an index block.
pub(crate) fn magic_of(bytes: &[u8]) -> Result<u16> {
    be16(bytes, MAGIC_AT)
}

/// The neighbour to the right; 0 for none.
pub(crate) fn forward(bytes: &[u8]) -> Result<u32> {
    be32(bytes, FORW_AT)
}

fn corrupt(inode: &Inode, what: &'static str) -> FsError {
    inode.corrupt(format!("directory or attributes: {what}"))
}

impl Xfs {
    /// A block of a directory or of attributes.
    pub(crate) fn space_block(
        &self,
        inode: &Inode,
        space: &Space,
        at: u64,
        header: Header,
    ) -> Result<Vec<u8>> {
        let end = at.saturating_add(space.step);
        let mut bytes = Vec::with_capacity(space.size);
        let mut first = None;
        for extent in self.extents_in(inode, space.side, at..end)? {
            let Some(piece) = extent.cut(at, end).filter(|piece| !piece.unwritten) else { continue };
            first = first.or(Some(piece.physical));
            for block in piece.physical..piece.physical.saturating_add(piece.len) {
                bytes.extend_from_slice(&self.blocks.read(block)?);
            }
        }
        let Some(first) = first.filter(|_| bytes.len() == space.size) else {
            return Err(corrupt(inode, "a block is not mapped"));
        };
        if self.sb.v5() {
            let [crc, daddr, uuid, owner] = header.places();
            if !checksum::is_right(&bytes, crc) {
                let what = format!(
                    "inode {}: the checksum of a directory or attribute block is wrong",
                    inode.number
                );
                return Err(FsError::corrupt("block", self.sb.byte(first), what));
            }
            if be64(&bytes, daddr)? != self.sb.daddr(first)
                || part(&bytes, uuid, 16)? != self.sb.meta_uuid
                || be64(&bytes, owner)? != inode.number
            {
                return Err(corrupt(inode, "a block belongs elsewhere"));
            }
        }
        Ok(bytes)
    }

    /// The entries of a node and its level: the highest hash below each child, and the child.
    fn node_entries(&self, inode: &Inode, bytes: &[u8]) -> Result<(u16, Vec<(u32, u32)>)> {
        let at = count_at(&self.sb);
        let (count, level) = (usize::from(be16(bytes, at)?), be16(bytes, at.saturating_add(2))?);
        if count == 0 || count > capacity(&self.sb, bytes.len()) || !(1..=MAX_DEPTH).contains(&level) {
            return Err(corrupt(inode, "a node has the wrong level or number of entries"));
        }
        let entries = part(bytes, header_len(&self.sb), count.saturating_mul(8))?;
        let entries = entries.chunks_exact(8).map(|entry| Ok((be32(entry, 0)?, be32(entry, 4)?)));
        Ok((level, entries.collect::<Result<_>>()?))
    }

    /// The first leaf that may hold this hash; `None` if all are lower.
    pub(crate) fn first_leaf(&self, inode: &Inode, space: &Space, hash: u32) -> Result<Option<Vec<u8>>> {
        let mut at = space.index;
        let mut above = None;
        loop {
            let bytes = self.space_block(inode, space, at, Header::Index)?;
            if magic_of(&bytes)? != magic(&self.sb, NODE) {
                return Ok(Some(bytes));
            }
            let (level, entries) = self.node_entries(inode, &bytes)?;
            if above.is_some_and(|above| level >= above) {
                return Err(corrupt(inode, "the levels of its index do not go down"));
            }
            above = Some(level);
            match entries.iter().find(|(highest, _)| *highest >= hash) {
                Some((_, child)) => at = u64::from(*child),
                None => return Ok(None),
            }
        }
    }

    /// All leaves, in order.
    pub(crate) fn leaves(&self, inode: &Inode, space: &Space) -> Result<Vec<Vec<u8>>> {
        let mut leaves = Vec::new();
        let mut next = self.first_leaf(inode, space, 0)?;
        let mut seen = HashSet::new();
        while let Some(leaf) = next {
            let forward = forward(&leaf)?;
            leaves.push(leaf);
            if forward == 0 {
                break;
            }
            if !seen.insert(forward) {
                return Err(corrupt(inode, "its leaves go round in a circle"));
            }
            next = Some(self.space_block(inode, space, forward.into(), Header::Index)?);
        }
        Ok(leaves)
    }
}

/// Where the blocks of an index go: leaves first, the root before them unless the only leaf is the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many leaves, and how many nodes above them, from the lowest level to the root.
    pub(crate) leaves: usize,
    levels: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(sb: &Superblock, space: &Space, leaves: usize) -> Self {
        let mut levels = Vec::new();
        let mut below = leaves;
        while below > 1 {
            below = even_parts(below, capacity(sb, space.size)).len();
            levels.push(below);
        }
        Self { leaves, levels }
    }

    /// Blocks of the index.
    pub(crate) fn blocks(&self) -> u64 {
        wide(self.levels.iter().fold(self.leaves, |sum, nodes| sum.saturating_add(*nodes)))
    }

    /// Where the leaf with this number lies, in file-system blocks.
    pub(crate) fn leaf(&self, space: &Space, number: usize) -> u64 {
        let before = u64::from(!self.levels.is_empty());
        space.index.saturating_add(before.saturating_add(wide(number)).saturating_mul(space.step))
    }

    /// Where the node with this number, counted from the first of the lowest level on, lies.
    fn node(&self, space: &Space, number: usize) -> u64 {
        let nodes = self.levels.iter().fold(0_usize, |sum, nodes| sum.saturating_add(*nodes));
        if number.saturating_add(1) == nodes {
            space.index
        } else {
            self.leaf(space, self.leaves.saturating_add(number))
        }
    }

    /// The nodes above leaves of which these are the highest hashes, with their places.
    pub(crate) fn nodes(
        &self,
        sb: &Superblock,
        space: &Space,
        highest: &[u32],
    ) -> Result<Vec<(u64, Vec<u8>)>> {
        let leaf = |(number, hash): (usize, &u32)| (*hash, word(self.leaf(space, number)));
        let mut below: Vec<(u32, u32)> = highest.iter().enumerate().map(leaf).collect();
        let mut blocks = Vec::new();
        for level in 1..=self.levels.len() {
            let parts: Vec<Range<usize>> = even_parts(below.len(), capacity(sb, space.size));
            let first = blocks.len();
            let mut above = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                let entries = below.get(part.clone()).unwrap_or_default();
                let place = |number: usize| word(self.node(space, first.saturating_add(number)));
                let back = number.checked_sub(1).map_or(0, place);
                let forw = number.checked_add(1).filter(|next| *next < parts.len()).map_or(0, place);
                let mut bytes = start_block(sb, space.size, NODE, (forw, back))?;
                let at = count_at(sb);
                put16(&mut bytes, at, half(entries.len()))?;
                put16(&mut bytes, at.saturating_add(2), half(level))?;
                put_entries(&mut bytes, header_len(sb), entries)?;
                above.push((entries.last().map_or(0, |(hash, _)| *hash), place(number)));
                blocks.push((u64::from(place(number)), bytes));
            }
            below = above;
        }
        Ok(blocks)
    }
}

/// An empty index block with its neighbours to the right and to the left.
pub(crate) fn start_block(
    sb: &Superblock,
    size: usize,
    kind: [u16; 2],
    (forw, back): (u32, u32),
) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    put32(&mut bytes, FORW_AT, forw)?;
    put32(&mut bytes, BACK_AT, back)?;
    put16(&mut bytes, MAGIC_AT, magic(sb, kind))?;
    Ok(bytes)
}

/// Pairs of 32-bit numbers: hashes and what they lead to.
pub(crate) fn put_entries(bytes: &mut [u8], at: usize, entries: &[(u32, u32)]) -> Result<()> {
    for (slot, (hash, value)) in entries.iter().enumerate() {
        let at = at.saturating_add(slot.saturating_mul(8));
        put32(bytes, at, *hash)?;
        put32(bytes, at.saturating_add(4), *value)?;
    }
    Ok(())
}

impl Change<'_> {
    /// Stages a block of a directory or of attributes, which must be mapped, with all that its header says.
    pub(crate) fn stage_space_block(
        &mut self,
        inode: &Inode,
        space: &Space,
        (at, mut bytes): (u64, Vec<u8>),
        header: Header,
    ) -> Result<()> {
        let mut places = Vec::new();
        for extent in self.fs.extents_in(inode, space.side, at..at.saturating_add(space.step))? {
            if let Some(piece) = extent.cut(at, at.saturating_add(space.step)) {
                places.extend(piece.physical..piece.physical.saturating_add(piece.len));
            }
        }
        let first = places.first().copied().ok_or_else(|| corrupt(inode, "a block is not mapped"))?;
        let sb = &self.fs.sb;
        if sb.v5() {
            let [crc, daddr, uuid, owner] = header.places();
            put64(&mut bytes, daddr, sb.daddr(first))?;
            put(&mut bytes, uuid, &sb.meta_uuid)?;
            put64(&mut bytes, owner, inode.number)?;
            checksum::update(&mut bytes, crc)?;
        }
        for (block, piece) in places.into_iter().zip(bytes.chunks(index(self.fs.sb.block_size))) {
            self.fs.blocks.stage(block, piece.to_vec())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_a_kernel_made() {
        // "big" and "big2" of an attribute leaf; a single byte is itself.
        assert_eq!(hash(b"big"), 0x0018_b4e7);
        assert_eq!(hash(b"big2"), 0x0c5a_73b2);
        assert_eq!(hash(b"."), 0x2e);
        assert_eq!(hash(b".."), 0x172e);
        assert_eq!(hash(b""), 0);
    }
}
