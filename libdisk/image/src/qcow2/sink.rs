//! A standalone image as the target of a copy.

use std::sync::{Mutex, PoisonError};

use block::{Chunk, ContentSum, Error, ErrorKind, Receipt, Result, SinkCaps};

use super::LAYER;
use super::write::Writer;
use crate::len64;
use crate::partial::Output;

/// Writes a standalone image, not compressed.
#[derive(Debug)]
pub struct Sink {
    writer: Mutex<Writer>,
    size: u64,
}

impl Sink {
    /// Starts an image of a disk of `size` bytes.
    ///
    /// # Errors
    /// `Refused` if it exists and must not be replaced; `Unsupported` if the disk is too large; `Io`.
    pub fn create(output: &Output, size: u64) -> Result<Self> {
        Ok(Self { writer: Mutex::new(Writer::create(output, size, None)?), size })
    }
}

impl block::Sink for Sink {
    /// One chunk at a time: clusters are laid as they come, and equal disks should make equal images.
    fn caps(&self) -> SinkCaps {
        SinkCaps { parallel: 1, ..SinkCaps::FILE }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        // What was never written reads as zeros.
        let Chunk::Data { offset, bytes } = chunk else { return Ok(()) };
        if offset.checked_add(len64(bytes)).is_none_or(|end| end > self.size) {
            let what = format!("a chunk of {} bytes does not lie inside the disk", bytes.len());
            return Err(Error::new(ErrorKind::OutOfRange, LAYER, what).at(offset));
        }
        self.writer.lock().map_err(|_| poisoned())?.write(bytes, offset)
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        if self.writer.is_poisoned() {
            return Err(poisoned());
        }
        let writer = self.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        let receipt = Receipt { size: self.size, written: writer.written(), content, ..Receipt::default() };
        writer.finish()?;
        Ok(receipt)
    }
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Poisoned, LAYER, "another thread panicked while it wrote")
}
