//! Orphans: inodes that were to be removed, or cut off, when the machine stopped. They are in a list through
//! the inodes ("ext4 disk layout: The Super Block", `s_last_orphan`), in a file ("Orphan file"), or in both.

use std::collections::HashSet;

use vfs::{FsError, Result};

use crate::Ext4;
use crate::bytes::{index, le32, part, put32, wide};
use crate::change::Change;
use crate::checksum::crc32c;
use crate::features::{compat, ro_compat};
use crate::inode::{Inode, flag};
use crate::mapping::{Extent, Mapping};
use crate::recovery::Replayed;

/// `ob_magic`.
const MAGIC: u32 = 0x0b10_ca04;
/// `struct ext4_orphan_block_tail`: magic and checksum.
const TAIL: usize = 8;
/// Blocks of an orphan file; mke2fs makes at most 512.
const MAX_BLOCKS: u64 = 1 << 16;

/// `ob_checksum`: over the number of the block and the entries.
fn checksum(fs: &Ext4, file: &Inode, block: u64, entries: &[u8]) -> u32 {
    crc32c(crc32c(file.seed(&fs.sb), &block.to_le_bytes()), entries)
}

impl Ext4 {
    /// An inode that an orphan list names; it may have no name left.
    fn orphan(&self, number: u32) -> Result<Inode> {
        let corrupt = |what| FsError::corrupt(format!("orphan inode {number}"), 0, what);
        if number < self.sb.first_inode || number > self.sb.inodes {
            return Err(corrupt("there is no such inode"));
        }
        let (group, bit) = self.sb.group_of_inode(number);
        if !self.inode_bitmap(group)?.get(bit) {
            return Err(corrupt("it is free"));
        }
        self.checked_inode(number)
    }
}

impl Change<'_> {
    /// Removes or truncates every orphan, and empties the lists.
    pub(crate) fn remove_orphans(&mut self, replayed: &mut Replayed) -> Result<()> {
        let mut seen = HashSet::new();
        let mut kept = 0;
        let mut next = self.fs.sb.last_orphan();
        while next != 0 {
            if !seen.insert(next) {
                return Err(FsError::corrupt("orphan list", 0, format!("it comes back to inode {next}")));
            }
            let inode = self.fs.orphan(next)?;
            next = inode.dtime();
            self.settle(inode, replayed, &mut kept)?;
        }
        if self.fs.sb.compat(compat::ORPHAN_FILE) && self.fs.sb.ro_compat(ro_compat::ORPHAN_PRESENT) {
            self.empty_orphan_file(replayed, &mut kept)?;
        }
        Ok(())
    }

    fn empty_orphan_file(&mut self, replayed: &mut Replayed, kept: &mut u64) -> Result<()> {
        let file = self.fs.checked_inode(self.fs.sb.orphan_file())?;
        let mapping = self.fs.mapping(&file)?;
        if mapping.extents.last().is_some_and(|last| last.end() > MAX_BLOCKS) {
            return Err(file.corrupt("an orphan file of more than 2^16 blocks"));
        }
        for (_, block) in mapping.blocks() {
            let mut bytes = self.fs.blocks.read(block)?.to_vec();
            let corrupt = |what| FsError::corrupt("orphan file", self.fs.sb.byte(block), what);
            let tail = bytes.len().saturating_sub(TAIL);
            let entries = part(&bytes, 0, tail)?;
            if le32(&bytes, tail)? != MAGIC {
                return Err(corrupt("the magic number of a block is wrong"));
            }
            let sum_at = tail.saturating_add(4);
            if self.fs.sb.checksums() && checksum(&self.fs, &file, block, entries) != le32(&bytes, sum_at)? {
                return Err(corrupt("the checksum of a block is wrong"));
            }
            let entries = entries.chunks_exact(4).map(|entry| le32(entry, 0)).collect::<Result<Vec<_>>>()?;
            let orphans: Vec<u32> = entries.into_iter().filter(|&number| number != 0).collect();
            if orphans.is_empty() {
                continue;
            }
            for number in orphans {
                let inode = self.fs.orphan(number)?;
                self.settle(inode, replayed, kept)?;
            }
            bytes.get_mut(..tail).unwrap_or_default().fill(0);
            if self.fs.sb.checksums() {
                let sum = checksum(&self.fs, &file, block, part(&bytes, 0, tail)?);
                put32(&mut bytes, sum_at, sum)?;
            }
            self.fs.blocks.stage(block, bytes)?;
        }
        Ok(())
    }

    /// Removes an orphan without a name; cuts off one that has a name. `kept` counts the blocks of those: no
    /// more than there are, or they share some, and looking at them would never end.
    fn settle(&mut self, mut inode: Inode, replayed: &mut Replayed, kept: &mut u64) -> Result<()> {
        if inode.links() == 0 {
            self.release_content(&mut inode)?;
            self.release_attributes(&mut inode)?;
            replayed.deleted = replayed.deleted.saturating_add(1);
            return self.free_inode(&inode);
        }
        *kept = kept.saturating_add(self.truncate(&mut inode)?);
        if *kept > self.fs.sb.blocks {
            return Err(inode.corrupt("orphans share blocks"));
        }
        inode.set_dtime(0);
        replayed.truncated = replayed.truncated.saturating_add(1);
        self.fs.stage_inode(&mut inode)
    }

    /// Frees the blocks after the end of a file, and zeroes the rest of the last one; says how many it had
    /// and keeps.
    fn truncate(&mut self, inode: &mut Inode) -> Result<u64> {
        inode.check_editable()?;
        if !self.fs.has_mapping(inode)? {
            return Ok(0);
        }
        let size = u64::from(self.fs.sb.block_size);
        let keep = inode.size().div_ceil(size);
        let Mapping { extents, tree } = self.fs.mapping(inode)?;
        let mut kept = Vec::new();
        for extent in extents {
            let len = keep.saturating_sub(extent.logical).min(extent.len);
            self.free_blocks(extent.physical.saturating_add(len)..extent.physical_end())?;
            if len > 0 {
                kept.push(Extent { len, ..extent });
            }
        }
        let partial = index(inode.size().checked_rem(size).unwrap_or_default());
        if let Some(last) = kept.last()
            && partial > 0
            && last.end() == keep
            && !last.unwritten
        {
            let block = last.physical_end().saturating_sub(1);
            let mut bytes = self.fs.blocks.read(block)?.to_vec();
            bytes.get_mut(partial..).unwrap_or_default().fill(0);
            self.fs.blocks.stage(block, bytes)?;
        }
        let content: u64 = kept.iter().fold(0, |sum, extent| sum.saturating_add(extent.len));
        let blocks = content.saturating_add(wide(tree.len()));
        if inode.has(flag::EXTENTS) {
            self.write_mapping(inode, &kept, tree)?;
        } else {
            let left = blocks.saturating_sub(self.cut_block_map(inode, keep)?);
            let attributes = u64::from(inode.xattr_block().is_some());
            inode.set_blocks(&self.fs.sb, left.saturating_add(attributes))?;
        }
        Ok(blocks)
    }
}
