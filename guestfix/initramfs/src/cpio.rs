//! The newc cpio records the kernel unpacks: `buffer-format.rst`, "cpio archive" and "cpio header".

use std::ops::Range;
use std::sync::OnceLock;

use crate::archive::Limits;
use crate::error::{Error, Result};

/// Bytes of a record before its name: a magic and 13 fields of 8 hexadecimal digits.
const HEADER: usize = 110;
/// The name of the record that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The longest name, with its NUL, that the kernel takes.
const PATH_MAX: usize = 4096;
/// Inode numbers of the records we write start here, well above those of any generator, so that no two
/// records of one archive are taken for hard links of each other.
const FIRST_INODE: u32 = 0x7000_0001;
/// Archives end on a multiple of this, as `cpio` writes them.
pub(crate) const BLOCK: usize = 512;

/// What a record makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; the data is its target.
    Symlink,
    /// A device node, a pipe or a socket.
    Special,
}

/// One record of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path, without leading `./` or `/`; empty for the root itself. Bytes that are not UTF-8 are
    /// replaced.
    pub path: String,
    /// What it makes.
    pub kind: Kind,
    /// File type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Hard links there are to the inode; the data may come with any one of them.
    pub nlink: u32,
    /// The inode: device major, device minor and number, unique in its archive only.
    pub(crate) inode: (u32, u32, u32),
    /// Header to padding, in the segment's unpacked bytes.
    pub(crate) record: Range<usize>,
    /// The file's content, in the segment's unpacked bytes.
    pub(crate) data: Range<usize>,
    /// The same as bytes, of a compressed segment, where they were kept or asked for.
    pub(crate) content: OnceLock<Box<[u8]>>,
}

/// The records of one archive and where it ends.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) entries: Vec<Entry>,
    /// Where the trailer starts, or the end of the bytes if there is none.
    pub(crate) trailer: usize,
    /// The first byte after the trailer.
    pub(crate) end: usize,
}

/// Is this the start of a newc archive, with checksums or without?
pub(crate) fn is_newc(bytes: &[u8]) -> bool {
    bytes.starts_with(b"070701") || bytes.starts_with(b"070702")
}

/// Reads the archive at `start`, which is also what its alignment counts from. `seen` counts the records of
/// the whole initramfs.
pub(crate) fn parse(bytes: &[u8], start: usize, seen: &mut usize, limits: &Limits) -> Result<Parsed> {
    let mut entries = Vec::new();
    let mut at = start;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Parsed { entries, trailer: at, end: at });
        }
        if !is_newc(rest) {
            return Err(Error::malformed("cpio archive", at, "no record where one should start"));
        }
        *seen = seen.saturating_add(1);
        if *seen > limits.entries {
            return Err(Error::TooLarge { what: "files", limit: as_u64(limits.entries) });
        }
        let (entry, is_trailer) = record(bytes, at)?;
        let end = entry.record.end;
        if is_trailer {
            return Ok(Parsed { entries, trailer: at, end });
        }
        entries.push(entry);
        at = end;
    }
}

/// Reads the record at `at`. Tells too whether it is the trailer.
fn record(bytes: &[u8], at: usize) -> Result<(Entry, bool)> {
    let truncated = || truncated(at);
    let slice = |range: Range<usize>| bytes.get(range).ok_or_else(truncated);
    let after = |from: usize, len: usize| from.checked_add(len).ok_or_else(truncated);

    let header = Header::parse(slice(at..after(at, HEADER)?)?, at)?;
    let name_start = after(at, HEADER)?;
    let name = slice(name_start..after(name_start, header.name)?)?;
    let (mut entry, is_trailer) = header.entry(name, at)?;
    slice(entry.data.clone())?;
    // The padding after the very last record may be missing.
    entry.record.end = entry.record.end.min(bytes.len());
    Ok((entry, is_trailer))
}

pub(crate) fn truncated(at: usize) -> Error {
    Error::malformed("cpio record", at, "it runs past the end")
}

/// The fixed part of a record.
pub(crate) struct Header {
    mode: u32,
    nlink: u32,
    inode: (u32, u32, u32),
    /// Bytes of the name, its NUL with it.
    pub(crate) name: usize,
    /// Bytes of the data.
    pub(crate) data: usize,
}

impl Header {
    /// Bytes of a record before its name: a magic and 13 fields of 8 hexadecimal digits.
    pub(crate) const LEN: usize = HEADER;

    /// Reads the header of the record at `at`.
    pub(crate) fn parse(header: &[u8], at: usize) -> Result<Self> {
        let bad = |why: &str| Error::malformed("cpio record", at, why);
        let field = |index: usize| -> Result<u32> {
            let from = index.saturating_mul(8).saturating_add(6);
            header
                .get(from..from.saturating_add(8))
                .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                .ok_or_else(|| bad("a header field is not a hexadecimal number"))
        };
        let size = |value: u32| usize::try_from(value).map_err(|_| truncated(at));
        let name = size(field(11)?)?;
        if name == 0 || name > PATH_MAX {
            return Err(bad("its name is empty or longer than PATH_MAX"));
        }
        let inode = (field(7)?, field(8)?, field(0)?);
        Ok(Self { mode: field(1)?, nlink: field(4)?, inode, name, data: size(field(6)?)? })
    }

    /// Bytes of the name and of what fills it up. Everything is aligned to 4 bytes; every caller starts an
    /// archive at a multiple of 4 of the bytes it hands in.
    pub(crate) fn padded_name(&self) -> usize {
        HEADER.saturating_add(self.name).next_multiple_of(4).saturating_sub(HEADER)
    }

    /// The record at `at` with this name. Tells too whether it is the trailer.
    pub(crate) fn entry(&self, name: &[u8], at: usize) -> Result<(Entry, bool)> {
        let bad = |why: &str| Error::malformed("cpio record", at, why);
        let after = |from: usize, len: usize| from.checked_add(len).ok_or_else(|| truncated(at));
        let (0, name) = name.split_last().map_or((1, name), |(last, name)| (*last, name)) else {
            return Err(bad("its name does not end with NUL"));
        };
        if name.contains(&0) {
            return Err(bad("its name holds NUL"));
        }
        let data = after(at, HEADER.saturating_add(self.padded_name()))?;
        let end = after(data, self.data)?;
        let kind = match self.mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink,
            _ => Kind::Special,
        };
        let entry = Entry {
            path: normalise(name).ok_or_else(|| bad("its name climbs out with `..`"))?,
            kind,
            mode: self.mode,
            nlink: self.nlink,
            inode: self.inode,
            record: at..end.checked_next_multiple_of(4).ok_or_else(|| truncated(at))?,
            data: data..end,
            content: OnceLock::new(),
        };
        Ok((entry, name == TRAILER))
    }
}

/// The path without `.` components and doubled or leading slashes; `None` if it has a `..`.
fn normalise(name: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name);
    let mut path = String::with_capacity(name.len());
    for part in name.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return None;
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    Some(path)
}

/// Writes records: owner root, time 0, one inode each.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    inode: u32,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), inode: FIRST_INODE }
    }

    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        self.record(path, 0o040_755, 2, &[])
    }

    pub(crate) fn file(&mut self, path: &str, data: &[u8]) -> Result<()> {
        self.record(path, 0o100_644, 1, data)
    }

    /// The records, with no trailer.
    pub(crate) fn into_records(self) -> Vec<u8> {
        self.bytes
    }

    fn record(&mut self, path: &str, mode: u32, nlink: u32, data: &[u8]) -> Result<()> {
        let inode = self.inode;
        self.inode = self.inode.saturating_add(1);
        header(&mut self.bytes, path, inode, mode, nlink, data.len())?;
        self.bytes.extend_from_slice(data);
        pad(&mut self.bytes, 4);
        Ok(())
    }
}

/// Appends the record that ends an archive.
pub(crate) fn write_trailer(bytes: &mut Vec<u8>) -> Result<()> {
    header(bytes, &String::from_utf8_lossy(TRAILER), 0, 0, 1, 0)
}

/// Appends zeros up to a multiple of `to`.
pub(crate) fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn header(bytes: &mut Vec<u8>, path: &str, inode: u32, mode: u32, nlink: u32, size: usize) -> Result<()> {
    let too_long = |_| Error::malformed("new cpio record", bytes.len(), format!("{path} is too long"));
    let size = u32::try_from(size).map_err(too_long)?;
    let name_size = u32::try_from(path.len()).map_err(too_long)?.saturating_add(1);
    bytes.extend_from_slice(b"070701");
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    for field in [inode, mode, 0, 0, nlink, 0, size, 0, 0, 0, 0, name_size, 0] {
        bytes.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    pad(bytes, 4);
    Ok(())
}

fn as_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
