//! The handles that everybody holds: they check every range once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::slice::Slice;
use crate::{BlockRead, BlockWrite, Error, ErrorKind, Extent, Extents, FileRange, Result};

/// The most that [`Disk::read_vec`] allocates. Lengths come from images, and images lie.
const READ_VEC_LIMIT: usize = 64 << 20;

fn check(layer: &dyn BlockRead, start: u64, len: u64) -> Result<()> {
    match start.checked_add(len) {
        Some(end) if end <= layer.size() && i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Error::new(
            ErrorKind::OutOfRange,
            layer.layer(),
            format!("{len} bytes do not lie inside the device of {} bytes", layer.size()),
        )
        .at(start)),
    }
}

fn range_len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// A readable device. Cloning it is cheap; clones share the layers.
#[derive(Clone)]
pub struct Disk(Arc<dyn BlockRead>);

impl Disk {
    /// Wraps a layer.
    pub fn new(layer: impl BlockRead) -> Self {
        Self(Arc::new(layer))
    }

    /// The name of the topmost layer.
    pub fn layer(&self) -> &'static str {
        self.0.layer()
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// Logical sector size in bytes.
    pub fn sector_size(&self) -> u32 {
        self.0.sector_size()
    }

    /// Fills all of `buf` from byte `offset` on.
    ///
    /// # Errors
    /// `OutOfRange` if the range does not lie inside the device, else whatever the layers report.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check(&*self.0, offset, buf.len() as u64)?;
        if buf.is_empty() { Ok(()) } else { self.0.read_at(buf, offset) }
    }

    /// Reads `len` bytes at `offset` into a new vector, for structures: at most 64 MiB.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at); `OutOfRange` for more than 64 MiB.
    pub fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        check(&*self.0, offset, len as u64)?;
        if len > READ_VEC_LIMIT {
            let what = format!("a structure of {len} bytes is larger than the limit of {READ_VEC_LIMIT}");
            return Err(Error::new(ErrorKind::OutOfRange, self.layer(), what).at(offset));
        }
        let mut buf = vec![0; len];
        self.read_at(&mut buf, offset)?;
        Ok(buf)
    }

    /// The run that starts at `range.start`, at most as long as `range`.
    ///
    /// # Errors
    /// `OutOfRange` if the range is empty or does not lie inside the device, else what the layers report.
    pub fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let len = range_len(&range);
        check(&*self.0, range.start, len.max(1))?;
        let extent = self.0.extent_at(range)?;
        Ok(Extent { len: extent.len.clamp(1, len), kind: extent.kind })
    }

    /// Where the run that starts at `range.start` is in a file, at most as long as `range`; `None` if it has
    /// to be read.
    ///
    /// # Errors
    /// As [`extent_at`](Self::extent_at).
    pub fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let len = range_len(&range);
        check(&*self.0, range.start, len.max(1))?;
        let found = self.0.file_range(range)?;
        Ok(found.map(|found| FileRange { len: found.len.clamp(1, len), ..found }))
    }

    /// All runs of `range`, ascending and contiguous, neighbours of one kind merged.
    pub fn extents(&self, range: Range<u64>) -> Extents<'_> {
        Extents::new(self, range)
    }

    /// The device that is this range of this one: a partition, say.
    ///
    /// # Errors
    /// `OutOfRange` if the range does not lie inside the device.
    pub fn slice(&self, range: Range<u64>) -> Result<Disk> {
        check(&*self.0, range.start, range_len(&range))?;
        Ok(Disk::new(Slice::new(self.clone(), range)))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({}, {} bytes)", self.layer(), self.size())
    }
}

/// A writable device. Cloning it is cheap; clones share the layers.
///
/// File systems get one over an [`Overlay`](crate::Overlay) only.
#[derive(Clone)]
pub struct DiskMut(Arc<dyn BlockWrite>);

impl DiskMut {
    /// Wraps a layer.
    pub fn new(layer: impl BlockWrite) -> Self {
        Self(Arc::new(layer))
    }

    /// The same device, for reading: it sees every write.
    pub fn disk(&self) -> Disk {
        Disk(self.0.clone())
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// Fills all of `buf` from byte `offset` on; see [`Disk::read_at`].
    ///
    /// # Errors
    /// As [`Disk::read_at`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check(&*self.0, offset, buf.len() as u64)?;
        if buf.is_empty() { Ok(()) } else { self.0.read_at(buf, offset) }
    }

    /// Writes all of `buf` at byte `offset`.
    ///
    /// # Errors
    /// `OutOfRange` if the range does not lie inside the device, else what the layers report.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        check(&*self.0, offset, buf.len() as u64)?;
        if buf.is_empty() { Ok(()) } else { self.0.write_at(buf, offset) }
    }

    /// Makes the range read as zeros.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn zero_range(&self, range: Range<u64>) -> Result<()> {
        check(&*self.0, range.start, range_len(&range))?;
        if range.is_empty() { Ok(()) } else { self.0.zero_range(range) }
    }

    /// Makes all earlier writes durable.
    ///
    /// # Errors
    /// What the layers report.
    pub fn flush(&self) -> Result<()> {
        self.0.flush()
    }

    /// The writable device that is this range of this one.
    ///
    /// # Errors
    /// `OutOfRange` if the range does not lie inside the device.
    pub fn slice(&self, range: Range<u64>) -> Result<DiskMut> {
        check(&*self.0, range.start, range_len(&range))?;
        Ok(DiskMut::new(Slice::writable(self.clone(), range)))
    }
}

impl fmt::Debug for DiskMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskMut({}, {} bytes)", self.0.layer(), self.size())
    }
}
