//! The one copy loop: any device into any sink.

use crate::{Disk, Observer, Result};

/// What a sink can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkCaps {
    /// The sink reads as zeros where nothing was put: zero runs need not be sent.
    pub starts_zeroed: bool,
    /// The largest chunk it takes, in bytes.
    pub max_write: usize,
    /// How many chunks it takes at once.
    pub parallel: usize,
}

/// A piece of the device on its way into a sink.
#[derive(Debug, Clone, Copy)]
pub enum Chunk<'a> {
    /// These bytes at this offset.
    Data {
        /// Byte offset in the device.
        offset: u64,
        /// The bytes, at most `max_write`.
        bytes: &'a [u8],
    },
    /// Zeros; only sent to a sink that does not start zeroed.
    Zero {
        /// Byte offset in the device.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
}

/// Where a copy goes: a VHD, a raw file, later a page blob.
pub trait Sink: Send + Sync {
    /// What it can do.
    fn caps(&self) -> SinkCaps;

    /// Takes one chunk; called from up to `caps().parallel` threads, in any order, ranges never overlapping.
    ///
    /// # Errors
    /// What the target reports; the copy ends with it.
    fn put(&self, chunk: Chunk<'_>) -> Result<()>;

    /// Ranges that an earlier, interrupted run has put already; ascending.
    ///
    /// # Errors
    /// What the target reports.
    fn already_done(&self) -> Result<Vec<std::ops::Range<u64>>>;

    /// Makes the target complete: only now may it look finished.
    ///
    /// # Errors
    /// What the target reports.
    fn finish(self: Box<Self>) -> Result<Receipt>;
}

/// What a finished sink has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes of the device, zeros included.
    pub size: u64,
    /// Bytes that were written.
    pub written: u64,
}

/// How to copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// Threads; 0 means one per core.
    pub threads: usize,
}

/// Copies all of `source` into `sink` and finishes it.
///
/// # Errors
/// The first error of either side; the sink is then left unfinished.
pub fn copy(
    _source: &Disk,
    _sink: Box<dyn Sink>,
    _options: &CopyOptions,
    _observer: &dyn Observer,
) -> Result<Receipt> {
    todo!("being written")
}
