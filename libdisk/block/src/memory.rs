//! Devices that live in memory: for tests, padding and small images.

use std::ops::Range;
use std::sync::RwLock;

use crate::{BlockRead, BlockWrite, Error, ErrorKind, Extent, Result};

/// A device of zeros of any size; it takes no memory. Used to pad.
#[derive(Debug, Clone, Copy)]
pub struct Zeros {
    size: u64,
}

impl Zeros {
    /// `size` bytes of zeros.
    pub fn new(size: u64) -> Self {
        Self { size }
    }
}

impl BlockRead for Zeros {
    fn layer(&self) -> &'static str {
        "zeros"
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], _offset: u64) -> Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        Ok(Extent::zero(range.end.saturating_sub(range.start)))
    }
}

/// A writable device in a vector.
#[derive(Debug)]
pub struct Memory {
    bytes: RwLock<Vec<u8>>,
}

impl Memory {
    /// A device with this content.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: RwLock::new(bytes) }
    }

    fn range(&self, offset: u64, len: usize, size: usize) -> Result<Range<usize>> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(len)?))
            .filter(|range| range.end <= size)
            .ok_or_else(|| Error::new(ErrorKind::OutOfRange, "memory", "range past the end").at(offset))
    }
}

fn poisoned<T>(_: T) -> Error {
    Error::new(ErrorKind::Poisoned, "memory", "another thread panicked while it wrote")
}

impl BlockRead for Memory {
    fn layer(&self) -> &'static str {
        "memory"
    }

    fn size(&self) -> u64 {
        self.bytes.read().map_or(0, |bytes| bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let bytes = self.bytes.read().map_err(poisoned)?;
        buf.copy_from_slice(&bytes[self.range(offset, buf.len(), bytes.len())?]);
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        Ok(Extent::data(range.end.saturating_sub(range.start)))
    }
}

impl BlockWrite for Memory {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut bytes = self.bytes.write().map_err(poisoned)?;
        let range = self.range(offset, buf.len(), bytes.len())?;
        bytes[range].copy_from_slice(buf);
        Ok(())
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        let mut bytes = self.bytes.write().map_err(poisoned)?;
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let range = self.range(range.start, len, bytes.len())?;
        bytes[range].fill(0);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
