//! A change in the making: what all verbs share, and how it ends.

use std::collections::BTreeSet;

use block::{DiskMut, Overlay};
use vfs::{Blocks, FsError, Result};

use crate::alloc::Allocator;
use crate::bytes::{index, wide};
use crate::features::{incompat, ro_compat};
use crate::group::{Group, descriptor_place};
use crate::inode::{Inode, flag};
use crate::mapping::{Extent, Mapping};
use crate::{Ext4, superblock};

/// A change in the making.
///
/// Metadata are staged in memory, content goes to an overlay of this change's own; nothing reaches the device
/// before [`finish`](Self::finish).
pub(crate) struct Change<'a> {
    /// The file system as it is without this change, and where it is.
    target: &'a mut Ext4,
    device: &'a DiskMut,
    overlay: Overlay,
    writer: DiskMut,
    /// The file system as this change sees it.
    pub(crate) fs: Ext4,
    pub(crate) alloc: Allocator,
    edited_groups: BTreeSet<u32>,
    /// A verb failed half way: there is nothing to finish.
    failed: bool,
}

impl<'a> Change<'a> {
    /// Starts a change, if this file system may be written at all.
    pub(crate) fn begin(target: &'a mut Ext4, device: &'a DiskMut) -> Result<Self> {
        target.sb.check_writable()?;
        Self::recover(target, device)
    }

    /// Starts a change of a file system that must be recovered before it may be written.
    pub(crate) fn recover(target: &'a mut Ext4, device: &'a DiskMut) -> Result<Self> {
        let overlay = Overlay::new(device.disk())?;
        let fs = target.over(overlay.disk());
        let alloc = Allocator::new(&fs);
        let writer = overlay.writer();
        Ok(Self { target, device, overlay, writer, fs, alloc, edited_groups: BTreeSet::new(), failed: false })
    }

    /// Runs a verb; after an error there is nothing more to do here.
    pub(crate) fn attempt<T>(&mut self, verb: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.failed {
            return Err(FsError::Invalid("an earlier step of this transaction failed".into()));
        }
        let answer = verb(self);
        self.failed = answer.is_err();
        answer
    }

    /// Writes everything to the device.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.failed {
            return Err(FsError::Invalid("a step of this transaction failed".into()));
        }
        self.fs.blocks.write_staged(&self.writer)?;
        let fs = &mut self.fs;
        for (number, group) in
            (0..).zip(&mut fs.groups).filter(|(number, _)| self.edited_groups.contains(number))
        {
            self.writer.write_at(group.encode(&fs.sb, number)?, descriptor_place(&fs.sb, number))?;
        }
        let free_blocks = self.fs.groups.iter().map(|group| u64::from(group.free_blocks())).sum();
        let free_inodes =
            self.fs.groups.iter().fold(0_u32, |sum, group| sum.saturating_add(group.free_inodes()));
        self.writer.write_at(self.fs.sb.encode(free_blocks, free_inodes), superblock::OFFSET)?;
        self.overlay.merge_into(self.device)?;
        *self.target = self.fs.over(self.device.disk());
        Ok(())
    }

    /// A group descriptor that will be written.
    pub(crate) fn edit_group(&mut self, number: u32) -> Result<&mut Group> {
        self.edited_groups.insert(number);
        self.fs.groups.get_mut(index(number)).ok_or(FsError::NotFound)
    }

    /// A block for a tree: one of the old tree's, or a new one.
    pub(crate) fn tree_block(&mut self, pool: &mut Vec<u64>, goal: u64) -> Result<u64> {
        match pool.pop() {
            Some(block) => Ok(block),
            None => Ok(self.allocate_run(goal, 1)?.start),
        }
    }

    /// Gives an inode this mapping, counts its blocks, and frees what is left of `pool`, the old tree.
    pub(crate) fn write_mapping(
        &mut self,
        inode: &mut Inode,
        extents: &[Extent],
        mut pool: Vec<u64>,
    ) -> Result<()> {
        // Taken from the back: the first blocks of the old tree go first.
        pool.reverse();
        let tree = if inode.has(flag::EXTENTS) {
            self.write_extent_tree(inode, extents, &mut pool)
        } else {
            self.write_block_map(inode, extents, &mut pool)
        }?;
        for block in pool {
            self.free_blocks(block..block.saturating_add(1))?;
        }
        let content: u64 = extents.iter().fold(0, |sum, extent| sum.saturating_add(extent.len));
        let attributes = u64::from(inode.xattr_block().is_some());
        inode.set_blocks(&self.fs.sb, content.saturating_add(tree).saturating_add(attributes))
    }

    /// Gives an inode an empty mapping, of the kind that new files of this file system have.
    pub(crate) fn init_mapping(&mut self, inode: &mut Inode) -> Result<()> {
        inode.set_flag(flag::EXTENTS, self.fs.sb.incompat(incompat::EXTENTS));
        self.write_mapping(inode, &[], Vec::new())
    }

    /// Frees all content of an inode and its tree; leaves an empty mapping.
    pub(crate) fn release_content(&mut self, inode: &mut Inode) -> Result<()> {
        if inode.has(flag::INLINE_DATA) {
            return self.drop_inline(inode);
        }
        if !self.fs.has_mapping(inode)? {
            return Ok(());
        }
        let Mapping { extents, tree } = self.fs.mapping(inode)?;
        for extent in extents {
            self.free_blocks(extent.physical..extent.physical_end())?;
        }
        for block in tree {
            self.free_blocks(block..block.saturating_add(1))?;
        }
        self.init_mapping(inode)
    }

    /// Gives an inode without content this one.
    pub(crate) fn write_content(&mut self, inode: &mut Inode, content: &[u8]) -> Result<()> {
        self.init_mapping(inode)?;
        let block_size = self.fs.blocks.block_size();
        let mut mapping = Mapping::default();
        let mut rest = content;
        let mut logical = 0_u64;
        let mut goal = self.goal(inode);
        while !rest.is_empty() {
            let run = self.allocate_run(goal, wide(rest.len()).div_ceil(self.fs.sb.block_size.into()))?;
            let len = run.end.saturating_sub(run.start);
            let (piece, after) = rest.split_at(index(self.fs.sb.byte(len)).min(rest.len()));
            self.write_blocks(run.start, piece, block_size)?;
            mapping.push(Extent { logical, physical: run.start, len, unwritten: false });
            logical = logical.saturating_add(len);
            goal = run.end;
            rest = after;
        }
        self.write_mapping(inode, &mapping.extents, Vec::new())?;
        inode.set_size(wide(content.len()));
        if inode.size() > i64::from(i32::MAX).cast_unsigned() {
            self.fs.sb.enable_ro_compat(ro_compat::LARGE_FILE);
        }
        Ok(())
    }

    /// Writes content, the last block filled up with zeros.
    fn write_blocks(&mut self, block: u64, content: &[u8], block_size: usize) -> Result<()> {
        let place = self.fs.blocks.place(block)?;
        let partial = content.len().checked_rem(block_size).unwrap_or_default();
        let (whole, partial) = content.split_at(content.len().saturating_sub(partial));
        self.writer.write_at(whole, place)?;
        if !partial.is_empty() {
            let mut last = partial.to_vec();
            last.resize(block_size, 0);
            self.writer.write_at(&last, place.saturating_add(wide(whole.len())))?;
        }
        Ok(())
    }
}

impl Ext4 {
    /// The same file system, read from another device.
    fn over(&self, disk: block::Disk) -> Self {
        Self { blocks: Blocks::new(disk, self.sb.clone()), sb: self.sb.clone(), groups: self.groups.clone() }
    }
}
