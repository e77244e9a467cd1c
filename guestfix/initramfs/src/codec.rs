//! The compressions the kernel unpacks an initramfs with (`lib/decompress.c`), read within a bound and
//! written back.

use std::io::{self, Read, Write};
use std::num::NonZeroU64;

use lz4::block::CompressionMode;
use lzma_rust2::{CheckType, LzmaOptions, LzmaReader, LzmaWriter, XzOptions, XzReader, XzWriterMt};
use rayon::prelude::*;

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

/// Memory a decoder may take for its window, in KiB: what the highest preset of `xz` asks for, and a bit.
const MEMORY_KIB: u32 = 80 * 1024;
/// The same for zstd, as a power of two of bytes: above what any level but `--ultra` asks for.
const ZSTD_WINDOW: u32 = 26;
/// As much is held to be packed as one piece of gzip.
const GZIP_PIECE: usize = 64 << 20;
/// The fastest preset of xz and lzma: others take ten seconds and more for an ordinary initramfs.
const LZMA_PRESET: u32 = 0;
/// xz blocks are packed side by side. Their size, and so the result, does not depend on the number of
/// processors.
const XZ_BLOCK: Option<NonZeroU64> = NonZeroU64::new(16 << 20);
/// The magic of a legacy lz4 frame.
const LZ4_LEGACY: [u8; 4] = 0x184C_2102_u32.to_le_bytes();
/// A legacy lz4 frame's blocks unpack to this much, save the last.
const LZ4_BLOCK: usize = 8 << 20;
/// Of the levels of high compression, which distributions pack with at 9: 2 % larger in a third of the time.
const LZ4_LEVEL: i32 = 3;

impl Codec {
    /// Tells the compression by its magic, as the kernel does.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
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

    /// Unpacks the one compressed stream that `bytes` start with, into at most `limit` bytes. Returns the
    /// data and how many bytes of the input the stream took. `what` names the data in errors.
    pub(crate) fn decompress(self, bytes: &[u8], limit: u64, what: &str) -> Result<(Vec<u8>, usize)> {
        let mut data = Vec::new();
        let taken = self.unpack_into(bytes, limit, what, &mut data)?;
        Ok((data, taken))
    }

    /// The same, handing the data on as it comes. Returns how many bytes of the input the stream took.
    ///
    /// # Errors
    /// When the stream is damaged, or there is more in it than the limit.
    pub fn unpack_into(self, bytes: &[u8], limit: u64, what: &str, out: &mut dyn Write) -> Result<usize> {
        let unpacked = self.unpack(bytes, limit, out);
        let (len, rest) =
            unpacked.map_err(|source| Error::Decompress { what: what.to_owned(), codec: self, source })?;
        if len > limit {
            return Err(Error::TooLarge { what: "unpacked bytes", limit });
        }
        Ok(bytes.len().saturating_sub(rest))
    }

    /// How many bytes were unpacked, one over the limit at the most, and how many of the input are left.
    fn unpack(self, bytes: &[u8], limit: u64, out: &mut dyn Write) -> io::Result<(u64, usize)> {
        let limit = limit.saturating_add(1);
        Ok(match self {
            Self::None => (io::copy(&mut bytes.take(limit), out)?, 0),
            Self::Gzip => {
                let mut decoder = flate2::bufread::GzDecoder::new(bytes);
                let len = io::copy(&mut decoder.by_ref().take(limit), out)?;
                (len, decoder.into_inner().len())
            }
            Self::Bzip2 => {
                let mut decoder = bzip2::bufread::BzDecoder::new(bytes);
                let len = io::copy(&mut decoder.by_ref().take(limit), out)?;
                (len, decoder.into_inner().len())
            }
            Self::Lzma => {
                let mut decoder = LzmaReader::new_mem_limit(bytes, MEMORY_KIB, None)?;
                let len = io::copy(&mut decoder.by_ref().take(limit), out)?;
                let (rest, read_ahead) = decoder.into_parts();
                (len, rest.len().saturating_add(read_ahead.len()))
            }
            Self::Xz => {
                let mut decoder = XzReader::new_mem_limit(bytes, false, MEMORY_KIB);
                let len = io::copy(&mut decoder.by_ref().take(limit), out)?;
                (len, decoder.into_inner().len())
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(bytes)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW)?;
                let len = io::copy(&mut decoder.by_ref().take(limit), out)?;
                (len, decoder.finish().len())
            }
            Self::Lz4 => {
                let (len, rest) = unpack_lz4(bytes, limit, out)?;
                (len, rest.len())
            }
        })
    }

    /// Packs `data` into one stream that the kernel can unpack. The same data gives the same bytes.
    #[cfg(test)]
    pub(crate) fn compress(self, data: &[u8]) -> Result<Vec<u8>> {
        self.pack(data.len(), |packer| packer.write_all(data))
    }

    /// Packs the `len` bytes that `write` writes into one stream that the kernel can unpack. The same data
    /// gives the same bytes.
    pub(crate) fn pack(
        self,
        len: usize,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Vec<u8>> {
        let packed = Packer::new(self, len).and_then(|mut packer| {
            write(&mut packer)?;
            packer.finish()
        });
        packed.map_err(|source| Error::Compress { codec: self, source })
    }
}

/// What packs a segment.
#[allow(clippy::large_enum_variant, reason = "there is one of it, for as long as a file is packed")]
enum Packer {
    Plain(Vec<u8>),
    /// Packed in one piece at the end, which is twice as fast.
    Gzip(Vec<u8>),
    LargeGzip(flate2::write::GzEncoder<Vec<u8>>),
    Bzip2(bzip2::write::BzEncoder<Vec<u8>>),
    Lzma(Box<LzmaWriter<Vec<u8>>>),
    Xz(XzWriterMt<Vec<u8>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Lz4 {
        out: Vec<u8>,
        blocks: Vec<u8>,
    },
}

impl Packer {
    fn new(codec: Codec, len: usize) -> io::Result<Self> {
        Ok(match codec {
            Codec::None => Self::Plain(Vec::new()),
            Codec::Gzip if len <= GZIP_PIECE => Self::Gzip(Vec::new()),
            Codec::Gzip => {
                Self::LargeGzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()))
            }
            Codec::Bzip2 => Self::Bzip2(bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best())),
            Codec::Lzma => {
                let options = LzmaOptions::with_preset(LZMA_PRESET);
                Self::Lzma(Box::new(LzmaWriter::new_use_header(Vec::new(), &options, None)?))
            }
            Codec::Xz => {
                let mut options = XzOptions::with_preset(LZMA_PRESET);
                options.set_block_size(XZ_BLOCK);
                // The kernel's decoder knows CRC32 and no other check.
                options.set_check_sum_type(CheckType::Crc32);
                Self::Xz(XzWriterMt::new(
                    Vec::new(),
                    options,
                    u32::try_from(rayon::current_num_threads()).unwrap_or(1),
                )?)
            }
            Codec::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 6)?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(u64::try_from(len).ok())?;
                Self::Zstd(encoder)
            }
            Codec::Lz4 => Self::Lz4 { out: LZ4_LEGACY.to_vec(), blocks: Vec::new() },
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(data) => {
                let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
                let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
                let len = compressor.gzip_compress(&data, &mut out).map_err(io::Error::other)?;
                out.truncate(len);
                Ok(out)
            }
            Self::LargeGzip(encoder) => encoder.finish(),
            Self::Bzip2(encoder) => encoder.finish(),
            Self::Lzma(encoder) => (*encoder).finish(),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Lz4 { mut out, blocks } => {
                pack_lz4(&blocks, &mut out)?;
                Ok(out)
            }
        }
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) | Self::Gzip(out) => out.write(bytes),
            Self::LargeGzip(encoder) => encoder.write(bytes),
            Self::Bzip2(encoder) => encoder.write(bytes),
            Self::Lzma(encoder) => encoder.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Lz4 { out, blocks } => {
                let group = LZ4_BLOCK.saturating_mul(rayon::current_num_threads());
                let (now, _) =
                    bytes.split_at_checked(group.saturating_sub(blocks.len())).unwrap_or((bytes, &[]));
                blocks.extend_from_slice(now);
                if blocks.len() == group {
                    pack_lz4(blocks, out)?;
                    blocks.clear();
                }
                Ok(now.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// Unpacks a legacy lz4 frame: a magic, then blocks, each after its packed size. It has no end mark: the end
/// of the input is one, or the zeros of a padding, or whatever else cannot be a block. Returns how many bytes
/// it unpacks to, and what is left of the input.
fn unpack_lz4<'a>(bytes: &'a [u8], limit: u64, out: &mut dyn Write) -> io::Result<(u64, &'a [u8])> {
    let mut rest = bytes;
    let mut total: u64 = 0;
    let mut block = vec![0; LZ4_BLOCK];
    loop {
        let Some((head, after)) = rest.split_first_chunk::<4>() else { return Ok((total, rest)) };
        if *head == LZ4_LEGACY {
            rest = after;
            continue;
        }
        let size = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if size == 0 || size > lz4_flex::block::get_maximum_output_size(LZ4_BLOCK) {
            return Ok((total, rest));
        }
        let Some((packed, after)) = after.split_at_checked(size) else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a block runs past the end"));
        };
        let len = lz4_flex::block::decompress_into(packed, &mut block).map_err(io::Error::other)?;
        out.write_all(block.get(..len).unwrap_or_default())?;
        rest = after;
        total = total.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if total >= limit {
            return Ok((total, rest));
        }
    }
}

/// Blocks are packed side by side; the result does not depend on the number of processors.
fn pack_lz4(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mode = Some(CompressionMode::HIGHCOMPRESSION(LZ4_LEVEL));
    for group in data.chunks(LZ4_BLOCK.saturating_mul(rayon::current_num_threads())) {
        let blocks = group.par_chunks(LZ4_BLOCK);
        let packed: Vec<_> = blocks.map(|block| lz4::block::compress(block, mode, false)).collect();
        for block in packed {
            let block = block?;
            let size = u32::try_from(block.len()).map_err(io::Error::other)?;
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&block);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use testimages::judge;

    use super::*;

    const ALL: [(Codec, &[&str], &[&str]); 6] = [
        (Codec::Gzip, &["gzip", "-9n"], &["gzip", "-t"]),
        (Codec::Bzip2, &["bzip2"], &["bzip2", "-t"]),
        (Codec::Lzma, &["xz", "--format=lzma"], &["xz", "-t", "--format=lzma"]),
        (Codec::Xz, &["xz", "-0", "--check=crc32"], &["xz", "-t"]),
        (Codec::Lz4, &["lz4", "-l", "-c"], &["lz4", "-t"]),
        (Codec::Zstd, &["zstd", "-q"], &["zstd", "-t"]),
    ];

    fn pipe(command: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feed = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        feed.join().unwrap().unwrap();
        output.stdout
    }

    /// Text-like, with parts that do not compress.
    fn sample(len: usize) -> Vec<u8> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            if data.len() % 7 == 0 {
                data.extend_from_slice(&next().to_le_bytes());
            } else {
                data.extend_from_slice(format!("kernel/drivers/{}.ko\n", next() % 1000).as_bytes());
            }
        }
        data.truncate(len);
        data
    }

    #[test]
    fn the_real_programs_and_ours_read_each_other() {
        if !judge::need_all(&["gzip", "bzip2", "xz", "lz4", "zstd"]) {
            return;
        }
        for (codec, pack, test) in ALL {
            // More than two blocks of lz4, or than one of xz.
            let long = if matches!(codec, Codec::Lz4 | Codec::Xz) { (17 << 20) + 3 } else { 300_000 };
            for len in [0, 1, 5000, long] {
                let data = sample(len);
                let theirs = pipe(pack, &data);
                assert_eq!(Codec::detect(&theirs), Some(codec));
                let (read, used) = codec.decompress(&theirs, u64::MAX, "test").unwrap();
                assert!(read == data, "{codec}, {len} bytes");
                assert_eq!(used, theirs.len(), "{codec}, {len} bytes");

                let ours = codec.compress(&data).unwrap();
                pipe(test, &ours);
                assert!(
                    pipe(&[pack[0], "-dc", test.get(2).unwrap_or(&"-q")], &ours) == data,
                    "{codec}, {len} bytes"
                );
            }
        }
    }

    #[test]
    fn the_same_data_gives_the_same_bytes() {
        let data = sample(300_000);
        for (codec, ..) in ALL {
            assert!(codec.compress(&data).unwrap() == codec.compress(&data).unwrap(), "{codec}");
        }
    }

    #[test]
    fn what_follows_a_stream_is_not_taken() {
        let data = sample(100_000);
        for (codec, ..) in ALL {
            let mut bytes = codec.compress(&data).unwrap();
            let len = bytes.len();
            bytes.extend([0; 512]);
            bytes.extend_from_slice(b"070701 and so on");
            let (read, used) = codec.decompress(&bytes, u64::MAX, "test").unwrap();
            assert!(read == data, "{codec}");
            assert_eq!(used, len, "{codec}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 16 << 20];
        for (codec, ..) in ALL {
            let bomb = codec.compress(&zeros).unwrap();
            assert!(bomb.len() < 1 << 20, "{codec}");
            let error = codec.decompress(&bomb, 1 << 20, "test").unwrap_err();
            assert!(matches!(error, Error::TooLarge { limit: 0x10_0000, .. }), "{codec}: {error}");
            assert!(codec.decompress(&bomb, 16 << 20, "test").is_ok(), "{codec}");
        }
    }

    #[test]
    fn a_truncated_stream_is_an_error() {
        let data = sample(100_000);
        for (codec, ..) in ALL {
            let bytes = codec.compress(&data).unwrap();
            for len in (0..bytes.len()).step_by(bytes.len() / 50) {
                let result = codec.decompress(&bytes[..len], u64::MAX, "test");
                // A legacy lz4 frame may end between any two blocks.
                assert!(result.is_err() || codec == Codec::Lz4 && len <= 4, "{codec}, {len} bytes");
            }
        }
    }

    #[test]
    fn lz4_packs_nearly_as_well_as_what_distributions_pack_with() {
        if judge::need("lz4").is_none() {
            return;
        }
        let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        program.truncate(9 << 20);
        let (ours, best) =
            (Codec::Lz4.compress(&program).unwrap().len(), pipe(&["lz4", "-l", "-9", "-c"], &program).len());
        assert!(ours * 100 < best * 105, "{ours} bytes, and lz4 -9 makes {best}");
    }

    #[test]
    fn xz_has_the_only_check_the_kernel_knows() {
        let stream = Codec::Xz.compress(b"x").unwrap();
        assert_eq!(stream[6..8], [0, 1], "stream flags: CRC32");
    }
}
