//! A compressed standalone image as the target of a copy.
//!
//! Threads compress side by side and lay the clusters in the order of the disk, so that equal disks make equal images.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use block::{Chunk, ContentSum, Error, ErrorKind, Receipt, Result, Sink, SinkCaps, Turn};

use super::LAYER;
use super::write::{CLUSTER, CLUSTER_LEN, Writer};
use crate::laid::poisoned;
use crate::len64;
use crate::partial::Output;
use crate::pool::Pool;

/// What QEMU compresses by: each step up takes more time than it saves room.
const LEVEL: i32 = 3;

/// Starts a standalone image of a disk of `size` bytes, whose clusters are compressed by zstd. Beside the buffers of the
/// copy, each thread holds as much again, and each GiB that comes out of it two bytes a cluster, 32 KiB.
///
/// # Errors
/// `Refused` if it exists and must not be replaced; `Unsupported` if the disk is too large; `Io`.
pub fn create_compressed(output: &Output, size: u64) -> Result<Box<dyn Sink>> {
    let writer = Writer::create_compressed(output, size)?;
    let size = writer.size();
    Ok(Box::new(Compressing { writer: Mutex::new(writer), size, encoders: Pool::default() }))
}

struct Compressing {
    writer: Mutex<Writer>,
    size: u64,
    encoders: Pool<Encoder>,
}

/// A compressor, costly to set up, and what it made last.
struct Encoder {
    zstd: zstd::bulk::Compressor<'static>,
    /// Room for a cluster.
    room: Vec<u8>,
    bytes: Vec<u8>,
    /// Where in `bytes` each cluster is; empty for one that is no smaller than before.
    clusters: Vec<Range<usize>>,
}

impl Encoder {
    fn new() -> Result<Self> {
        let zstd = zstd::bulk::Compressor::new(LEVEL);
        let zstd = zstd.map_err(|cause| Error::io(LAYER, "cannot set up zstd", cause))?;
        Ok(Self { zstd, room: vec![0; CLUSTER_LEN], bytes: Vec::new(), clusters: Vec::new() })
    }

    /// Compresses each cluster of `data`, the last of which may be the disk's, and not whole: zeros follow it.
    fn encode(&mut self, data: &[u8]) {
        self.bytes.clear();
        self.clusters.clear();
        for cluster in data.chunks(CLUSTER_LEN) {
            let whole;
            let cluster = match cluster.len() {
                CLUSTER_LEN => cluster,
                rest => {
                    whole = [cluster, &vec![0; CLUSTER_LEN.saturating_sub(rest)]].concat();
                    &whole
                }
            };
            // One byte less than a cluster: what does not fit there is not worth it.
            let room = self.room.split_last_mut().map_or(&mut [][..], |(_, room)| room);
            let len = self.zstd.compress_to_buffer(cluster, room).unwrap_or(0);
            let start = self.bytes.len();
            self.bytes.extend_from_slice(self.room.get(..len).unwrap_or_default());
            self.clusters.push(start..self.bytes.len());
        }
    }
}

impl Compressing {
    fn check(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(len64(bytes)).filter(|end| *end <= self.size);
        let starts = offset.is_multiple_of(CLUSTER);
        // The disk may end within its last sector.
        let is_last = |end: u64| end.next_multiple_of(512) == self.size;
        let ends = end.is_some_and(|end| is_last(end) || bytes.len().is_multiple_of(CLUSTER_LEN));
        if starts && ends {
            return Ok(());
        }
        let what = format!("a chunk of {} bytes that is not whole clusters of the disk", bytes.len());
        Err(Error::new(ErrorKind::OutOfRange, LAYER, what).at(offset))
    }

    fn lay(&self, offset: u64, bytes: &[u8], made: &Encoder) -> Result<()> {
        let mut writer = self.writer.lock().map_err(|_| poisoned(LAYER))?;
        writer.write_packed(offset, bytes, &made.bytes, &made.clusters)
    }
}

impl Sink for Compressing {
    fn caps(&self) -> SinkCaps {
        SinkCaps { alignment: CLUSTER_LEN, ordered: true, ..SinkCaps::FILE }
    }

    fn put(&self, chunk: Chunk<'_>) -> Result<()> {
        // What was never written reads as zeros.
        let Chunk::Data { offset, bytes } = chunk else { return Ok(()) };
        self.check(offset, bytes)?;
        self.encoders.lend(Encoder::new, |encoder| {
            encoder.encode(bytes);
            self.lay(offset, bytes, encoder)
        })
    }

    fn put_in_turn(&self, chunk: Chunk<'_>, turn: &Turn<'_>) -> Result<()> {
        let Chunk::Data { offset, bytes } = chunk else { return Ok(()) };
        self.check(offset, bytes)?;
        self.encoders.lend(Encoder::new, |encoder| {
            encoder.encode(bytes);
            turn.wait()?;
            self.lay(offset, bytes, encoder)
        })
    }

    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
        if self.writer.is_poisoned() {
            return Err(poisoned(LAYER));
        }
        let writer = self.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        let written = writer.written();
        writer.finish()?;
        Ok(Receipt { size: self.size, written, content, ..Receipt::default() })
    }
}
