//! A range of a device as a device.

use std::ops::Range;

use crate::{BlockRead, BlockWrite, Disk, DiskMut, Extent, FileRange, Result};

fn shift(range: Range<u64>, by: u64) -> Range<u64> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

/// A readable range; made by [`Disk::slice`], which checked it.
pub(crate) struct Slice {
    base: Disk,
    range: Range<u64>,
}

impl Slice {
    pub(crate) fn new(base: Disk, range: Range<u64>) -> Self {
        Self { base, range }
    }
}

impl BlockRead for Slice {
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

/// A writable range; made by [`DiskMut::slice`], which checked it.
pub(crate) struct SliceMut {
    base: DiskMut,
    read: Slice,
}

impl SliceMut {
    pub(crate) fn new(base: DiskMut, range: Range<u64>) -> Self {
        let read = Slice::new(base.disk(), range);
        Self { base, read }
    }
}

impl BlockRead for SliceMut {
    fn layer(&self) -> &'static str {
        self.read.layer()
    }

    fn size(&self) -> u64 {
        self.read.size()
    }

    fn sector_size(&self) -> u32 {
        self.read.sector_size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.read.read_at(buf, offset)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        self.read.extent_at(range)
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        self.read.file_range(range)
    }
}

impl BlockWrite for SliceMut {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.base.write_at(buf, self.read.range.start.saturating_add(offset))
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        self.base.zero_range(shift(range, self.read.range.start))
    }

    fn flush(&self) -> Result<()> {
        self.base.flush()
    }
}
