//! Copy-on-write: the only writable device a file system ever gets.

use std::ops::Range;

use crate::{Disk, DiskMut, Result};

/// A device whose writes go to a private delta; the base never changes. Clones share the delta.
#[derive(Debug, Clone)]
pub struct Overlay {
    base: Disk,
}

impl Overlay {
    /// An empty overlay over `base`.
    ///
    /// # Errors
    /// If the delta's temporary file cannot be made.
    pub fn new(base: Disk) -> Result<Self> {
        Ok(Self { base })
    }

    /// The device to write to.
    pub fn writer(&self) -> DiskMut {
        todo!("being written")
    }

    /// The device as it reads now: base and delta.
    pub fn disk(&self) -> Disk {
        todo!("being written")
    }

    /// The ranges that were written, ascending, merged, whole sectors.
    pub fn dirty(&self) -> Vec<Range<u64>> {
        todo!("being written")
    }

    /// Writes the delta into `target` (a device of the same size): how a nested overlay commits.
    ///
    /// # Errors
    /// `Poisoned` if a write failed earlier, else what `target` reports.
    pub fn merge_into(&self, _target: &DiskMut) -> Result<()> {
        todo!("being written")
    }

    /// Ends writing.
    ///
    /// # Errors
    /// `Poisoned` if a write failed earlier.
    pub fn seal(self) -> Result<Sealed> {
        Ok(Sealed { base: self.base })
    }
}

/// An overlay that will not change any more.
#[derive(Debug, Clone)]
pub struct Sealed {
    base: Disk,
}

impl Sealed {
    /// Base and delta as one readable device.
    pub fn disk(&self) -> Disk {
        todo!("being written")
    }

    /// The device below.
    pub fn base(&self) -> &Disk {
        &self.base
    }

    /// The ranges that differ from the base, ascending, merged, whole sectors.
    pub fn dirty(&self) -> Vec<Range<u64>> {
        todo!("being written")
    }
}
