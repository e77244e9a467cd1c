//! The compressions the kernel unpacks an initramfs with (`lib/decompress.c`), read within a bound and written back.

use std::io::{self, Read, Write};

use lzma_rust2::{CheckType, LzmaOptions, LzmaReader, LzmaWriter, XzOptions, XzReader, XzWriter};

use crate::error::{Error, Result};

/// How a segment is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// The old lzma format with its 13-byte header ("lzma alone").
    Lzma,
    /// xz.
    Xz,
    /// The legacy lz4 frame: no checksum, no end mark.
    Lz4,
    /// Zstandard, RFC 8878.
    Zstd,
}

/// Memory a decoder may take for its window, in KiB: above what any preset of `xz` or `zstd` asks for.
const MEMORY_KIB: u32 = 256 * 1024;
/// The magic of a legacy lz4 frame.
const LZ4_LEGACY: [u8; 4] = 0x184C_2102_u32.to_le_bytes();
/// A legacy lz4 frame's blocks unpack to this much, save the last.
const LZ4_BLOCK: usize = 8 << 20;

impl Codec {
    /// Tells the compression by its magic, as the kernel does.
    pub(crate) fn detect(bytes: &[u8]) -> Option<Self> {
        const MAGICS: &[(&[u8], Codec)] = &[
            (&[0x1F, 0x8B], Codec::Gzip),
            (b"BZh", Codec::Bzip2),
            (&[0x5D, 0, 0], Codec::Lzma),
            (&[0xFD, b'7', b'z', b'X', b'Z', 0], Codec::Xz),
            (&LZ4_LEGACY, Codec::Lz4),
            (&[0x28, 0xB5, 0x2F, 0xFD], Codec::Zstd),
        ];
        MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, codec)| *codec)
    }

    /// Unpacks the one compressed stream that `bytes` start with, into at most `limit` bytes. Returns the data and how
    /// many bytes of the input the stream took. `what` names the data in errors.
    pub(crate) fn decompress(self, bytes: &[u8], limit: u64, what: &str) -> Result<(Vec<u8>, usize)> {
        let (data, rest) = self.unpack(bytes, limit).map_err(|source| Error::Decompress {
            what: what.to_owned(),
            codec: self,
            source,
        })?;
        if u64::try_from(data.len()).unwrap_or(u64::MAX) > limit {
            return Err(Error::TooLarge { what: "unpacked bytes", limit });
        }
        Ok((data, bytes.len().saturating_sub(rest)))
    }

    /// The unpacked data, one byte over the limit at the most, and how many bytes of the input are left.
    fn unpack(self, bytes: &[u8], limit: u64) -> io::Result<(Vec<u8>, usize)> {
        let mut data = Vec::new();
        let limit = limit.saturating_add(1);
        let rest = match self {
            Self::None => {
                bytes.take(limit).read_to_end(&mut data)?;
                0
            }
            Self::Gzip => {
                let mut decoder = flate2::bufread::GzDecoder::new(bytes);
                decoder.by_ref().take(limit).read_to_end(&mut data)?;
                decoder.into_inner().len()
            }
            Self::Bzip2 => {
                let mut decoder = bzip2::bufread::BzDecoder::new(bytes);
                decoder.by_ref().take(limit).read_to_end(&mut data)?;
                decoder.into_inner().len()
            }
            Self::Lzma => {
                let mut decoder = LzmaReader::new_mem_limit(bytes, MEMORY_KIB, None)?;
                decoder.by_ref().take(limit).read_to_end(&mut data)?;
                decoder.into_inner().len()
            }
            Self::Xz => {
                let mut decoder = XzReader::new_mem_limit(bytes, false, MEMORY_KIB);
                decoder.by_ref().take(limit).read_to_end(&mut data)?;
                decoder.into_inner().len()
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(bytes)?.single_frame();
                decoder.by_ref().take(limit).read_to_end(&mut data)?;
                decoder.finish().len()
            }
            Self::Lz4 => unpack_lz4(bytes, limit, &mut data)?.len(),
        };
        Ok((data, rest))
    }

    /// Packs `data` into one stream that the kernel can unpack. The same data gives the same bytes.
    pub(crate) fn compress(self, data: &[u8]) -> Result<Vec<u8>> {
        self.pack(data).map_err(|source| Error::Compress { codec: self, source })
    }

    fn pack(self, data: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(data.to_vec()),
            Self::Gzip => {
                let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
                let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
                let len = compressor.gzip_compress(data, &mut out).map_err(io::Error::other)?;
                out.truncate(len);
                Ok(out)
            }
            Self::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
                encoder.write_all(data)?;
                encoder.finish()
            }
            Self::Lzma => {
                let mut encoder = LzmaWriter::new_use_header(Vec::new(), &lzma_options(), None)?;
                encoder.write_all(data)?;
                encoder.finish()
            }
            Self::Xz => {
                let mut options = XzOptions::with_preset(0);
                options.lzma_options = lzma_options();
                // The kernel's decoder knows CRC32 and no other check.
                options.set_check_sum_type(CheckType::Crc32);
                let mut encoder = XzWriter::new(Vec::new(), options)?;
                encoder.write_all(data)?;
                encoder.finish()
            }
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(u64::try_from(data.len()).ok())?;
                encoder.write_all(data)?;
                encoder.finish()
            }
            Self::Lz4 => pack_lz4(data),
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

fn lzma_options() -> LzmaOptions {
    LzmaOptions::with_preset(1)
}

/// Unpacks a legacy lz4 frame: a magic, then blocks, each after its packed size. It has no end mark: the end of the
/// input is one, or the zeros of a padding, or whatever else cannot be a block. Returns what is left of the input.
fn unpack_lz4<'a>(bytes: &'a [u8], limit: u64, data: &mut Vec<u8>) -> io::Result<&'a [u8]> {
    let mut rest = bytes;
    let mut block = vec![0; LZ4_BLOCK];
    loop {
        let Some((head, after)) = rest.split_first_chunk::<4>() else { return Ok(rest) };
        if *head == LZ4_LEGACY {
            rest = after;
            continue;
        }
        let size = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if size == 0 || size > lz4_flex::block::get_maximum_output_size(LZ4_BLOCK) {
            return Ok(rest);
        }
        let Some((packed, after)) = after.split_at_checked(size) else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a block runs past the end"));
        };
        let len = lz4_flex::block::decompress_into(packed, &mut block).map_err(io::Error::other)?;
        data.extend_from_slice(block.get(..len).unwrap_or_default());
        rest = after;
        if u64::try_from(data.len()).unwrap_or(u64::MAX) >= limit {
            return Ok(rest);
        }
    }
}

fn pack_lz4(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = LZ4_LEGACY.to_vec();
    for block in data.chunks(LZ4_BLOCK) {
        let packed = lz4_flex::block::compress(block);
        let size = u32::try_from(packed.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}
