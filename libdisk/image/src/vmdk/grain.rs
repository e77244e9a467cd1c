//! Compressed grains.

use std::ops::Range;

use block::{Disk, Error, Result};

use super::LAYER;
use super::header::{Header, marker};
use super::ondisk::{GRAIN_MARKER_LEN, SECTOR};

/// A compressed grain: where it is on the disk, and where its marker is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grain {
    /// The byte of the extent where it starts.
    pub(super) start: u64,
    /// The byte of the file where its marker is.
    pub(super) host: u64,
}

/// A decompressor, costly to set up, and the memory for what it reads and for a grain that is not wanted
/// whole.
pub(super) struct Decoder {
    zlib: libdeflater::Decompressor,
    input: Vec<u8>,
    /// Where in the file the input is from.
    at: u64,
    grain: Vec<u8>,
}

/// How long the compressed data of a grain are, at most: as long as zlib makes what cannot be compressed, and
/// some more.
fn longest(header: &Header) -> u64 {
    header.grain.saturating_add(header.grain.wrapping_shr(6)).saturating_add(SECTOR)
}

/// Where the marker and the data of a grain at `host` are, at most.
pub(super) fn span_of(file: &Disk, header: &Header, host: u64) -> Range<u64> {
    host..host.saturating_add(longest(header)).min(file.size())
}

impl Decoder {
    pub(super) fn new() -> Self {
        let zlib = libdeflater::Decompressor::new();
        Self { zlib, input: Vec::new(), at: 0, grain: Vec::new() }
    }

    /// Reads a part of the file that has the data of one or more grains.
    pub(super) fn read(&mut self, file: &Disk, place: Range<u64>) -> Result<()> {
        let len = place.end.saturating_sub(place.start);
        self.input.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        self.at = place.start;
        file.read_at(&mut self.input, place.start)
    }

    /// Fills all of `out`, of a grain that is in what was read: the grain, or of the last one as much as the
    /// disk has.
    pub(super) fn decode(&mut self, header: &Header, grain: Grain, out: &mut [u8]) -> Result<()> {
        let corrupt = |what: String| Error::corrupt(LAYER, what).at(grain.host);
        let from = usize::try_from(grain.host.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let cut = || corrupt("a compressed grain lies past the end of the file".to_owned());
        let (found, rest) = self.input.get(from..).and_then(marker).ok_or_else(cut)?;
        if found.sector.get().checked_mul(SECTOR) != Some(grain.start) {
            let what = format!("a grain is marked as that of sector {}", found.sector.get());
            return Err(corrupt(format!("{what}, and is that of sector {}", grain.start / SECTOR)));
        }
        let len = found.len.get();
        if u64::from(len) > longest(header).saturating_sub(GRAIN_MARKER_LEN) {
            return Err(corrupt(format!("a compressed grain of {len} bytes")));
        }
        let data = usize::try_from(len).ok().and_then(|len| rest.get(..len)).ok_or_else(cut)?;
        let full = usize::try_from(header.grain).unwrap_or(usize::MAX);
        let damaged = |cause| corrupt("a compressed grain is damaged".to_owned()).because(cause);
        let got = if out.len() == full {
            self.zlib.zlib_decompress(data, out).map_err(damaged)?
        } else {
            // A writer may pack all of the last grain, or what is on the disk of it.
            self.grain.resize(full, 0);
            let got = self.zlib.zlib_decompress(data, &mut self.grain).map_err(damaged)?;
            if let Some(wanted) = self.grain.get(..got.min(out.len()))
                && let Some(to) = out.get_mut(..wanted.len())
            {
                to.copy_from_slice(wanted);
            }
            got
        };
        if got < out.len() {
            return Err(corrupt(format!("a compressed grain holds {got} bytes, not {}", out.len())));
        }
        Ok(())
    }
}
