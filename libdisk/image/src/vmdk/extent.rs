//! A sparse extent as a device.

use std::ops::Range;

use block::{BlockRead, Disk, Error, ErrorKind, Extent, FileRange, Result};

use super::LAYER;
use super::grain::{Decoder, Grain, span_of};
use super::header::Header;
use super::map::{Map, Mapping, Packed, Run};
use crate::cache::Cache;
use crate::len64;
use crate::pool::Pool;

/// How many bytes of decompressed grains are kept for reads of less than a grain.
const GRAIN_CACHE: u64 = 4 << 20;
/// How many bytes of compressed grains are read at once.
const BATCH: u64 = 1 << 20;

/// A sparse extent, opened for reading.
#[derive(Debug)]
pub(super) struct Sparse {
    file: Disk,
    header: Header,
    map: Map,
    /// What is below it, of the same size.
    below: Option<Disk>,
    decoders: Pool<Decoder>,
    grains: Cache<Vec<u8>>,
}

impl Sparse {
    /// The extent in `file`, whose header this is, over `below`.
    pub(super) fn open(file: Disk, header: Header, below: Option<Disk>) -> Result<Self> {
        let map = Map::read(&file, &header)?;
        let grains = Cache::new(GRAIN_CACHE, header.grain);
        Ok(Self { file, header, map, below, decoders: Pool::default(), grains })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("grains of {} KiB", self.header.grain / 1024);
        if self.header.compressed {
            text.push_str(", deflate");
        }
        if self.map.is_found() {
            text.push_str(", without a directory: the grains were found one by one");
        }
        if self.header.unclean {
            text.push_str(", not closed cleanly");
        }
        text
    }

    fn run(&self, offset: u64, limit: u64) -> Result<Run> {
        self.map.run(&self.file, &self.header, offset, limit)
    }

    /// Bytes from `offset` on up to the end of the grain that starts there, or of the disk.
    fn whole(&self, offset: u64) -> u64 {
        self.header.grain.min(self.header.size.saturating_sub(offset))
    }

    /// The compressed grain that starts at `offset`, if it is one and all of it lies before `end`.
    fn whole_compressed(&self, offset: u64, end: u64) -> Result<Option<Grain>> {
        let rest = end.saturating_sub(offset);
        if rest == 0 || rest < self.whole(offset) {
            return Ok(None);
        }
        Ok(match self.run(offset, rest)?.mapping {
            Mapping::Packed(Packed { host, skip: 0 }) => Some(Grain { start: offset, host }),
            _ => None,
        })
    }

    /// Decompresses `first` and those after it whose data follow in the file: one read is enough for all of
    /// them. Gives the number of bytes filled.
    fn read_grains(&self, buf: &mut [u8], first: Grain) -> Result<u64> {
        let end = first.start.saturating_add(len64(buf));
        let mut at = first.start.saturating_add(self.whole(first.start));
        let (mut batch, mut grains) = (span_of(&self.file, &self.header, first.host), vec![first]);
        while let Some(next) = self.whole_compressed(at, end)? {
            let span = span_of(&self.file, &self.header, next.host);
            let follows = (batch.start..=batch.end).contains(&span.start)
                && span.end.saturating_sub(batch.start) <= BATCH;
            if !follows {
                break;
            }
            batch.end = batch.end.max(span.end);
            grains.push(next);
            at = at.saturating_add(self.whole(at));
        }
        self.decompress(buf, batch, &grains)?;
        Ok(at.saturating_sub(first.start))
    }

    /// Reads `batch` and fills `buf`, grain by grain.
    fn decompress(&self, buf: &mut [u8], batch: Range<u64>, grains: &[Grain]) -> Result<()> {
        let outs = buf.chunks_mut(usize::try_from(self.header.grain).unwrap_or(usize::MAX));
        self.decoders.lend(
            || Ok(Decoder::new()),
            |decoder| {
                decoder.read(&self.file, batch.clone()).map_err(|error| error.at(batch.start))?;
                grains.iter().zip(outs).try_for_each(|(grain, out)| decoder.decode(&self.header, *grain, out))
            },
        )
    }

    /// Reads a part of the compressed grain at `host`, which starts at `start`, from `skip` on.
    fn read_part(&self, buf: &mut [u8], grain: Grain, skip: u64) -> Result<()> {
        let len = usize::try_from(self.whole(grain.start)).unwrap_or(0);
        let whole = self.grains.get(grain.start, || {
            let mut whole = vec![0; len];
            self.decompress(&mut whole, span_of(&self.file, &self.header, grain.host), &[grain])?;
            Ok(whole)
        })?;
        let start = usize::try_from(skip).unwrap_or(usize::MAX);
        let wanted = whole.get(start..start.saturating_add(buf.len()));
        buf.copy_from_slice(wanted.ok_or_else(|| Error::corrupt(LAYER, "a read leaves its grain"))?);
        Ok(())
    }

    /// What it means that the file has no such range: it was cut off, or a table is damaged.
    fn outside(error: Error, host: u64) -> Error {
        if error.kind() != ErrorKind::OutOfRange {
            return error;
        }
        Error::corrupt(LAYER, "a grain lies past the end of the file").at(host)
    }
}

impl BlockRead for Sparse {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let run = self.run(offset, len64(buf))?;
            let mut len = run.len;
            let now = usize::try_from(len).ok().and_then(|len| buf.get_mut(..len)).unwrap_or_default();
            match (run.mapping, &self.below) {
                (Mapping::Below, Some(below)) => below.read_at(now, offset)?,
                (Mapping::Below, None) | (Mapping::Zero, _) => now.fill(0),
                (Mapping::Data(host), _) => {
                    self.file.read_at(now, host).map_err(|error| Self::outside(error, host))?;
                }
                (Mapping::Packed(Packed { host, skip: 0 }), _) if len == self.whole(offset) => {
                    len = self.read_grains(buf, Grain { start: offset, host })?;
                }
                (Mapping::Packed(Packed { host, skip }), _) => {
                    self.read_part(now, Grain { start: offset.saturating_sub(skip), host }, skip)?;
                }
            }
            offset = offset.saturating_add(len);
            buf = buf.get_mut(usize::try_from(len).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        let run = self.run(range.start, range.end.saturating_sub(range.start))?;
        let end = range.start.saturating_add(run.len);
        match (run.mapping, &self.below) {
            (Mapping::Below, Some(below)) => below.extent_at(range.start..end),
            (Mapping::Below, None) | (Mapping::Zero, _) => Ok(Extent::zero(run.len)),
            (Mapping::Packed(_), _) => Ok(Extent::data(run.len)),
            // Grains that were allocated in advance are holes of the file.
            (Mapping::Data(host), _) => {
                let found = self.file.extent_at(host..host.saturating_add(run.len));
                found.map_err(|error| Self::outside(error, host))
            }
        }
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        let run = self.run(range.start, range.end.saturating_sub(range.start))?;
        match (run.mapping, &self.below) {
            (Mapping::Below, Some(below)) => {
                below.file_range(range.start..range.start.saturating_add(run.len))
            }
            (Mapping::Data(host), _) => {
                let found = self.file.file_range(host..host.saturating_add(run.len));
                found.map_err(|error| Self::outside(error, host))
            }
            _ => Ok(None),
        }
    }
}
