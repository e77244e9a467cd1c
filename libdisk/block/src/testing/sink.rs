//! A sink that puts into a device.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Chunk, ContentSum, DiskMut, Done, Receipt, Result, Sink, SinkCaps};

/// Puts what it gets into a device of the size of the source, and flushes it when it is finished.
#[derive(Debug)]
pub struct DeviceSink {
    target: DiskMut,
    caps: SinkCaps,
    done: Vec<Range<u64>>,
    written: AtomicU64,
}

impl DeviceSink {
    /// A sink that takes up to 16 chunks of up to 4 MiB at once. `starts_zeroed` says what `target` holds.
    pub fn new(target: DiskMut, starts_zeroed: bool) -> Self {
        Self::with(target, SinkCaps { starts_zeroed, max_write: 4 << 20, parallel: 16, ..SinkCaps::FILE })
    }

    /// A sink with these capabilities.
    pub fn with(target: DiskMut, caps: SinkCaps) -> Self {
        Self { target, caps, done: Vec::new(), written: AtomicU64::new(0) }
    }

    /// The sink, as an interrupted run that had put these ranges left it.
    #[must_use]
    pub fn done(mut self, ranges: Vec<Range<u64>>) -> Self {
        self.done = ranges;
        self
    }
}

impl Sink for DeviceSink {
    fn caps(&self) -> SinkCaps {
        self.caps
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        match chunk {
            Chunk::Data { offset, bytes } => {
                self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                self.target.write_at(bytes, offset)
            }
            Chunk::Zero { offset, len } => self.target.zero_range(offset..offset + len),
        }
    }

    fn already_done(&self) -> Result<Done> {
        if self.done.is_empty() {
            return Ok(Done::default());
        }
        Ok(Done { ranges: self.done.clone(), sum: None })
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        self.target.flush()?;
        let written = self.written.into_inner();
        Ok(Receipt { size: self.target.size(), written, content, ..Receipt::default() })
    }
}
