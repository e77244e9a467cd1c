//! Handing out blocks and inodes, and taking them back.

use std::collections::BTreeMap;
use std::ops::Range;

use vfs::{FsError, Result};

use crate::Ext4;
use crate::bitmap::Bitmap;
use crate::bytes::{index, low32};
use crate::change::Change;
use crate::checksum::crc32c;
use crate::inode::Inode;

/// Groups with any free block that are looked at before the longest run seen so far is taken.
const PATIENCE: usize = 32;

/// The bitmaps a change has looked at. What is changed here is staged at once.
#[derive(Debug)]
pub(crate) struct Allocator {
    blocks: BTreeMap<u32, BlockGroup>,
    inodes: BTreeMap<u32, Bitmap>,
    /// Where the layout itself is: never a file's.
    zones: Vec<Range<u64>>,
}

#[derive(Debug)]
struct BlockGroup {
    bitmap: Bitmap,
    /// No run of free blocks is longer, if this is known.
    longest: Option<u32>,
}

impl BlockGroup {
    fn measure(&mut self) -> u32 {
        let longest =
            self.bitmap.free_runs(0).map(|run| run.end.saturating_sub(run.start)).max().unwrap_or_default();
        self.longest = Some(longest);
        longest
    }

    /// The first run of `want` free blocks from `from` on, else from the start, else the longest.
    fn best_run(&mut self, from: u32, want: u32) -> Option<Range<u32>> {
        let longest = self.longest.unwrap_or_else(|| self.measure());
        let find = |enough: u32| {
            let long = |run: &Range<u32>| run.end.saturating_sub(run.start) >= enough;
            self.bitmap.free_runs(from).find(long).or_else(|| self.bitmap.free_runs(0).find(long))
        };
        // What was taken since the last measurement may have made runs shorter than we think.
        find(want.min(longest)).or_else(|| match self.measure() {
            0 => None,
            longest => {
                self.bitmap.free_runs(0).find(|run| run.end.saturating_sub(run.start) >= longest.min(want))
            }
        })
    }
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
    fn block_group(&mut self, group: u32) -> Result<&mut BlockGroup> {
        if !self.alloc.blocks.contains_key(&group) {
            let bitmap = self.fs.block_bitmap(group)?;
            self.alloc.blocks.insert(group, BlockGroup { bitmap, longest: None });
        }
        self.alloc.blocks.get_mut(&group).ok_or(FsError::NotFound)
    }

    fn inode_group(&mut self, group: u32) -> Result<&mut Bitmap> {
        if !self.alloc.inodes.contains_key(&group) {
            let bitmap = self.fs.inode_bitmap(group)?;
            self.alloc.inodes.insert(group, bitmap);
        }
        self.alloc.inodes.get_mut(&group).ok_or(FsError::NotFound)
    }

    /// Takes blocks or gives them back: bitmap, its checksum, and the count of the group.
    fn mark_blocks(&mut self, group: u32, bits: Range<u32>, taken: bool) -> Result<()> {
        let len = bits.end.saturating_sub(bits.start);
        let loaded = self.block_group(group)?;
        loaded.bitmap.set(bits, taken);
        if !taken {
            loaded.longest = None;
        }
        let bytes = loaded.bitmap.bytes().to_vec();
        let sum = self.bitmap_checksum(&bytes, self.fs.sb.blocks_per_group);
        let descriptor = self.edit_group(group)?;
        descriptor.initialise_blocks();
        let free = descriptor.free_blocks();
        descriptor.set_free_blocks(if taken { free.saturating_sub(len) } else { free.saturating_add(len) });
        descriptor.set_block_bitmap_checksum(sum);
        let place = descriptor.block_bitmap();
        self.fs.blocks.stage(place, bytes)
    }

    /// Takes an inode or gives it back, likewise.
    fn mark_inode(&mut self, group: u32, bit: u32, taken: bool) -> Result<()> {
        let bitmap = self.inode_group(group)?;
        bitmap.set(bit..bit.saturating_add(1), taken);
        let bytes = bitmap.bytes().to_vec();
        let sum = self.bitmap_checksum(&bytes, self.fs.sb.inodes_per_group);
        let descriptor = self.edit_group(group)?;
        descriptor.initialise_inodes();
        let free = descriptor.free_inodes();
        descriptor.set_free_inodes(if taken { free.saturating_sub(1) } else { free.saturating_add(1) });
        descriptor.set_inode_bitmap_checksum(sum);
        let place = descriptor.inode_bitmap();
        self.fs.blocks.stage(place, bytes)
    }

    /// The checksum of a bitmap, 0 where there is none.
    fn bitmap_checksum(&self, bytes: &[u8], bits: u32) -> u32 {
        let covered = bytes.get(..index(bits >> 3)).unwrap_or(bytes);
        if self.fs.sb.checksums() { crc32c(self.fs.sb.seed, covered) } else { 0 }
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
            if let Some(run) = self.block_group(group)?.best_run(from, want) {
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
        self.mark_blocks(group, bits, true)?;
        Ok(run)
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
            let rest = self.fs.sb.group_len(group).saturating_sub(first);
            let len = low32(blocks.end.saturating_sub(start).min(rest.into())).max(1);
            let bits = first..first.saturating_add(len);
            if self.block_group(group)?.bitmap.find(first, false).is_some_and(|free| free < bits.end) {
                return Err(corrupt("a block to free is free already"));
            }
            self.mark_blocks(group, bits, false)?;
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
            let Some(bit) = self.inode_group(group)?.find(reserved, false) else { continue };
            let number = base.saturating_add(bit).saturating_add(1);
            if number > self.fs.sb.inodes {
                continue;
            }
            self.mark_inode(group, bit, true)?;
            let descriptor = self.edit_group(group)?;
            // Behind this mark the table was never written.
            let never_used = bit >= per_group.saturating_sub(descriptor.unused_inodes());
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
        if !self.inode_group(group)?.get(bit) {
            return Err(inode.corrupt("it is free already"));
        }
        self.mark_inode(group, bit, false)?;
        if inode.is_dir() {
            let descriptor = self.edit_group(group)?;
            descriptor.set_used_dirs(descriptor.used_dirs().saturating_sub(1));
        }
        let mut cleared = Inode::new(&self.fs.sb, inode.number, inode.generation())?;
        self.fs.stage_inode(&mut cleared)
    }
}
