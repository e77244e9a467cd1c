//! Formats whose blocks are laid end to end as they are first written: what their writers have in common.

use std::sync::{Mutex, PoisonError};

use block::{Chunk, ContentSum, Error, ErrorKind, Receipt, Result, Sink, SinkCaps};

use crate::len64;
use crate::partial::Partial;

/// An image in the making.
pub(crate) trait Layout: Send + 'static {
    /// The format.
    const LAYER: &'static str;

    /// Size of the disk in bytes.
    fn size(&self) -> u64;

    /// Puts bytes at `offset` of the disk, all inside it. What else is in the blocks that they touch stays as
    /// it is, zeros at first.
    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Writes all tables, what makes it an image last, when everything else is on the disk.
    fn finish(self) -> Result<()>;
}

/// Such an image as the target of a copy.
pub(crate) struct LaidSink<L> {
    layout: Mutex<(L, u64)>,
    size: u64,
}

impl<L: Layout> LaidSink<L> {
    pub(crate) fn new(layout: L) -> Self {
        Self { size: layout.size(), layout: Mutex::new((layout, 0)) }
    }
}

impl<L: Layout> Sink for LaidSink<L> {
    /// In order: blocks are laid as they come, and equal disks should make equal images. What comes next is read and
    /// summed meanwhile.
    fn caps(&self) -> SinkCaps {
        SinkCaps { ordered: true, ..SinkCaps::FILE }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        // What was never written reads as zeros.
        let Chunk::Data { offset, bytes } = chunk else { return Ok(()) };
        if offset.checked_add(len64(bytes)).is_none_or(|end| end > self.size) {
            let what = format!("a chunk of {} bytes does not lie inside the disk", bytes.len());
            return Err(Error::new(ErrorKind::OutOfRange, L::LAYER, what).at(offset));
        }
        let mut guard = self.layout.lock().map_err(|_| poisoned(L::LAYER))?;
        let (layout, written) = &mut *guard;
        *written = written.saturating_add(len64(bytes));
        layout.write(bytes, offset)
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        if self.layout.is_poisoned() {
            return Err(poisoned(L::LAYER));
        }
        let (layout, written) = self.layout.into_inner().unwrap_or_else(PoisonError::into_inner);
        layout.finish()?;
        Ok(Receipt { size: self.size, written, content, ..Receipt::default() })
    }
}

/// What is left of an image that a thread was writing when it panicked.
pub(crate) fn poisoned(layer: &'static str) -> Error {
    Error::new(ErrorKind::Poisoned, layer, "another thread panicked while it wrote")
}

/// Blocks of one size, in the order of their first write.
#[derive(Debug)]
pub(crate) struct Blocks {
    output: Partial,
    /// Bytes of a block of the disk.
    block_size: u64,
    /// What is before the bytes of each block in the file.
    lead: Vec<u8>,
    /// From the start of a block in the file to that of the next.
    stride: u64,
    /// Where the bytes of the next new block go.
    next: u64,
    /// The end of the last block in the file.
    end: u64,
    /// Where the bytes of each block are; 0 if nowhere.
    places: Vec<u64>,
}

impl Blocks {
    /// Room for the blocks of a disk of `size` bytes, whose first one goes to `first`.
    pub(crate) fn new(output: Partial, size: u64, block_size: u64, first: u64) -> Self {
        let blocks = usize::try_from(size.div_ceil(block_size.max(1))).unwrap_or(usize::MAX);
        let places = vec![0; blocks];
        Self { output, block_size, lead: Vec::new(), stride: block_size, next: first, end: first, places }
    }

    /// The same, where `lead` is before the bytes of each block, and `gap` bytes of nothing before that.
    pub(crate) fn led_by(self, lead: Vec<u8>, gap: u64) -> Self {
        let stride = self.block_size.saturating_add(len64(&lead)).saturating_add(gap);
        Self { lead, stride, ..self }
    }

    /// As [`Layout::write`].
    pub(crate) fn write(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let within = offset.checked_rem(self.block_size).unwrap_or(0);
            let place = self.place(offset)?;
            let len = self.block_size.saturating_sub(within).min(len64(bytes));
            let (now, later) = bytes.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()));
            self.output.write_at(now, place.saturating_add(within))?;
            offset = offset.saturating_add(len);
            bytes = later;
        }
        Ok(())
    }

    /// Where the block with the byte `offset` of the disk is in the file; a new one if it is nowhere yet.
    fn place(&mut self, offset: u64) -> Result<u64> {
        let block = offset.checked_div(self.block_size).unwrap_or(0);
        let place = usize::try_from(block).ok().and_then(|block| self.places.get_mut(block));
        let outside =
            || Error::new(ErrorKind::OutOfRange, "file", "a write past the end of the disk").at(offset);
        let place = place.ok_or_else(outside)?;
        if *place == 0 {
            *place = self.next;
            self.end = self.next.saturating_add(self.block_size);
            self.next = self.next.saturating_add(self.stride);
            if !self.lead.is_empty() {
                self.output.write_at(&self.lead, place.saturating_sub(len64(&self.lead)))?;
            }
        }
        Ok(*place)
    }

    /// Where the bytes of each block are in the file; 0 if nowhere.
    pub(crate) fn places(&self) -> &[u64] {
        &self.places
    }

    /// The file, and the end of the last block in it.
    pub(crate) fn into_parts(self) -> (Partial, u64) {
        (self.output, self.end)
    }
}
