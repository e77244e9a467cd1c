//! The blocks of a file: extents in the inode, or a tree of them ("Block Map", "B+tree Extent List").

use std::collections::HashSet;
use std::ops::Range;

use vfs::{FsError, Result};

use crate::Xfs;
use crate::btree::Owned;
use crate::bytes::{be16, be64, half, index, part, put, put16, put64, wide};
use crate::change::Change;
use crate::checksum;
use crate::extent::{self, Extent, Side};
use crate::fork::{Fork, TreeRoot, tree_capacity};
use crate::inode::Inode;
use crate::space::{Owner, Run};
use crate::superblock::Superblock;

const MAGIC: &[u8] = b"BMAP";
const MAGIC_V5: &[u8] = b"BMA3";
/// The deepest tree that any kernel makes.
const MAX_LEVEL: u16 = 9;
/// "No block" as a neighbour.
const NULL: u64 = u64::MAX;

// The header, long form: its fields' places.
const LEVEL_AT: usize = 4;
const COUNT_AT: usize = 6;
const LEFT_AT: usize = 8;
const RIGHT_AT: usize = 16;
const DADDR_AT: usize = 24;
const UUID_AT: usize = 40;
const OWNER_AT: usize = 56;
const CRC_AT: usize = 64;

fn header_len(sb: &Superblock) -> usize {
    if sb.v5() { 72 } else { 24 }
}

/// Extents, or children, of a block: both take 16 bytes.
fn capacity(sb: &Superblock) -> usize {
    index(sb.block_size).saturating_sub(header_len(sb)) >> 4
}

/// A walk through the tree of a fork.
struct Visit<'a> {
    fs: &'a Xfs,
    inode: &'a Inode,
    range: Range<u64>,
    extents: Vec<Extent>,
    /// The blocks of the tree that were visited.
    blocks: Vec<u64>,
    seen: HashSet<u64>,
}

impl Visit<'_> {
    fn corrupt(&self, what: &'static str) -> FsError {
        FsError::corrupt(format!("extent tree of inode {}", self.inode.number), 0, what)
    }

    fn add(&mut self, extent: Extent) -> Result<()> {
        extent.check(&self.fs.sb)?;
        if self.extents.last().is_some_and(|last| last.end() > extent.logical) {
            return Err(self.corrupt("extents do not ascend"));
        }
        if extent.logical < self.range.end && extent.end() > self.range.start {
            self.extents.push(extent);
        }
        Ok(())
    }

    /// The children that map a part of the range.
    fn children(&mut self, children: &[(u64, u64)], level: u16) -> Result<()> {
        let first = children.partition_point(|&(key, _)| key <= self.range.start).saturating_sub(1);
        let end = children.partition_point(|&(key, _)| key < self.range.end);
        for &(_, block) in children.get(first..end).unwrap_or_default() {
            self.block(block, level)?;
        }
        Ok(())
    }

    fn block(&mut self, block: u64, level: u16) -> Result<()> {
        let sb = &self.fs.sb;
        let bytes = self.fs.blocks.read(block)?;
        if !self.seen.insert(block) {
            return Err(self.corrupt("a block has two parents"));
        }
        self.blocks.push(block);
        if part(&bytes, 0, 4)? != if sb.v5() { MAGIC_V5 } else { MAGIC } {
            return Err(self.corrupt("the magic number of a block is wrong"));
        }
        if sb.v5() {
            if !checksum::is_right(&bytes, CRC_AT) {
                return Err(self.corrupt("the checksum of a block is wrong"));
            }
            if be64(&bytes, DADDR_AT)? != sb.daddr(block)
                || part(&bytes, UUID_AT, 16)? != sb.meta_uuid
                || be64(&bytes, OWNER_AT)? != self.inode.number
            {
                return Err(self.corrupt("a block belongs elsewhere"));
            }
        }
        let count = usize::from(be16(&bytes, COUNT_AT)?);
        if be16(&bytes, LEVEL_AT)? != level || count == 0 || count > capacity(sb) {
            return Err(self.corrupt("a block has the wrong level or number of entries"));
        }
        let start = header_len(sb);
        if level == 0 {
            for record in part(&bytes, start, count.saturating_mul(16))?.chunks_exact(16) {
                self.add(Extent::decode(record)?)?;
            }
            return Ok(());
        }
        let pointers = start.saturating_add(capacity(sb).saturating_mul(8));
        let child = |slot: usize| {
            let at = slot.saturating_mul(8);
            Ok((be64(&bytes, start.saturating_add(at))?, be64(&bytes, pointers.saturating_add(at))?))
        };
        let children = (0..count).map(child).collect::<Result<Vec<_>>>()?;
        self.children(&children, level.saturating_sub(1))
    }
}

impl Xfs {
    fn visit(&self, inode: &Inode, side: Side, range: Range<u64>) -> Result<(Vec<Extent>, Vec<u64>)> {
        let mut visit =
            Visit { fs: self, inode, range, extents: Vec::new(), blocks: Vec::new(), seen: HashSet::new() };
        match inode.fork(side) {
            Fork::Extents(extents) => extents.into_iter().try_for_each(|extent| visit.add(extent))?,
            Fork::Tree(root) if root.level <= MAX_LEVEL => {
                visit.children(&root.children, root.level.saturating_sub(1))?;
            }
            Fork::Tree(_) => return Err(visit.corrupt("it has too many levels")),
            Fork::Inline(_) | Fork::Device(_) => {}
        }
        Ok((visit.extents, visit.blocks))
    }

    /// The extents of a fork that touch these blocks of the file, ascending. A fork without blocks has none.
    pub(crate) fn extents_in(&self, inode: &Inode, side: Side, range: Range<u64>) -> Result<Vec<Extent>> {
        Ok(self.visit(inode, side, range)?.0)
    }

    /// All extents of a fork, ascending.
    pub(crate) fn extents(&self, inode: &Inode, side: Side) -> Result<Vec<Extent>> {
        self.extents_in(inode, side, 0..u64::MAX)
    }
}

/// `len` things in as few parts of at most `most` as there can be, all about equally long.
pub(crate) fn even_parts(len: usize, most: usize) -> Vec<Range<usize>> {
    let parts = len.div_ceil(most.max(1)).max(1);
    let bound = |part: usize| part.saturating_mul(len).checked_div(parts).unwrap_or_default();
    (0..parts).map(|part| bound(part)..bound(part.saturating_add(1))).collect()
}

impl Change<'_> {
    /// Gives a fork these extents, and whatever tree they need.
    pub(crate) fn set_extents(&mut self, inode: &mut Inode, side: Side, extents: Vec<Extent>) -> Result<()> {
        self.free_tree(inode, side)?;
        let room = match side {
            Side::Data => inode.data_room(&self.fs.sb),
            Side::Attr => inode.attr_room(&self.fs.sb),
        };
        let count = wide(extents.len());
        let fork = if extents.len().saturating_mul(extent::LEN) <= room {
            Fork::Extents(extents)
        } else {
            Fork::Tree(self.write_tree(inode, side, &extents, tree_capacity(room))?)
        };
        match side {
            Side::Data => (inode.data, inode.data_extents) = (fork, count),
            Side::Attr => (inode.attr, inode.attr_extents) = (Some(fork), count),
        }
        Ok(())
    }

    /// Frees the blocks of the tree of a fork; its extents are for the caller to free.
    fn free_tree(&mut self, inode: &mut Inode, side: Side) -> Result<()> {
        let (_, blocks) = self.fs.visit(inode, side, 0..u64::MAX)?;
        for block in blocks {
            let (ag, start) = self.fs.sb.split(block);
            self.give_back(Run { ag, start, len: 1 }, tree_owner(inode, side))?;
            inode.count_blocks(0, 1);
        }
        Ok(())
    }

    /// Writes a tree from its leaves up.
    fn write_tree(
        &mut self,
        inode: &mut Inode,
        side: Side,
        extents: &[Extent],
        root_capacity: usize,
    ) -> Result<TreeRoot> {
        if root_capacity == 0 {
            return Err(FsError::NoSpace("an inode has no room for the root of its extent tree"));
        }
        let records: Vec<_> = extents.iter().map(|extent| (extent.logical, extent.encode())).collect();
        let mut children = self.write_level(inode, side, 0, &records)?;
        let mut level = 1_u16;
        while children.len() > root_capacity {
            let pairs = |&(key, block): &(u64, u64)| {
                let mut bytes = [0; extent::LEN];
                let (first, second) = bytes.split_at_mut(8);
                first.copy_from_slice(&key.to_be_bytes());
                second.copy_from_slice(&block.to_be_bytes());
                (key, bytes)
            };
            let records: Vec<_> = children.iter().map(pairs).collect();
            children = self.write_level(inode, side, level, &records)?;
            level = level.saturating_add(1);
        }
        Ok(TreeRoot { level, children })
    }

    /// Writes the blocks of one level; what their parents say of them. An entry is its key and 16 bytes: an
    /// extent, or the key and the child.
    fn write_level(
        &mut self,
        inode: &mut Inode,
        side: Side,
        level: u16,
        entries: &[(u64, [u8; extent::LEN])],
    ) -> Result<Vec<(u64, u64)>> {
        let parts = even_parts(entries.len(), capacity(&self.fs.sb));
        let goal = self.fs.sb.split_inode(inode.number).0;
        let mut blocks = Vec::new();
        for _ in &parts {
            let run = self.allocate(goal, 1, tree_owner(inode, side))?;
            blocks.push(self.fs.sb.join(run.ag, run.start));
            inode.count_blocks(1, 0);
        }
        let sb = &self.fs.sb;
        let mut children = Vec::new();
        let mut staged = Vec::new();
        for (number, (part, &block)) in parts.into_iter().zip(&blocks).enumerate() {
            let entries = entries.get(part).unwrap_or_default();
            let neighbour =
                |number: Option<usize>| number.and_then(|number| blocks.get(number)).unwrap_or(&NULL);
            let mut bytes = vec![0; index(sb.block_size)];
            put(&mut bytes, 0, if sb.v5() { MAGIC_V5 } else { MAGIC })?;
            put16(&mut bytes, LEVEL_AT, level)?;
            put16(&mut bytes, COUNT_AT, half(entries.len()))?;
            put64(&mut bytes, LEFT_AT, *neighbour(number.checked_sub(1)))?;
            put64(&mut bytes, RIGHT_AT, *neighbour(number.checked_add(1)))?;
            let start = header_len(sb);
            let pointers = start.saturating_add(capacity(sb).saturating_mul(8));
            for (slot, (_, entry)) in entries.iter().enumerate() {
                if level == 0 {
                    put(&mut bytes, start.saturating_add(slot.saturating_mul(16)), entry)?;
                    continue;
                }
                let at = slot.saturating_mul(8);
                let (key, child) = entry.split_at(8);
                put(&mut bytes, start.saturating_add(at), key)?;
                put(&mut bytes, pointers.saturating_add(at), child)?;
            }
            if sb.v5() {
                put64(&mut bytes, DADDR_AT, sb.daddr(block))?;
                put(&mut bytes, UUID_AT, &sb.meta_uuid)?;
                put64(&mut bytes, OWNER_AT, inode.number)?;
                checksum::update(&mut bytes, CRC_AT)?;
            }
            children.push((entries.first().map_or(0, |(key, _)| *key), block));
            staged.push((block, bytes));
        }
        for (block, bytes) in staged {
            self.fs.blocks.stage(block, bytes)?;
        }
        Ok(children)
    }

    /// Gives a fork blocks for exactly these ranges of it, and keeps the blocks that it has there already.
    pub(crate) fn map_ranges(&mut self, inode: &mut Inode, side: Side, wanted: &[Range<u64>]) -> Result<()> {
        let old = self.fs.extents(inode, side)?;
        let mut surplus = Vec::new();
        let mut kept = Vec::new();
        for extent in &old {
            let mut from = extent.logical;
            for range in wanted {
                if let Some(piece) = extent.cut(range.start, range.end) {
                    surplus.extend(extent.cut(from, piece.logical));
                    from = piece.end();
                    kept.push(piece);
                }
            }
            surplus.extend(extent.cut(from, extent.end()));
        }
        let mut missing = Vec::new();
        for range in wanted {
            let mut from = range.start;
            for piece in kept.iter().filter(|piece| piece.logical >= range.start && piece.end() <= range.end)
            {
                missing.push(from..piece.logical);
                from = piece.end();
            }
            missing.push(from..range.end);
        }
        missing.retain(|range| range.start < range.end);
        if surplus.is_empty() && missing.is_empty() {
            return Ok(());
        }
        for extent in surplus {
            self.free_extent(inode, side, extent)?;
        }
        for range in missing {
            kept.extend(self.allocate_extents(inode, side, range)?);
        }
        kept.sort_unstable_by_key(|extent| extent.logical);
        let mut extents = Vec::new();
        kept.into_iter().for_each(|extent| extent::push(&mut extents, &self.fs.sb, extent));
        self.set_extents(inode, side, extents)
    }

    /// Takes blocks for a range of a fork; the fork does not have them yet.
    pub(crate) fn allocate_extents(
        &mut self,
        inode: &mut Inode,
        side: Side,
        range: Range<u64>,
    ) -> Result<Vec<Extent>> {
        let goal = self.fs.sb.split_inode(inode.number).0;
        let mut extents = Vec::new();
        let mut logical = range.start;
        while logical < range.end {
            let owner = content_owner(inode, side, logical, false);
            let run = self.allocate(goal, range.end.saturating_sub(logical), owner)?;
            let len = u64::from(run.len);
            let physical = self.fs.sb.join(run.ag, run.start);
            extent::push(&mut extents, &self.fs.sb, Extent { logical, physical, len, unwritten: false });
            inode.count_blocks(len, 0);
            logical = logical.saturating_add(len);
        }
        Ok(extents)
    }

    /// Gives the blocks of an extent back; the fork still has it.
    pub(crate) fn free_extent(&mut self, inode: &mut Inode, side: Side, extent: Extent) -> Result<()> {
        extent.check(&self.fs.sb)?;
        let (ag, start) = self.fs.sb.split(extent.physical);
        let run = Run { ag, start, len: crate::bytes::word(extent.len) };
        let owner = content_owner(inode, side, extent.logical, extent.unwritten);
        inode.count_blocks(0, extent.len);
        match side {
            Side::Data => self.give_back_shared(run, owner),
            Side::Attr => self.give_back(run, owner),
        }
    }
}

fn attr_flag(side: Side) -> u64 {
    match side {
        Side::Data => 0,
        Side::Attr => Owned::ATTR,
    }
}

fn tree_owner(inode: &Inode, side: Side) -> Owner {
    Owner { owner: inode.number, offset: Owned::TREE | attr_flag(side) }
}

fn content_owner(inode: &Inode, side: Side, logical: u64, unwritten: bool) -> Owner {
    let unwritten = if unwritten { Owned::UNWRITTEN } else { 0 };
    Owner { owner: inode.number, offset: logical | attr_flag(side) | unwritten }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even() {
        assert_eq!(even_parts(10, 4), [0..3, 3..6, 6..10]);
        assert_eq!(even_parts(8, 4), [0..4, 4..8]);
        assert!(even_parts(0, 4).iter().eq(&[0..0; 1]));
    }
}
