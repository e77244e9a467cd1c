//! Blocks of metadata, read through a small cache and written through a staging area.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use block::{Disk, DiskMut};
use vfs::{FsError, Result};

use crate::bytes::{index, wide};
use crate::superblock::Superblock;

/// Bytes of blocks that are kept because they were read.
const CACHE: usize = 16 << 20;

/// A block's content.
pub(crate) type Bytes = Arc<Vec<u8>>;

/// The blocks of the file system: the device, and what a change has staged over it.
#[derive(Debug)]
pub(crate) struct Blocks {
    disk: Disk,
    block_size: usize,
    count: u64,
    clean: RefCell<HashMap<u64, Bytes>>,
    staged: BTreeMap<u64, Bytes>,
}

impl Blocks {
    pub(crate) fn new(disk: Disk, sb: &Superblock) -> Self {
        Self {
            disk,
            block_size: index(sb.block_size),
            count: sb.blocks,
            clean: RefCell::default(),
            staged: BTreeMap::new(),
        }
    }

    /// The device below; it does not have what is staged.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Bytes of a block.
    pub(crate) fn block_size(&self) -> usize {
        self.block_size
    }

    /// The byte offset of a block that must lie inside the file system.
    pub(crate) fn place(&self, block: u64) -> Result<u64> {
        let size = wide(self.block_size);
        let place = block.saturating_mul(size);
        if block < self.count {
            Ok(place)
        } else {
            Err(FsError::corrupt("block pointer", place, format!("there are only {} blocks", self.count)))
        }
    }

    /// A block as a change would see it.
    pub(crate) fn read(&self, block: u64) -> Result<Bytes> {
        let place = self.place(block)?;
        if let Some(bytes) = self.staged.get(&block) {
            return Ok(bytes.clone());
        }
        let mut clean = self.clean.borrow_mut();
        if let Some(bytes) = clean.get(&block) {
            return Ok(bytes.clone());
        }
        let bytes = Arc::new(self.disk.read_vec(place, self.block_size)?);
        if clean.len().saturating_mul(self.block_size) >= CACHE {
            clean.clear();
        }
        clean.insert(block, bytes.clone());
        Ok(bytes)
    }

    /// Replaces a block.
    pub(crate) fn stage(&mut self, block: u64, bytes: Vec<u8>) -> Result<()> {
        self.place(block)?;
        if bytes.len() != self.block_size {
            return Err(FsError::Invalid("a staged block has the wrong size".into()));
        }
        self.clean.get_mut().remove(&block);
        self.staged.insert(block, Arc::new(bytes));
        Ok(())
    }

    /// Drops a block that is not metadata any more, lest it be written over what comes next.
    pub(crate) fn forget(&mut self, block: u64) {
        self.clean.get_mut().remove(&block);
        self.staged.remove(&block);
    }

    /// Writes everything that is staged, in ascending order.
    pub(crate) fn write_staged(&mut self, target: &DiskMut) -> Result<()> {
        for (&block, bytes) in &self.staged {
            target.write_at(bytes, self.place(block)?)?;
        }
        self.staged.clear();
        Ok(())
    }
}
