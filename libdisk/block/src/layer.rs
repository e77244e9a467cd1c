//! The two traits that every layer implements and nobody else calls.

use std::ops::Range;

use crate::{Extent, FileRange, Result};

/// A device that can be read.
///
/// Called through a [`Disk`](crate::Disk) only, which has checked that the range is not empty, lies inside
/// `0..size()` and fits `i64`. A layer must not panic for any content below it.
pub trait BlockRead: Send + Sync + 'static {
    /// The layer's name in messages and in `inspect`: "file", "qcow2", "overlay".
    fn layer(&self) -> &'static str;

    /// Size in bytes; never changes while open.
    fn size(&self) -> u64;

    /// Logical sector size in bytes, 512 or 4096.
    fn sector_size(&self) -> u32 {
        512
    }

    /// Fills all of `buf` from byte `offset` on, or is an error; never short.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// The run that starts at `range.start`, at most as long as `range` and never empty.
    ///
    /// Saying `Data` is always allowed; saying `Zero` is a promise.
    fn extent_at(&self, range: Range<u64>) -> Result<Extent>;

    /// Where the run that starts at `range.start`, at most as long as `range`, is stored in a file of the
    /// host as it is: a copy may then share it and move no bytes.
    ///
    /// `None` is always a correct answer: what is there has to be read.
    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let _ = range;
        Ok(None)
    }
}

/// A device that can be written, too. Ranges are checked by [`DiskMut`](crate::DiskMut).
///
/// No method has a default: a wrapper that forgets one must not compile.
pub trait BlockWrite: BlockRead {
    /// Writes all of `buf` at byte `offset`, or is an error. After an error the range may hold old and new
    /// bytes, mixed.
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()>;

    /// Makes the range read as zeros.
    fn zero_range(&self, range: Range<u64>) -> Result<()>;

    /// Makes all earlier writes durable.
    fn flush(&self) -> Result<()>;
}
