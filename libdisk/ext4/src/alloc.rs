//! Handing out blocks and inodes, and taking them back.

use std::collections::BTreeMap;
use std::ops::Range;

use vfs::{FsError, Result};

use crate::Ext4;
use crate::bitmap::Bitmap;
use crate::bytes::{index, low32, part, wide};
use crate::change::Change;
use crate::checksum::crc32c;
use crate::inode::Inode;

/// Groups with any free block that are looked at before the longest run seen so far is taken.
const PATIENCE: usize = 32;

/// The bitmaps a change has looked at.
#[derive(Debug)]
pub(crate) struct Allocator {
    blocks: BTreeMap<u32, Loaded>,
    inodes: BTreeMap<u32, Loaded>,
    /// Where the layout itself is: never a file's.
    zones: Vec<Range<u64>>,
}

#[derive(Debug)]
struct Loaded {
    bitmap: Bitmap,
    dirty: bool,
    /// No run of free bits is longer; kept up to date where it matters.
    longest: u32,
}

impl Loaded {
    fn new(bitmap: Bitmap) -> Self {
        let longest = longest_run(&bitmap);
        Self { bitmap, dirty: false, longest }
    }

    fn set(&mut self, bits: Range<u32>, value: bool) {
        self.bitmap.set(bits, value);
        self.dirty = true;
        self.longest = longest_run(&self.bitmap);
    }
}

fn longest_run(bitmap: &Bitmap) -> u32 {
    bitmap.free_runs(0).map(|run| run.end.saturating_sub(run.start)).max().unwrap_or_default()
}

impl Allocator {
    pub(crate) fn new(fs: &Ext4) -> Self {
        Self { blocks: BTreeMap::new(), inodes: BTreeMap::new(), zones: fs.system_zones() }
    }

    fn check_zones(&self, blocks: &Range<u64>, byte: u64) -> Result<()> {
        let after = self.zones.partition_point(|zone| zone.end <= blocks.start);
        if self.zones.get(after).is_some_and(|zone| zone.start < blocks.end) {
            return Err(FsError::corrupt(
                "block allocation",
                byte,
                "a block of the layout itself counts as a file's",
            ));
        }
        Ok(())
    }
}

impl Change<'_> {
    fn block_group(&mut self, group: u32) -> Result<&mut Loaded> {
        if !self.alloc.blocks.contains_key(&group) {
            let loaded = Loaded::new(self.fs.block_bitmap(group)?);
            self.alloc.blocks.insert(group, loaded);
        }
        self.alloc.blocks.get_mut(&group).ok_or(FsError::NotFound)
    }

    fn inode_group(&mut self, group: u32) -> Result<&mut Loaded> {
        if !self.alloc.inodes.contains_key(&group) {
            let loaded = Loaded::new(self.fs.inode_bitmap(group)?);
            self.alloc.inodes.insert(group, loaded);
        }
        self.alloc.inodes.get_mut(&group).ok_or(FsError::NotFound)
    }

    /// Where content of an inode should lie: in its group.
    pub(crate) fn goal(&self, inode: &Inode) -> u64 {
        self.fs.sb.group_start(self.fs.sb.group_of_inode(inode.number).0)
    }

    /// Takes a run of at most `want` blocks, as near after `goal` and as long as can be had at little cost.
    pub(crate) fn allocate_run(&mut self, goal: u64, want: u64) -> Result<Range<u64>> {
        let groups = self.fs.sb.groups;
        let goal = if goal < self.fs.sb.blocks { goal } else { 0 };
        let (first, from) = self.fs.sb.group_of(goal);
        let want = low32(want.clamp(1, u64::from(self.fs.sb.blocks_per_group)));
        let mut best: Option<(u32, Range<u32>)> = None;
        let mut seen = 0_usize;
        for group in (first..groups).chain(0..first) {
            if self.fs.group(group)?.free_blocks() == 0 {
                continue;
            }
            let from = if group == first { from } else { 0 };
            if let Some(run) = self.best_run(group, from, want)? {
                let len = run.end.saturating_sub(run.start);
                if best.as_ref().is_none_or(|(_, best)| best.end.saturating_sub(best.start) < len) {
                    best = Some((group, run));
                }
                seen = seen.saturating_add(1);
                if len >= want || seen >= PATIENCE {
                    break;
                }
            }
        }
        let (group, bits) = best.ok_or(FsError::NoSpace("no free blocks"))?;
        let bits = bits.start..bits.end.min(bits.start.saturating_add(want));
        let start = self.fs.sb.group_start(group);
        let run = start.saturating_add(bits.start.into())..start.saturating_add(bits.end.into());
        self.alloc.check_zones(&run, self.fs.sb.byte(run.start))?;
        self.block_group(group)?.set(bits.clone(), true);
        let taken = bits.end.saturating_sub(bits.start);
        let descriptor = self.edit_group(group)?;
        descriptor.initialise_blocks();
        descriptor.set_free_blocks(descriptor.free_blocks().saturating_sub(taken));
        Ok(run)
    }

    /// The first run of `want` free blocks of a group from `from` on, else from its start, else its longest.
    fn best_run(&mut self, group: u32, from: u32, want: u32) -> Result<Option<Range<u32>>> {
        let loaded = self.block_group(group)?;
        if loaded.longest == 0 {
            return Ok(None);
        }
        let enough = want.min(loaded.longest);
        let long = |run: &Range<u32>| run.end.saturating_sub(run.start) >= enough;
        Ok(loaded.bitmap.free_runs(from).find(long).or_else(|| loaded.bitmap.free_runs(0).find(long)))
    }

    /// Gives a run of blocks back; all of them must be in use.
    pub(crate) fn free_blocks(&mut self, blocks: Range<u64>) -> Result<()> {
        let byte = self.fs.sb.byte(blocks.start);
        let corrupt = |what| FsError::corrupt("block bitmap", byte, what);
        self.alloc.check_zones(&blocks, byte)?;
        if blocks.end > self.fs.sb.blocks {
            return Err(corrupt("a block to free lies outside the file system"));
        }
        let mut start = blocks.start;
        while start < blocks.end {
            self.fs.blocks.place(start)?;
            let (group, first) = self.fs.sb.group_of(start);
            let group_len = self.fs.sb.group_len(group);
            let len = low32(blocks.end.saturating_sub(start)).min(group_len.saturating_sub(first)).max(1);
            let bits = first..first.saturating_add(len);
            let loaded = self.block_group(group)?;
            if loaded.bitmap.find(first, false).is_some_and(|free| free < bits.end) {
                return Err(corrupt("a block to free is free already"));
            }
            loaded.set(bits, false);
            let descriptor = self.edit_group(group)?;
            descriptor.initialise_blocks();
            let free = descriptor.free_blocks().saturating_add(len);
            if free > group_len {
                return Err(corrupt("the group counts more free blocks than it has"));
            }
            descriptor.set_free_blocks(free);
            start = start.saturating_add(len.into());
        }
        blocks.for_each(|block| self.fs.blocks.forget(block));
        Ok(())
    }

    /// A new, empty inode, as near to the directory as can be.
    pub(crate) fn allocate_inode(&mut self, near: &Inode, is_dir: bool) -> Result<Inode> {
        let first = self.fs.sb.group_of_inode(near.number).0;
        let per_group = self.fs.sb.inodes_per_group;
        for group in (first..self.fs.sb.groups).chain(0..first) {
            if self.fs.group(group)?.free_inodes() == 0 {
                continue;
            }
            let base = group.saturating_mul(per_group);
            let reserved = self.fs.sb.first_inode.saturating_sub(1).saturating_sub(base);
            let Some(bit) = self.inode_group(group)?.bitmap.find(reserved, false) else { continue };
            let number = base.saturating_add(bit).saturating_add(1);
            if number > self.fs.sb.inodes {
                continue;
            }
            self.inode_group(group)?.set(bit..bit.saturating_add(1), true);
            let descriptor = self.edit_group(group)?;
            // Behind this mark the table was never written.
            let never_used = bit >= per_group.saturating_sub(descriptor.unused_inodes());
            descriptor.initialise_inodes();
            descriptor.set_free_inodes(descriptor.free_inodes().saturating_sub(1));
            if never_used {
                descriptor.set_unused_inodes(per_group.saturating_sub(bit).saturating_sub(1));
            }
            if is_dir {
                descriptor.set_used_dirs(descriptor.used_dirs().saturating_add(1));
            }
            // A handle of the inode's former life must not open the new one.
            let generation = if never_used { 0 } else { self.fs.raw_inode(number)?.generation() };
            return Inode::new(&self.fs.sb, number, generation.wrapping_add(1));
        }
        Err(FsError::NoSpace("no free inodes"))
    }

    /// Gives an inode back and clears it, but for its generation.
    pub(crate) fn free_inode(&mut self, inode: &Inode) -> Result<()> {
        let (group, bit) = self.fs.sb.group_of_inode(inode.number);
        let loaded = self.inode_group(group)?;
        if !loaded.bitmap.get(bit) {
            return Err(inode.corrupt("it is free already"));
        }
        loaded.set(bit..bit.saturating_add(1), false);
        let was_dir = inode.is_dir();
        let descriptor = self.edit_group(group)?;
        descriptor.initialise_inodes();
        descriptor.set_free_inodes(descriptor.free_inodes().saturating_add(1));
        if was_dir {
            descriptor.set_used_dirs(descriptor.used_dirs().saturating_sub(1));
        }
        let mut cleared = Inode::new(&self.fs.sb, inode.number, inode.generation())?;
        self.fs.stage_inode(&mut cleared)
    }

    /// Stages the bitmaps that changed, their checksums going into the descriptors.
    pub(crate) fn stage_bitmaps(&mut self) -> Result<()> {
        let (seed, checksums) = (self.fs.sb.seed, self.fs.sb.checksums());
        let block_bytes = index(self.fs.sb.blocks_per_group >> 3);
        let inode_bytes = index(self.fs.sb.inodes_per_group >> 3);
        let dirty = |loaded: &BTreeMap<u32, Loaded>| -> Vec<(u32, Vec<u8>)> {
            let dirty = loaded.iter().filter(|(_, loaded)| loaded.dirty);
            dirty.map(|(&group, loaded)| (group, loaded.bitmap.bytes().to_vec())).collect()
        };
        for (group, bytes) in dirty(&self.alloc.blocks) {
            let sum = crc32c(seed, part(&bytes, 0, block_bytes)?);
            let descriptor = self.edit_group(group)?;
            if checksums {
                descriptor.set_block_bitmap_checksum(sum);
            }
            let place = descriptor.block_bitmap();
            self.fs.blocks.stage(place, bytes)?;
        }
        for (group, bytes) in dirty(&self.alloc.inodes) {
            let sum = crc32c(seed, part(&bytes, 0, inode_bytes)?);
            let descriptor = self.edit_group(group)?;
            if checksums {
                descriptor.set_inode_bitmap_checksum(sum);
            }
            let place = descriptor.inode_bitmap();
            self.fs.blocks.stage(place, bytes)?;
        }
        Ok(())
    }
}

/// Blocks that this many bytes need.
pub(crate) fn blocks_for(bytes: usize, block_size: u32) -> u64 {
    wide(bytes).div_ceil(u64::from(block_size))
}
