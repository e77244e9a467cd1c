//! Writing: a sparse file that appears under its name when it is complete.

use std::sync::atomic::{AtomicU64, Ordering};

use block::{Chunk, ContentSum, Error, ErrorKind, FileRange, Receipt, Result, Sink, SinkCaps};

use crate::len64;
use crate::partial::{Left, Output, Partial};

/// Writes a raw image.
#[derive(Debug)]
pub struct RawSink {
    pub(crate) output: Partial,
    pub(crate) layer: &'static str,
    pub(crate) size: u64,
    /// Whether all of it reads as zeros until it is written.
    pub(crate) empty: bool,
    pub(crate) written: AtomicU64,
    pub(crate) shared: AtomicU64,
}

impl RawSink {
    /// Starts a raw image of `size` bytes.
    ///
    /// # Errors
    /// `Refused` if it exists and must not be replaced, or is not a regular file; `Io`.
    pub fn create(output: &Output, size: u64) -> Result<Self> {
        Self::start("raw", output, size, Left::Remove)
    }

    /// The same, with what an earlier run left, and keeping what this one leaves. Where something is there
    /// already nothing is known of the rest, so zeros have to be put, too.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn resume(output: &Output, size: u64, left: Left) -> Result<Self> {
        Self::start("raw", output, size, left)
    }

    pub(crate) fn start(layer: &'static str, output: &Output, size: u64, left: Left) -> Result<Self> {
        let (output, empty) = Partial::open(layer, output, size, left)?;
        Ok(Self { output, layer, size, empty, written: AtomicU64::new(0), shared: AtomicU64::new(0) })
    }

    pub(crate) fn receipt(&self, content: Option<ContentSum>) -> Receipt {
        let (written, shared) = (self.written.load(Ordering::Relaxed), self.shared.load(Ordering::Relaxed));
        Receipt { size: self.size, written, shared, content, sent: None }
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        if offset.checked_add(len).is_some_and(|end| end <= self.size) {
            return Ok(());
        }
        let what = format!("a chunk of {len} bytes does not lie inside the image of {} bytes", self.size);
        Err(Error::new(ErrorKind::OutOfRange, self.layer, what).at(offset))
    }
}

impl Sink for RawSink {
    fn caps(&self) -> SinkCaps {
        SinkCaps { starts_zeroed: self.empty, ..SinkCaps::FILE }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        match chunk {
            Chunk::Data { offset, bytes } => {
                self.check(offset, len64(bytes))?;
                self.output.write_at(bytes, offset)?;
                self.written.fetch_add(len64(bytes), Ordering::Relaxed);
                Ok(())
            }
            // The file started as one hole and ranges never overlap, so zeros are there already.
            Chunk::Zero { offset, len } if self.empty => self.check(offset, len),
            Chunk::Zero { offset, len } => {
                self.check(offset, len)?;
                self.output.zero(offset, len)
            }
        }
    }

    fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        self.check(offset, from.len)?;
        let shared = self.output.share(offset, from)?;
        if shared {
            self.shared.fetch_add(from.len, Ordering::Relaxed);
        }
        Ok(shared)
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let receipt = self.receipt(content);
        self.output.commit()?;
        Ok(receipt)
    }
}
