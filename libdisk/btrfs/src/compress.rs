//! The three compressions ("Compression" of file extents).

use std::io::{self, Read};

use vfs::bytes::le32;

use crate::bytes::{index, wide};

/// The most that one compressed extent holds, before and after.
pub(crate) const LIMIT: u64 = 128 << 10;
/// The base-two logarithm of `LIMIT`: a window of zstd need not be larger.
const WINDOW: u32 = 17;

/// How an extent is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Zlib,
    Lzo,
    Zstd,
}

impl Compression {
    pub(crate) fn of_type(number: u8) -> Option<Self> {
        [Self::None, Self::Zlib, Self::Lzo, Self::Zstd].get(usize::from(number)).copied()
    }

    /// Unpacks `len` bytes; what the input does not have is zero. LZO has segments that depend on the sector
    /// size.
    pub(crate) fn unpack(self, input: &[u8], len: usize, sector: u32) -> io::Result<Vec<u8>> {
        let mut output = Vec::with_capacity(len);
        let limit = wide(len);
        match self {
            Self::None => output.extend(input.iter().take(len)),
            Self::Zlib => {
                flate2::bufread::ZlibDecoder::new(input).take(limit).read_to_end(&mut output)?;
            }
            Self::Lzo => output = unpack_lzo(input, len, index(sector))?,
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(WINDOW)?;
                decoder.take(limit).read_to_end(&mut output)?;
            }
        }
        output.resize(len, 0);
        Ok(output)
    }
}

/// A total length, then segments of one sector each, with their lengths; no length lies across the end of a
/// sector.
fn unpack_lzo(input: &[u8], len: usize, sector: usize) -> io::Result<Vec<u8>> {
    const LENGTH: usize = 4;
    let length = |at: usize| -> io::Result<usize> {
        le32(input, at).map(index).map_err(|_| invalid("a length is cut off"))
    };
    let total = length(0)?.min(input.len());
    let mut output = Vec::with_capacity(len);
    let mut at = LENGTH;
    while at < total && output.len() < len {
        let left = sector.saturating_sub(at.checked_rem(sector).unwrap_or_default());
        if left < LENGTH {
            at = at.saturating_add(left);
            continue;
        }
        let size = length(at)?;
        at = at.saturating_add(LENGTH);
        let segment = at.checked_add(size).and_then(|end| input.get(at..end));
        let segment = segment.ok_or_else(|| invalid("a segment is cut off"))?;
        let mut piece = vec![0; sector.min(len.saturating_sub(output.len()))];
        let count = lzo::decompress_into(segment, &mut piece)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        output.extend(piece.get(..count).unwrap_or_default());
        at = at.saturating_add(size);
    }
    Ok(output)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie() {
        for input in [&[][..], &[9, 0, 0], &[255; 40], &[40, 0, 0, 0, 255, 255, 255, 255, 1], &[0; 40]] {
            for compression in [Compression::Zlib, Compression::Lzo, Compression::Zstd] {
                if let Ok(bytes) = compression.unpack(input, 5000, 4096) {
                    assert_eq!(bytes, vec![0; 5000], "{compression:?} of {input:?}");
                }
            }
        }
        assert!(Compression::of_type(4).is_none());
    }
}
