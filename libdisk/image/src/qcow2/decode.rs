//! Compressed clusters.

use std::ops::Range;

use block::{Disk, Error, Result};
use zstd::zstd_safe;

use super::LAYER;
use super::header::Compression;

/// A decompressor, costly to set up, and the memory for what it reads.
pub(super) struct Decoder {
    codec: Codec,
    input: Vec<u8>,
}

enum Codec {
    Zlib(libdeflater::Decompressor),
    Zstd(zstd::bulk::Decompressor<'static>),
}

impl Decoder {
    pub(super) fn new(compression: Compression) -> Result<Self> {
        let codec = match compression {
            Compression::Zlib => Codec::Zlib(libdeflater::Decompressor::new()),
            Compression::Zstd => Codec::Zstd(
                zstd::bulk::Decompressor::new()
                    .map_err(|cause| Error::io(LAYER, "cannot set up zstd", cause))?,
            ),
        };
        Ok(Self { codec, input: Vec::new() })
    }

    /// Reads the compressed data of one or more clusters.
    pub(super) fn read(&mut self, file: &Disk, place: Range<u64>) -> Result<()> {
        let len = place.end.saturating_sub(place.start);
        self.input.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        file.read_at(&mut self.input, place.start)
    }

    /// Fills all of `out`, a whole cluster, from the part `range` of what was read. Behind the end of the
    /// compressed data there may be anything.
    pub(super) fn decode(&mut self, range: Range<usize>, out: &mut [u8]) -> Result<()> {
        let data = self.input.get(range).unwrap_or_default();
        match &mut self.codec {
            Codec::Zlib(zlib) => inflate(zlib, data, out),
            Codec::Zstd(zstd) => unzstd(zstd, data, out),
        }
    }
}

fn too_short(got: usize, wanted: usize) -> Error {
    Error::corrupt(LAYER, format!("a compressed cluster holds {got} bytes, not {wanted}"))
}

fn inflate(zlib: &mut libdeflater::Decompressor, data: &[u8], out: &mut [u8]) -> Result<()> {
    let len = zlib
        .deflate_decompress(data, out)
        .map_err(|cause| Error::corrupt(LAYER, "a compressed cluster is damaged").because(cause))?;
    if len == out.len() { Ok(()) } else { Err(too_short(len, out.len())) }
}

fn unzstd(zstd: &mut zstd::bulk::Decompressor<'_>, mut data: &[u8], out: &mut [u8]) -> Result<()> {
    let damaged = || Error::corrupt(LAYER, "a compressed cluster is damaged");
    let mut done = 0_usize;
    while done < out.len() {
        let len = zstd_safe::find_frame_compressed_size(data).map_err(|_| damaged())?;
        let frame = data.get(..len).filter(|frame| !frame.is_empty()).ok_or_else(damaged)?;
        let rest = out.get_mut(done..).unwrap_or_default();
        let got = zstd.decompress_to_buffer(frame, rest).map_err(|cause| damaged().because(cause))?;
        if got == 0 {
            return Err(too_short(done, out.len()));
        }
        done = done.saturating_add(got);
        data = data.get(len..).unwrap_or_default();
    }
    Ok(())
}
