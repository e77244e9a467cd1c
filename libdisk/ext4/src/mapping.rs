//! Where the content of an inode lies, whichever way the inode says it: an extent tree or a block map.

use std::collections::HashSet;

use vfs::{FsError, Result};

use crate::inode::{Inode, flag};
use crate::{Ext4, blockmap, extent};

/// A run of blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First block in the file.
    pub(crate) logical: u64,
    /// First block on the volume.
    pub(crate) physical: u64,
    /// Blocks; never zero.
    pub(crate) len: u64,
    /// Allocated, but reads as zeros.
    pub(crate) unwritten: bool,
}

impl Extent {
    /// The first block of the file after it.
    pub(crate) fn end(&self) -> u64 {
        self.logical.saturating_add(self.len)
    }

    /// The first block of the volume after it.
    pub(crate) fn physical_end(&self) -> u64 {
        self.physical.saturating_add(self.len)
    }
}

/// The whole mapping of an inode.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// Ascending, not overlapping, neighbours merged.
    pub(crate) extents: Vec<Extent>,
    /// The blocks of the tree itself.
    pub(crate) tree: Vec<u64>,
}

impl Mapping {
    /// All pairs of (block of the file, block of the volume).
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, u64)> {
        self.extents.iter().flat_map(|extent| (extent.logical..extent.end()).zip(extent.physical..))
    }

    /// Whether there is no hole in it.
    pub(crate) fn is_dense(&self) -> bool {
        self.extents.iter().try_fold(0, |end, extent| (extent.logical == end).then(|| extent.end())).is_some()
    }

    /// Adds a run that lies after all others.
    pub(crate) fn push(&mut self, extent: Extent) {
        match self.extents.last_mut() {
            Some(last)
                if last.end() == extent.logical
                    && last.physical_end() == extent.physical
                    && last.unwritten == extent.unwritten =>
            {
                last.len = last.len.saturating_add(extent.len);
            }
            _ => self.extents.push(extent),
        }
    }
}

/// Guards a walk of a tree: no block twice, no more content than the volume has.
pub(crate) struct Walk<'a> {
    pub(crate) fs: &'a Ext4,
    pub(crate) inode: &'a Inode,
    pub(crate) mapping: Mapping,
    seen: HashSet<u64>,
    total: u64,
}

impl Walk<'_> {
    /// Notes a block of the tree.
    pub(crate) fn enter(&mut self, block: u64) -> Result<()> {
        if !self.seen.insert(block) {
            return Err(self.corrupt(block, "a block of the tree is used twice"));
        }
        self.mapping.tree.push(block);
        Ok(())
    }

    /// Notes a run of content.
    pub(crate) fn found(&mut self, extent: Extent) -> Result<()> {
        if self.mapping.extents.last().is_some_and(|last| last.end() > extent.logical) {
            return Err(self.corrupt(extent.physical, "runs of content overlap"));
        }
        self.total = self.total.saturating_add(extent.len);
        if self.total > self.fs.sb.blocks {
            return Err(self.corrupt(extent.physical, "more content than the volume has blocks"));
        }
        self.mapping.push(extent);
        Ok(())
    }

    fn corrupt(&self, block: u64, what: &'static str) -> FsError {
        FsError::corrupt(format!("mapping of inode {}", self.inode.number), self.fs.sb.byte(block), what)
    }
}

impl Ext4 {
    /// Whether the inode has its content in blocks of its own.
    pub(crate) fn has_mapping(&self, inode: &Inode) -> Result<bool> {
        use vfs::FileType::{Directory, Regular, Symlink};
        Ok(!inode.has(flag::INLINE_DATA)
            && match inode.file_type()? {
                Regular | Directory => true,
                Symlink => !crate::symlink::is_fast(inode),
                _ => false,
            })
    }

    /// The whole mapping of an inode.
    pub(crate) fn mapping(&self, inode: &Inode) -> Result<Mapping> {
        let mut walk = Walk { fs: self, inode, mapping: Mapping::default(), seen: HashSet::new(), total: 0 };
        if inode.has(flag::EXTENTS) {
            extent::walk(&mut walk)?;
        } else {
            blockmap::walk(&mut walk)?;
        }
        Ok(walk.mapping)
    }

    /// What the block `logical` of a file maps to, and for how many blocks that goes on; `None` reads as
    /// zeros.
    pub(crate) fn map(&self, inode: &Inode, logical: u64) -> Result<(Option<u64>, u64)> {
        let (physical, len) = if inode.has(flag::EXTENTS) {
            extent::map(self, inode, logical)
        } else {
            blockmap::map(self, inode, logical)
        }?;
        if let Some(start) = physical {
            self.check_run(inode, start, len)?;
        }
        Ok((physical, len.max(1)))
    }

    /// Content must lie inside the file system.
    pub(crate) fn check_run(&self, inode: &Inode, start: u64, len: u64) -> Result<()> {
        let inside =
            start > self.sb.own_block() && start.checked_add(len).is_some_and(|end| end <= self.sb.blocks);
        if inside {
            return Ok(());
        }
        let structure = format!("mapping of inode {}", inode.number);
        Err(FsError::corrupt(structure, self.sb.byte(start), "content outside the file system"))
    }
}
