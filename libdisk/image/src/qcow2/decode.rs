//! Compressed clusters.

use std::sync::{Mutex, PoisonError};

use block::{Error, Result};
use zstd::zstd_safe;

use super::LAYER;
use super::header::Compression;

/// A decompressor, costly to set up.
enum Decoder {
    Zlib(libdeflater::Decompressor),
    Zstd(zstd::bulk::Decompressor<'static>),
}

/// Decompressors for all threads that read: each takes one that is free, or makes one.
pub(super) struct Decoders {
    compression: Compression,
    free: Mutex<Vec<Decoder>>,
}

impl Decoders {
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, free: Mutex::default() }
    }

    /// Fills all of `out`, a whole cluster, from the start of `data`. Behind the end of the compressed data there may be
    /// anything.
    pub(super) fn decode(&self, data: &[u8], out: &mut [u8]) -> Result<()> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = match free {
            Some(decoder) => decoder,
            None => self.make()?,
        };
        let done = match &mut decoder {
            Decoder::Zlib(zlib) => inflate(zlib, data, out),
            Decoder::Zstd(zstd) => unzstd(zstd, data, out),
        };
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
        done
    }

    fn make(&self) -> Result<Decoder> {
        Ok(match self.compression {
            Compression::Zlib => Decoder::Zlib(libdeflater::Decompressor::new()),
            Compression::Zstd => Decoder::Zstd(
                zstd::bulk::Decompressor::new()
                    .map_err(|cause| Error::io(LAYER, "cannot set up zstd", cause))?,
            ),
        })
    }
}

impl std::fmt::Debug for Decoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoders({:?})", self.compression)
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
