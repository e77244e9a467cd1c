//! The index of larger directories: leaves of hashes, and how much room each data block has
//! ("Leaf Directories", "Node Directories").

use std::collections::HashSet;

use vfs::Result;

use crate::Xfs;
use crate::bytes::{be16, be32, half, part, put, put16, put32, wide, word};
use crate::da::{self, Header, Plan, Space};
use crate::inode::Inode;
use crate::superblock::Superblock;

/// The only leaf, with the room of the data blocks at its end; version 4, version 5.
const LEAF1: [u16; 2] = [0xd2f1, 0x3df1];
/// One of several.
const LEAFN: [u16; 2] = [0xd2ff, 0x3dff];
/// The room of data blocks, of their own.
const FREE: [&[u8; 4]; 2] = [b"XD2F", b"XDF3"];

/// Where the free space blocks start, in bytes.
const FREE_START: u64 = 2 << 35;

/// What a place is that holds nothing any more.
const STALE: u32 = 0;

/// The addresses that a hash leads to.
pub(super) fn places(fs: &Xfs, dir: &Inode, space: &Space, hash: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let Some(mut leaf) = fs.first_leaf(dir, space, hash)? else { return Ok(found) };
    loop {
        let kind = da::magic_of(&leaf)?;
        if kind != da::magic(&fs.sb, LEAF1) && kind != da::magic(&fs.sb, LEAFN) {
            return Err(dir.corrupt("the magic number of a directory leaf is wrong"));
        }
        let count = usize::from(be16(&leaf, da::count_at(&fs.sb))?);
        let entries = part(&leaf, da::header_len(&fs.sb), count.saturating_mul(8))?;
        for entry in entries.chunks_exact(8) {
            let (there, address) = (be32(entry, 0)?, be32(entry, 4)?);
            if there > hash {
                return Ok(found);
            }
            if there == hash && address != STALE {
                found.push(address);
            }
        }
        let next = da::forward(&leaf)?;
        if next == 0 || kind == da::magic(&fs.sb, LEAF1) {
            return Ok(found);
        }
        if !seen.insert(next) {
            return Err(dir.corrupt("the leaves of a directory go round in a circle"));
        }
        leaf = fs.space_block(dir, space, next.into(), Header::Index)?;
    }
}

/// Which blocks the index of a directory needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// All in one leaf.
    Leaf,
    /// Leaves and nodes, and so many free space blocks.
    Node(Plan, usize),
}

/// Data blocks that a free space block tells of.
fn free_capacity(sb: &Superblock, space: &Space) -> usize {
    space.size.saturating_sub(da::header_len(sb)) >> 1
}

impl Shape {
    /// For so many entries, "." and ".." among them, in so many data blocks.
    pub(super) fn new(sb: &Superblock, space: &Space, entries: usize, blocks: usize) -> Self {
        let used = entries.saturating_mul(8).saturating_add(blocks.saturating_mul(2)).saturating_add(4);
        if used <= space.size.saturating_sub(da::header_len(sb)) {
            return Self::Leaf;
        }
        let leaves = entries.div_ceil(da::capacity(sb, space.size).max(1));
        let free = blocks.div_ceil(free_capacity(sb, space).max(1));
        Self::Node(Plan::new(sb, space, leaves), free)
    }

    /// The ranges of the directory that the index takes, in file-system blocks.
    pub(super) fn ranges(&self, sb: &Superblock, space: &Space) -> Vec<std::ops::Range<u64>> {
        let range = |start: u64, blocks: u64| start..start.saturating_add(blocks.saturating_mul(space.step));
        match self {
            Self::Leaf => vec![range(space.index, 1)],
            Self::Node(plan, free) => {
                vec![range(space.index, plan.blocks()), range(FREE_START >> sb.block_log, wide(*free))]
            }
        }
    }

    /// The blocks, from the entries by ascending hash and the room of each data block.
    pub(super) fn encode(
        &self,
        sb: &Superblock,
        space: &Space,
        entries: &[(u32, u32)],
        room: &[u16],
    ) -> Result<Vec<(Header, u64, Vec<u8>)>> {
        let Self::Node(plan, _) = self else {
            let mut leaf = leaf(sb, space, LEAF1, (0, 0), entries)?;
            let tail = space.size.saturating_sub(4);
            put32(&mut leaf, tail, word(room.len()))?;
            let bests = tail.saturating_sub(room.len().saturating_mul(2));
            put_room(&mut leaf, bests, room)?;
            return Ok(vec![(Header::Index, space.index, leaf)]);
        };
        let mut blocks = Vec::new();
        let mut highest = Vec::new();
        let parts = crate::bmap::even_parts(entries.len(), da::capacity(sb, space.size));
        for (number, part) in parts.iter().enumerate() {
            let entries = entries.get(part.clone()).unwrap_or_default();
            let place = |number: usize| word(plan.leaf(space, number));
            let back = number.checked_sub(1).map_or(0, place);
            let forw = number.checked_add(1).filter(|next| *next < parts.len()).map_or(0, place);
            highest.push(entries.last().map_or(0, |(hash, _)| *hash));
            let leaf = leaf(sb, space, LEAFN, (forw, back), entries)?;
            blocks.push((Header::Index, plan.leaf(space, number), leaf));
        }
        let nodes = plan.nodes(sb, space, &highest)?;
        blocks.extend(nodes.into_iter().map(|(at, node)| (Header::Index, at, node)));
        for (number, room) in room.chunks(free_capacity(sb, space).max(1)).enumerate() {
            let at = (FREE_START >> sb.block_log).saturating_add(wide(number).saturating_mul(space.step));
            blocks.push((Header::Data, at, free(sb, space, number, room)?));
        }
        Ok(blocks)
    }
}

fn leaf(
    sb: &Superblock,
    space: &Space,
    kind: [u16; 2],
    neighbours: (u32, u32),
    entries: &[(u32, u32)],
) -> Result<Vec<u8>> {
    let mut leaf = da::start_block(sb, space.size, kind, neighbours)?;
    put16(&mut leaf, da::count_at(sb), half(entries.len()))?;
    da::put_entries(&mut leaf, da::header_len(sb), entries)?;
    Ok(leaf)
}

fn put_room(block: &mut [u8], at: usize, room: &[u16]) -> Result<()> {
    let bytes: Vec<u8> = room.iter().flat_map(|room| room.to_be_bytes()).collect();
    put(block, at, &bytes)
}

fn free(sb: &Superblock, space: &Space, number: usize, room: &[u16]) -> Result<Vec<u8>> {
    let mut block = vec![0; space.size];
    let ([v4, v5], at) = (FREE, if sb.v5() { 48 } else { 4 });
    put(&mut block, 0, if sb.v5() { v5 } else { v4 })?;
    put32(&mut block, at, word(number.saturating_mul(free_capacity(sb, space))))?;
    put32(&mut block, at.saturating_add(4), word(room.len()))?;
    put32(&mut block, at.saturating_add(8), word(room.len()))?;
    put_room(&mut block, da::header_len(sb), room)?;
    Ok(block)
}
