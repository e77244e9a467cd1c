//! Writing a fixed disk.

use block::{Chunk, ContentSum, Error, FileRange, Receipt, Result, Sink, SinkCaps};

use super::LAYER;
use super::footer::{Footer, Identity};
use crate::partial::{Left, Output};
use crate::raw::RawSink;

/// Azure takes disks of a whole number of MiB.
pub const SIZE_UNIT: u64 = 1 << 20;
/// The smallest disk that Azure takes as an upload: "Upload a VHD to Azure or copy a managed disk to another
/// region", learn.microsoft.com, 2026-02.
pub const MIN_UPLOAD: u64 = 20 << 20;
/// The largest one, from the same page, and the largest that is written.
pub const MAX_SIZE: u64 = 32 << 40;

/// The size that a disk of `size` bytes has as an upload: a whole number of MiB, and 20 of them at least.
///
/// # Errors
/// `Unsupported` for a disk of no bytes, and for one larger than [`MAX_SIZE`].
pub fn upload_size(size: u64) -> Result<u64> {
    let padded = size.checked_next_multiple_of(SIZE_UNIT).filter(|padded| (1..=MAX_SIZE).contains(padded));
    let what = || format!("a disk of {size} bytes: Azure takes 1 byte to 32 TiB ({MAX_SIZE} bytes)");
    Ok(padded.ok_or_else(|| Error::unsupported(LAYER, what()))?.max(MIN_UPLOAD))
}

/// Writes a fixed VHD. The footer is the commit record: it is written when all data is on the disk, not
/// before.
#[derive(Debug)]
pub struct FixedSink {
    payload: RawSink,
    footer: Footer,
}

impl FixedSink {
    /// Starts a VHD for a device of `size` bytes; the disk is padded with zeros to a whole number of MiB.
    /// Equal content, size and identity give equal files.
    ///
    /// # Errors
    /// `Unsupported` for an empty device or one larger than [`MAX_SIZE`]; `Refused` if the file exists and
    /// must not be replaced; `Io`.
    pub fn create(output: &Output, size: u64, identity: Identity) -> Result<Self> {
        Self::resume(output, size, identity, Left::Remove)
    }

    /// The same, with what an earlier run left; see [`RawSink::resume`].
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn resume(output: &Output, size: u64, identity: Identity, left: Left) -> Result<Self> {
        let padded = size
            .checked_next_multiple_of(SIZE_UNIT)
            .filter(|padded| (1..=MAX_SIZE).contains(padded))
            .ok_or_else(|| {
                Error::unsupported(LAYER, format!("a disk of {size} bytes: 1 byte to 32 TiB fit"))
            })?;
        let footer = Footer::fixed(padded, identity);
        Ok(Self { payload: RawSink::start(LAYER, output, padded, left)?, footer })
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

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        let receipt = self.payload.receipt(content);
        let output = self.payload.output;
        output.sync()?;
        output.write_at(&self.footer.to_bytes(), self.footer.size())?;
        output.commit()?;
        Ok(receipt)
    }
}
