//! A range of a device as a device.

use std::ops::Range;

use crate::{BlockRead, BlockWrite, Disk, DiskMut, Extent, FileRange, Result};

fn shift(range: Range<u64>, by: u64) -> Range<u64> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

/// A range; made by [`Disk::slice`], which checked it, or for writing by [`DiskMut::slice`].
pub(crate) struct Slice<W = ()> {
    base: Disk,
    /// The same device for writing, where it is written.
    writer: W,
    range: Range<u64>,
}

impl Slice {
    pub(crate) fn new(base: Disk, range: Range<u64>) -> Self {
        Self { base, writer: (), range }
    }
}

impl Slice<DiskMut> {
    pub(crate) fn writable(base: DiskMut, range: Range<u64>) -> Self {
        Self { base: base.disk(), writer: base, range }
    }
}

impl<W: Send + Sync + 'static> BlockRead for Slice<W> {
    fn layer(&self) -> &'static str {
        "slice"
    }

    fn size(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn sector_size(&self) -> u32 {
        self.base.sector_size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.base.read_at(buf, self.range.start.saturating_add(offset))
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        self.base.extent_at(shift(range, self.range.start))
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        self.base.file_range(shift(range, self.range.start))
    }
}

impl BlockWrite for Slice<DiskMut> {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.writer.write_at(buf, self.range.start.saturating_add(offset))
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        self.writer.zero_range(shift(range, self.range.start))
    }

    fn flush(&self) -> Result<()> {
        self.writer.flush()
    }
}
