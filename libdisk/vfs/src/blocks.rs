//! Blocks of metadata, read through a small cache and written through a staging area.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use block::{Disk, DiskMut};

use crate::{FsError, Result};

/// Bytes of blocks that are kept because they were read.
const CACHE: usize = 16 << 20;

/// Where the blocks of a file system are, by its own block numbers.
pub trait Geometry {
    /// Bytes of a block; never zero.
    fn block_size(&self) -> usize;

    /// The byte offset of a block on the device.
    ///
    /// # Errors
    /// `Corrupt` for a number outside the file system.
    fn place(&self, block: u64) -> Result<u64>;
}

/// The blocks of a file system: the device, and what a change has staged over it.
#[derive(Debug)]
pub struct Blocks<G> {
    disk: Disk,
    geometry: G,
    clean: RefCell<HashMap<u64, Arc<Vec<u8>>>>,
    staged: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl<G: Geometry> Blocks<G> {
    /// The blocks on `disk`, nothing staged.
    pub fn new(disk: Disk, geometry: G) -> Self {
        Self { disk, geometry, clean: RefCell::default(), staged: BTreeMap::new() }
    }

    /// The device below; it does not have what is staged.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> usize {
        self.geometry.block_size()
    }

    /// The byte offset of a block on the device.
    ///
    /// # Errors
    /// As [`Geometry::place`].
    pub fn place(&self, block: u64) -> Result<u64> {
        self.geometry.place(block)
    }

    /// A block as a change would see it.
    ///
    /// # Errors
    /// As [`place`](Self::place), and what the device reports.
    pub fn read(&self, block: u64) -> Result<Arc<Vec<u8>>> {
        let place = self.place(block)?;
        if let Some(bytes) = self.staged.get(&block) {
            return Ok(bytes.clone());
        }
        let mut clean = self.clean.borrow_mut();
        if let Some(bytes) = clean.get(&block) {
            return Ok(bytes.clone());
        }
        let bytes = Arc::new(self.disk.read_vec(place, self.block_size())?);
        if clean.len().saturating_mul(self.block_size()) >= CACHE {
            clean.clear();
        }
        clean.insert(block, bytes.clone());
        Ok(bytes)
    }

    /// Replaces a block.
    ///
    /// # Errors
    /// As [`place`](Self::place), and `Invalid` for other than a block of bytes.
    pub fn stage(&mut self, block: u64, bytes: Vec<u8>) -> Result<()> {
        self.place(block)?;
        if bytes.len() != self.block_size() {
            return Err(FsError::Invalid("a staged block has the wrong size".into()));
        }
        self.clean.get_mut().remove(&block);
        self.staged.insert(block, Arc::new(bytes));
        Ok(())
    }

    /// Drops a block that is not metadata any more, lest it be written over what comes next.
    pub fn forget(&mut self, block: u64) {
        self.clean.get_mut().remove(&block);
        self.staged.remove(&block);
    }

    /// Writes everything that is staged, in ascending order.
    ///
    /// # Errors
    /// What the device reports.
    pub fn write_staged(&mut self, target: &DiskMut) -> Result<()> {
        for (&block, bytes) in &self.staged {
            target.write_at(bytes, self.place(block)?)?;
        }
        self.staged.clear();
        Ok(())
    }
}
