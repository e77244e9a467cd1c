//! Writing a fixed disk.

use std::ops::Range;

use block::{Chunk, Error, FileRange, Receipt, Result, Sink, SinkCaps};

use super::LAYER;
use super::footer::{Footer, Identity};
use crate::partial::Output;
use crate::raw::RawSink;

/// Azure takes disks of a whole number of MiB.
pub const SIZE_UNIT: u64 = 1 << 20;
/// The largest disk written: Azure's largest is 64 TiB.
pub const MAX_SIZE: u64 = 64 << 40;

/// Writes a fixed VHD. The footer is the commit record: it is written when all data is on the disk, not before.
#[derive(Debug)]
pub struct FixedSink {
    payload: RawSink,
    footer: Footer,
}

impl FixedSink {
    /// Starts a VHD for a device of `size` bytes; the disk is padded with zeros to a whole number of MiB. Equal content,
    /// size and identity give equal files.
    ///
    /// # Errors
    /// `Unsupported` for an empty device or one larger than [`MAX_SIZE`]; `Refused` if the file exists and must not be
    /// replaced; `Io`.
    pub fn create(output: &Output, size: u64, identity: Identity) -> Result<Self> {
        Self::new(size, identity, |padded| RawSink::start(LAYER, output, padded))
    }

    /// Goes on with what an interrupted run left; see [`RawSink::resume`].
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn resume(output: &Output, size: u64, identity: Identity) -> Result<Self> {
        Self::new(size, identity, |padded| RawSink::go_on(LAYER, output, padded))
    }

    fn new(size: u64, identity: Identity, payload: impl FnOnce(u64) -> Result<RawSink>) -> Result<Self> {
        let padded = size
            .checked_next_multiple_of(SIZE_UNIT)
            .filter(|padded| (1..=MAX_SIZE).contains(padded))
            .ok_or_else(|| {
                Error::unsupported(LAYER, format!("a disk of {size} bytes: 1 byte to 64 TiB fit"))
            })?;
        let footer = Footer::fixed(padded, identity);
        Ok(Self { payload: payload(padded)?, footer })
    }

    /// Size of the disk in bytes, padding included.
    pub fn size(&self) -> u64 {
        self.footer.size()
    }
}

impl Sink for FixedSink {
    fn caps(&self) -> SinkCaps {
        self.payload.caps()
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        self.payload.put(chunk)
    }

    fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        self.payload.share(offset, from)
    }

    fn already_done(&self) -> Result<Vec<Range<u64>>> {
        self.payload.already_done()
    }

    fn finish(self: Box<Self>) -> Result<Receipt> {
        let receipt = self.payload.receipt();
        let output = self.payload.output;
        output.sync()?;
        output.write_at(&self.footer.to_bytes(), self.footer.size())?;
        output.commit()?;
        Ok(receipt)
    }
}
