//! Images that are compressed as a whole: `disk.raw.gz`, as exports are shared.
//!
//! References: RFC 1952 (gzip), RFC 8878 (Zstandard), "The .xz File Format" 1.2.1, and `bzip2` itself.
//!
//! No place in such a stream can be read without all before it. So it is unpacked once, when it is opened, into
//! a file without a name that is gone when this process ends: in the folder that `TMPDIR` names, or `/var/tmp`.
//! Zeros take no room there. What is unpacked may be a raw disk, or an image that stands alone.
//!
//! A stream of a few KiB may be one of many TiB. The disk is held to the size of the largest that there is, and
//! what is written to the free space of the folder.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use block::{Disk, Error, ErrorKind, Event, Observer, Result, nonzero_runs};
use flate2::bufread::GzDecoder;
use rustix::fs::fstatvfs;

use crate::{Format, Layer, Layered, len64, ova, raw, vdi, vhd, vmdk};

/// The largest disk, in bytes: no cloud has a larger one.
const MAX_SIZE: u64 = 64 << 40;
/// As much of the file system stays free for others, in bytes.
const RESERVE: u64 = 256 << 20;
/// How often that is looked at, in bytes that were written.
const LOOK: u64 = 64 << 20;
/// How much is unpacked at once, in bytes.
const PIECE: usize = 1 << 20;
/// How much is read at once, in bytes.
const INPUT: usize = 256 << 10;
/// Memory for the window of xz, in KiB: what its highest preset asks for, and a bit.
const XZ_MEMORY: u32 = 80 * 1024;
/// The same for zstd, as a power of two of bytes: what `--long` and `--ultra` ask for.
const ZSTD_WINDOW: u32 = 27;

/// How a member of gzip starts: its mark, and the only compression that there is.
const MARK: [u8; 3] = [0x1f, 0x8b, 8];

/// gzip, of one member or several.
pub static GZIP: Format = Format {
    name: "gzip",
    qemu_name: None,
    endings: &["gz"],
    flat: |_| false,
    recognise: |ends| ends.has(0, &MARK),
    read: |path, chain| open(path, Codec::Gzip, chain.observer()),
};

/// Zstandard, of one frame or several.
pub static ZSTD: Format = Format {
    name: "zstd",
    qemu_name: None,
    endings: &["zst"],
    flat: |_| false,
    recognise: |ends| ends.has(0, &[0x28, 0xb5, 0x2f, 0xfd]),
    read: |path, chain| open(path, Codec::Zstd, chain.observer()),
};

/// xz, of one stream or several.
pub static XZ: Format = Format {
    name: "xz",
    qemu_name: None,
    endings: &["xz"],
    flat: |_| false,
    recognise: |ends| ends.has(0, b"\xfd7zXZ\0"),
    read: |path, chain| open(path, Codec::Xz, chain.observer()),
};

/// bzip2, of one stream or several.
pub static BZIP2: Format = Format {
    name: "bzip2",
    qemu_name: None,
    endings: &["bz2"],
    flat: |_| false,
    recognise: |ends| ends.has(0, b"BZh"),
    read: |path, chain| open(path, Codec::Bzip2, chain.observer()),
};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    fn decoder<'a>(self, packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(Members { now: Some(GzDecoder::new(packed)) }),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
        })
    }

    /// What stopped a decoder: the device below it, a window that is too large, or a stream that is no good.
    fn failed(self, cause: io::Error) -> Error {
        let cause = match cause.downcast::<Error>() {
            Ok(error) => return error,
            Err(cause) => cause,
        };
        if cause.get_ref().is_some_and(|inner| inner.is::<Behind>()) {
            return Error::corrupt(self.name(), Behind.to_string());
        }
        // The decoder of xz says it by the kind of its error, that of zstd in words alone.
        let is_too_large =
            cause.kind() == io::ErrorKind::OutOfMemory || cause.to_string().contains("too much memory");
        let (kind, what) = match (is_too_large, self) {
            (true, Self::Xz) => (
                ErrorKind::Unsupported,
                "it takes more than 80 MiB of memory to unpack; unpack it first with xz -d",
            ),
            (true, _) => (
                ErrorKind::Unsupported,
                "it takes a window of more than 128 MiB to unpack; unpack it first with zstd -d --long=31",
            ),
            (false, _) => {
                (ErrorKind::Corrupt, "the stream is damaged, cut short, or followed by something else")
            }
        };
        Error::new(kind, self.name(), what).because(cause)
    }
}

/// What is in the members of a gzip stream, one after the other. Zeros behind the last one are padding, as `gzip` has
/// it: tapes and block devices leave them.
struct Members<R> {
    /// `None` at the end.
    now: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.now {
            let len = member.read(buf)?;
            if len > 0 || buf.is_empty() {
                return Ok(len);
            }
            self.now = self.now.take().map(|member| next(member.into_inner())).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// What is behind a stream is neither another member nor padding.
#[derive(Debug, thiserror::Error)]
#[error("something that is no gzip is behind the stream")]
struct Behind;

/// The member that follows at once, if it is not the end that does.
fn next<R: BufRead>(mut packed: R) -> io::Result<Option<GzDecoder<R>>> {
    let mut is_padded = false;
    loop {
        let ahead = packed.fill_buf()?;
        let (len, zeros) = (ahead.len(), ahead.iter().take_while(|byte| **byte == 0).count());
        is_padded |= zeros > 0;
        match len.checked_sub(zeros) {
            _ if len == 0 => return Ok(None),
            Some(0) => packed.consume(zeros),
            // Of a mark that a read has cut in two the decoder tells.
            _ if is_padded || !MARK.starts_with(ahead.get(..MARK.len().min(len)).unwrap_or_default()) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, Behind));
            }
            _ => return Ok(Some(GzDecoder::new(packed))),
        }
    }
}

/// Whether images of this format are unpacked when they are opened.
pub fn is_packed(format: &Format) -> bool {
    [&GZIP, &ZSTD, &XZ, &BZIP2].contains(&format)
}

/// The folder into which they are unpacked.
pub fn folder() -> PathBuf {
    std::env::var_os("TMPDIR")
        .filter(|name| !name.is_empty())
        .map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

fn open(path: &Path, codec: Codec, observer: &dyn Observer) -> Result<Layered> {
    let packed = raw::open_bytes(path)?;
    let opened = unpack(&packed, codec, &folder(), observer).and_then(|(unpacked, layer)| {
        let (disk, mut layers) = alone(unpacked)?;
        layers.insert(0, layer);
        Ok((disk, layers))
    });
    opened.map_err(|error| error.in_file(path))
}

/// The disk in the image `file`, which is no file of its own, so that it must need no other.
///
/// # Errors
/// `Unsupported` for formats that are opened as files alone; what the format reports.
pub(crate) fn alone(file: Disk) -> Result<Layered> {
    let format = Format::probe(&file)?;
    let layer = |text: &str| vec![Layer { name: format.name, text: text.to_owned() }];
    if *format == vmdk::FORMAT {
        let image = vmdk::Image::open_alone(file)?;
        return Ok((image.disk(), image.layers().to_vec()));
    }
    if *format == vhd::FORMAT {
        return Ok((vhd::open(file)?, layer("")));
    }
    if *format == vdi::FORMAT {
        return Ok((vdi::Image::open(file)?.into_disk(), layer("")));
    }
    if *format == raw::FORMAT {
        return Ok((raw::padded(file)?, layer("")));
    }
    // Whether a machine is in it nobody has looked.
    let what = match *format == ova::FORMAT {
        true => "a tar archive within another file; unpack it first".to_owned(),
        false => format!("an image in the format {format} within another file; unpack it first"),
    };
    Err(Error::unsupported("packed", what))
}

/// Unpacks all of `packed` into a file without a name in `folder`. `observer` hears of the bytes that were read of it.
///
/// # Errors
/// `Cancelled`; `Corrupt` for a damaged stream; `Unsupported` for one of more than 64 TiB, or that takes too much memory;
/// `Refused` where it would fill the file system; `Io`.
pub(crate) fn unpack(
    packed: &Disk,
    codec: Codec,
    folder: &Path,
    observer: &dyn Observer,
) -> Result<(Disk, Layer)> {
    let layer = codec.name();
    let failed = |what: &'static str| move |cause| Error::io(layer, what, cause).in_file(folder);
    let file = tempfile::tempfile_in(folder).map_err(failed("cannot make a file to unpack into"))?;
    let mut spool = Spool { file, folder, layer, size: 0, written: 0, looked: None };
    let input = BufReader::with_capacity(INPUT, Bytes { disk: packed, at: 0, observer });
    observer.on(Event::started("unpack", Some(packed.size())));
    let failed = |cause| codec.failed(cause);
    let mut decoder = codec.decoder(input).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        // Little may unpack to much.
        observer.go_on()?;
        let len = fill(&mut decoder, &mut piece).map_err(failed)?;
        spool.put(piece.get(..len).unwrap_or_default())?;
        if len < piece.len() {
            break;
        }
    }
    observer.on(Event::finished());
    spool.finish()
}

/// Reads until `piece` is full or the stream ends.
fn fill(decoder: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut len = 0_usize;
    while let Some(rest) = piece.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => break,
            Ok(read) => len = len.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// A device from its start to its end.
struct Bytes<'a> {
    disk: &'a Disk,
    at: u64,
    observer: &'a dyn Observer,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.disk.size().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = rest.min(buf.len());
        let now = buf.get_mut(..len).unwrap_or_default();
        self.disk.read_at(now, self.at).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(len64(now));
        self.observer.on(Event::advanced(len64(now)));
        Ok(len)
    }
}

/// Where a stream is unpacked into.
struct Spool<'a> {
    file: File,
    folder: &'a Path,
    layer: &'static str,
    size: u64,
    /// Bytes that are not zero.
    written: u64,
    /// The same when the free space was looked at last.
    looked: Option<u64>,
}

impl Spool<'_> {
    fn failed(&self, cause: impl Into<io::Error>) -> Error {
        Error::io(self.layer, "cannot unpack", cause.into()).in_file(self.folder)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.size.saturating_add(len64(bytes));
        if end > MAX_SIZE {
            let what = format!("it unpacks to more than {MAX_SIZE} bytes");
            return Err(Error::unsupported(self.layer, what));
        }
        for run in nonzero_runs(bytes) {
            let at = self.size.saturating_add(u64::try_from(run.start).unwrap_or(0));
            let run = bytes.get(run).unwrap_or_default();
            self.look()?;
            self.file.write_all_at(run, at).map_err(|cause| self.failed(cause))?;
            self.written = self.written.saturating_add(len64(run));
        }
        self.size = end;
        Ok(())
    }

    /// Whether there is room for more.
    fn look(&mut self) -> Result<()> {
        if self.looked.is_some_and(|looked| self.written.saturating_sub(looked) < LOOK) {
            return Ok(());
        }
        self.looked = Some(self.written);
        let found = fstatvfs(&self.file).map_err(|cause| self.failed(cause))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        if free >= RESERVE.saturating_add(LOOK) {
            return Ok(());
        }
        let what = format!(
            "it is unpacked into a folder that has too little room: {} bytes so far, and {free} bytes are free",
            self.written
        );
        Err(Error::new(ErrorKind::Refused, self.layer, what).in_file(self.folder))
    }

    fn finish(self) -> Result<(Disk, Layer)> {
        self.file.set_len(self.size).map_err(|cause| self.failed(cause))?;
        let text = format!(
            "unpacked into {}, {} bytes, of which {} are kept there",
            block::shown(self.folder),
            self.size,
            self.written
        );
        // The file has no other name. What is opened here keeps it.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let disk = raw::open_bytes(Path::new(&path))?;
        Ok((disk, Layer { name: self.layer, text }))
    }
}
