//! Block maps: direct, indirect, double and triple indirect blocks
//! ("ext4 disk layout: Direct/Indirect Block Addressing").

use vfs::{FsError, Result};

use crate::Ext4;
use crate::bytes::{index, le32, low32, put32, wide};
use crate::change::Change;
use crate::inode::Inode;
use crate::mapping::{Extent, Walk};

const DIRECT: u64 = 12;

/// Blocks that a pointer of this level covers: 1 for a direct one.
fn span(per_block: u64, level: u32) -> u64 {
    per_block.saturating_pow(level)
}

fn per_block(block_size: usize) -> u64 {
    wide(block_size >> 2)
}

/// The slot in `i_block` from which `logical` is reached, its level, and the rest of the way.
fn slot_of(per_block: u64, logical: u64) -> Option<(usize, u32, u64)> {
    if logical < DIRECT {
        return Some((index(logical), 0, 0));
    }
    let mut rest = logical.saturating_sub(DIRECT);
    for (slot, level) in [(12, 1), (13, 2), (14, 3)] {
        let covered = span(per_block, level);
        if rest < covered {
            return Some((slot, level, rest));
        }
        rest = rest.saturating_sub(covered);
    }
    None
}

/// See [`Ext4::map`].
pub(crate) fn map(fs: &Ext4, inode: &Inode, logical: u64) -> Result<(Option<u64>, u64)> {
    let per_block = per_block(fs.blocks.block_size());
    let Some((slot, mut level, mut rest)) = slot_of(per_block, logical) else {
        return Ok((None, u64::MAX.saturating_sub(logical)));
    };
    let mut bytes = inode.block().to_vec();
    let mut at = slot;
    // The last slot of this array that is of the same level.
    let mut end = if level == 0 { index(DIRECT) } else { slot.saturating_add(1) };
    loop {
        let pointer = u64::from(le32(&bytes, at.saturating_mul(4))?);
        if pointer == 0 {
            return Ok((None, span(per_block, level).saturating_sub(rest)));
        }
        if level == 0 {
            let mut len = 1_u64;
            while at.saturating_add(index(len)) < end
                && u64::from(le32(&bytes, at.saturating_add(index(len)).saturating_mul(4))?)
                    == pointer.saturating_add(len)
            {
                len = len.saturating_add(1);
            }
            return Ok((Some(pointer), len));
        }
        bytes = fs.blocks.read(pointer)?.to_vec();
        level = level.saturating_sub(1);
        let covered = span(per_block, level).max(1);
        at = index(rest.checked_div(covered).unwrap_or_default());
        rest = rest.checked_rem(covered).unwrap_or_default();
        end = index(per_block);
    }
}

/// Walks the whole map.
pub(crate) fn walk(walk: &mut Walk<'_>) -> Result<()> {
    let root = walk.inode.block();
    let per_block = per_block(walk.fs.blocks.block_size());
    let mut logical = 0;
    for slot in 0..15_usize {
        let level = low32(wide(slot.saturating_sub(11)));
        visit(walk, le32(root, slot.saturating_mul(4))?, level, logical)?;
        logical = logical.saturating_add(span(per_block, level));
    }
    Ok(())
}

/// Recursion ends: the level falls.
fn visit(walk: &mut Walk<'_>, pointer: u32, level: u32, logical: u64) -> Result<()> {
    let physical = u64::from(pointer);
    if pointer == 0 {
        return Ok(());
    }
    walk.fs.check_run(walk.inode, physical, 1)?;
    let Some(below) = level.checked_sub(1) else {
        return walk.found(Extent { logical, physical, len: 1, unwritten: false });
    };
    walk.enter(physical)?;
    let bytes = walk.fs.blocks.read(physical)?;
    let step = span(per_block(bytes.len()), below);
    for (at, pointer) in bytes.chunks_exact(4).enumerate() {
        visit(walk, le32(pointer, 0)?, below, logical.saturating_add(wide(at).saturating_mul(step)))?;
    }
    Ok(())
}

impl Change<'_> {
    /// Gives `inode` a map of these extents, made of blocks of `pool` as far as they go; takes what it needs
    /// from there.
    pub(crate) fn write_block_map(
        &mut self,
        inode: &mut Inode,
        extents: &[Extent],
        pool: &mut Vec<u64>,
    ) -> Result<u64> {
        let end = extents.last().map_or(0, Extent::end);
        let per_block = per_block(self.fs.blocks.block_size());
        let too_big = || FsError::Invalid("the file is too large for a block map".into());
        if end > 0 && slot_of(per_block, end.saturating_sub(1)).is_none() {
            return Err(too_big());
        }
        let mut pointers = vec![0_u32; index(end)];
        for extent in extents {
            for (logical, physical) in (extent.logical..extent.end()).zip(extent.physical..) {
                let pointer = pointers.get_mut(index(logical)).ok_or_else(too_big)?;
                *pointer = u32::try_from(physical).map_err(|_| too_big())?;
            }
        }
        let goal = extents.last().map_or(0, Extent::physical_end);
        let mut rest = pointers.as_slice();
        let mut blocks = 0;
        inode.block_mut().fill(0);
        for slot in 0..15_usize {
            let level = low32(wide(slot.saturating_sub(11)));
            let (mine, others) = rest.split_at(index(span(per_block, level)).min(rest.len()));
            rest = others;
            let pointer = self.write_pointers(mine, level, pool, goal, &mut blocks)?;
            put32(inode.block_mut(), slot.saturating_mul(4), pointer)?;
        }
        Ok(blocks)
    }

    /// Cuts a map off before the file's block `keep`; says how many of its own blocks that frees. What they
    /// led to is freed by the caller, who has walked the map: it is a tree.
    pub(crate) fn cut_block_map(&mut self, inode: &mut Inode, keep: u64) -> Result<u64> {
        let per_block = per_block(self.fs.blocks.block_size());
        let mut logical = 0;
        let mut freed = 0;
        for slot in 0..15_usize {
            let level = low32(wide(slot.saturating_sub(11)));
            let at = slot.saturating_mul(4);
            let pointer = self.cut_pointer(le32(inode.block(), at)?, level, logical, keep, &mut freed)?;
            put32(inode.block_mut(), at, pointer)?;
            logical = logical.saturating_add(span(per_block, level));
        }
        Ok(freed)
    }

    /// Cuts off what one pointer leads to; recursion ends, for the level falls.
    fn cut_pointer(
        &mut self,
        pointer: u32,
        level: u32,
        logical: u64,
        keep: u64,
        freed: &mut u64,
    ) -> Result<u32> {
        let block = u64::from(pointer);
        let step = span(per_block(self.fs.blocks.block_size()), level);
        if pointer == 0 || logical.saturating_add(step) <= keep {
            return Ok(pointer);
        }
        let Some(below) = level.checked_sub(1) else { return Ok(0) };
        let mut bytes = self.fs.blocks.read(block)?.to_vec();
        let step = span(per_block(bytes.len()), below);
        for at in (0..bytes.len()).step_by(4) {
            let start = logical.saturating_add(wide(at >> 2).saturating_mul(step));
            let child = self.cut_pointer(le32(&bytes, at)?, below, start, keep, freed)?;
            put32(&mut bytes, at, child)?;
        }
        if logical < keep {
            self.fs.blocks.stage(block, bytes)?;
            return Ok(pointer);
        }
        self.free_blocks(block..block.saturating_add(1))?;
        *freed = freed.saturating_add(1);
        Ok(0)
    }

    /// Writes the blocks below one pointer and returns it; all zeros need none.
    fn write_pointers(
        &mut self,
        pointers: &[u32],
        level: u32,
        pool: &mut Vec<u64>,
        goal: u64,
        blocks: &mut u64,
    ) -> Result<u32> {
        let Some(below) = level.checked_sub(1) else {
            return Ok(pointers.first().copied().unwrap_or_default());
        };
        if pointers.iter().all(|&pointer| pointer == 0) {
            return Ok(0);
        }
        let block = self.tree_block(pool, goal)?;
        *blocks = blocks.saturating_add(1);
        let size = self.fs.blocks.block_size();
        let mut bytes = vec![0; size];
        for (at, part) in pointers.chunks(index(span(per_block(size), below)).max(1)).enumerate() {
            let pointer = self.write_pointers(part, below, pool, goal, blocks)?;
            put32(&mut bytes, at.saturating_mul(4), pointer)?;
        }
        self.fs.blocks.stage(block, bytes)?;
        u32::try_from(block).map_err(|_| FsError::Invalid("the volume is too large for a block map".into()))
    }
}
