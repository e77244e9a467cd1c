//! A layer that shows every request to somebody before it passes it on.

use std::ops::Range;
use std::sync::Arc;

use crate::{BlockRead, BlockWrite, Disk, DiskMut, Error, ErrorKind, Extent, Result};

const LAYER: &str = "tap";

/// A request on its way down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `read_at` of this range.
    Read(Range<u64>),
    /// `extent_at` of this range.
    Extent(Range<u64>),
    /// `write_at` of this range.
    Write(Range<u64>),
    /// `zero_range` of this range.
    Zero(Range<u64>),
    /// `flush`.
    Flush,
}

/// Who is shown the requests.
pub trait Tap: Send + Sync + 'static {
    /// Takes note of a request; an error stops it and is what the caller gets.
    ///
    /// # Errors
    /// Whatever the request shall fail with.
    fn on(&self, request: Request) -> Result<()>;
}

/// `base`, with every request shown to `tap`.
pub fn tap<T: Tap>(base: &Disk, tap: &Arc<T>) -> Disk {
    Disk::new(Tapped { read: base.clone(), write: None, tap: Arc::clone(tap) })
}

/// `base`, with every request shown to `tap`.
pub fn tap_mut<T: Tap>(base: &DiskMut, tap: &Arc<T>) -> DiskMut {
    DiskMut::new(Tapped { read: base.disk(), write: Some(base.clone()), tap: Arc::clone(tap) })
}

struct Tapped<T> {
    read: Disk,
    write: Option<DiskMut>,
    tap: Arc<T>,
}

impl<T> Tapped<T> {
    fn writable(&self) -> Result<&DiskMut> {
        self.write
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Refused, LAYER, "the device below is for reading only"))
    }
}

fn range(offset: u64, buf: &[u8]) -> Range<u64> {
    offset..offset + buf.len() as u64
}

impl<T: Tap> BlockRead for Tapped<T> {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.read.size()
    }

    fn sector_size(&self) -> u32 {
        self.read.sector_size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.tap.on(Request::Read(range(offset, buf)))?;
        self.read.read_at(buf, offset)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        self.tap.on(Request::Extent(range.clone()))?;
        self.read.extent_at(range)
    }
}

impl<T: Tap> BlockWrite for Tapped<T> {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.tap.on(Request::Write(range(offset, buf)))?;
        self.writable()?.write_at(buf, offset)
    }

    fn zero_range(&self, range: Range<u64>) -> Result<()> {
        self.tap.on(Request::Zero(range.clone()))?;
        self.writable()?.zero_range(range)
    }

    fn flush(&self) -> Result<()> {
        self.tap.on(Request::Flush)?;
        self.writable()?.flush()
    }
}
