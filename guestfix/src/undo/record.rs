//! The undo file.
//!
//! All numbers are little endian. A sector is 512 bytes.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 16 | magic |
//! | 16 | 8 | size of the image file |
//! | 24 | 8 | number of ranges |
//! | 32 | 64 | identity of the image before, in hexadecimal |
//! | 96 | 64 | digest of the plan, in hexadecimal |
//! | 160 | 4 | CRC-32C of the table of ranges |
//! | 164 | 4 | bytes of the list of images, at the end of the file |
//! | 168 | 4 | CRC-32C of that list |
//! | 508 | 4 | CRC-32C of the bytes before |
//! | 512 | 512 | state: magic, a number, CRC-32C; alone in its sector, as it is the only one written twice |
//! | 1024 | 16 each | the ranges: offset and length |
//! | then | 8 each | for every sector of the ranges: CRC-32C of its old and of its new content |
//! | then | | the old content |
//! | then | | the images that were changed together with this one: their paths, each with a zero byte behind it |

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use libdisk::block::{Disk, DiskMut};

use super::State;
use crate::{Error, Result};

const MAGIC: &[u8; 16] = b"refloat undo 1\n\0";
const STATE_MAGIC: &[u8; 8] = b"state\n\0\0";
const SECTOR: usize = 512;
const STATE_AT: u64 = 512;
const TABLE_AT: u64 = 1024;
const RANGE_LEN: u64 = 16;
/// Two CRCs.
const SUMS_LEN: u64 = 8;
/// Content is moved in pieces of this size, a multiple of a sector.
const PIECE: u64 = 1 << 20;

/// What the record says of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the image file, in bytes.
    pub(super) size: u64,
    /// Of the image before; in hexadecimal.
    pub(super) identity: String,
    /// Digest of the plan, in hexadecimal.
    pub(super) plan: String,
    /// The images that were changed together with this one; a path without folder is that of a neighbour.
    pub(super) others: Vec<PathBuf>,
}

/// The longest list of images that is read, in bytes.
const OTHERS_LIMIT: u32 = 1 << 20;

impl Header {
    /// The list of images as it is written.
    fn list(&self) -> Vec<u8> {
        self.others.iter().flat_map(|path| [path.as_os_str().as_bytes(), &[0]].concat()).collect()
    }
}

/// A record that was read, its header and table checked.
pub(super) struct Record {
    disk: Disk,
    header: Header,
    ranges: Vec<Range<u64>>,
}

/// A piece of a range: where it is in the image, and where the record has its sums and its old content.
struct Piece {
    range: Range<u64>,
    sums: u64,
    content: u64,
}

fn sectors(range: &Range<u64>) -> u64 {
    (range.end - range.start).div_ceil(SECTOR as u64)
}

/// Size of a record of these ranges, in bytes.
pub(super) fn size(header: &Header, ranges: &[Range<u64>]) -> u64 {
    list_at(ranges) + header.list().len() as u64
}

fn list_at(ranges: &[Range<u64>]) -> u64 {
    let content: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    content_at(ranges) + content
}

fn sums_at(ranges: &[Range<u64>]) -> u64 {
    TABLE_AT + ranges.len() as u64 * RANGE_LEN
}

fn content_at(ranges: &[Range<u64>]) -> u64 {
    sums_at(ranges) + ranges.iter().map(sectors).sum::<u64>() * SUMS_LEN
}

fn pieces(ranges: &[Range<u64>]) -> impl Iterator<Item = Piece> {
    let (mut sums, mut content) = (sums_at(ranges), content_at(ranges));
    let split = |range: &Range<u64>| {
        let range = range.clone();
        range.clone().step_by(PIECE as usize).map(move |start| start..range.end.min(start + PIECE))
    };
    ranges.iter().flat_map(split).map(move |range| {
        let piece = Piece { range: range.clone(), sums, content };
        sums += sectors(&range) * SUMS_LEN;
        content += range.end - range.start;
        piece
    })
}

/// Says in an empty file that a record of refloat's will be in it.
pub(super) fn begin(file: &File) -> io::Result<()> {
    file.write_all_at(MAGIC, 0)
}

/// Whether [`begin`] has said so.
pub(super) fn is_begun(file: &File) -> bool {
    let mut start = [0; MAGIC.len()];
    file.read_exact_at(&mut start, 0).is_ok() && start == *MAGIC
}

/// Writes a complete record: `old` is what the ranges hold, `new` what they will hold.
pub(super) fn write(
    undo: &DiskMut,
    header: &Header,
    ranges: &[Range<u64>],
    old: &Disk,
    new: &Disk,
) -> Result<()> {
    let table: Vec<u8> = ranges
        .iter()
        .flat_map(|range| [range.start, range.end - range.start])
        .flat_map(u64::to_le_bytes)
        .collect();
    undo.write_at(&table, TABLE_AT)?;
    for piece in pieces(ranges) {
        let old = read(old, &piece.range)?;
        let new = read(new, &piece.range)?;
        let sums: Vec<u8> = old
            .chunks(SECTOR)
            .zip(new.chunks(SECTOR))
            .flat_map(|(old, new)| [crc32c::crc32c(old), crc32c::crc32c(new)])
            .flat_map(u32::to_le_bytes)
            .collect();
        undo.write_at(&sums, piece.sums)?;
        undo.write_at(&old, piece.content)?;
    }
    let list = header.list();
    undo.write_at(&list, list_at(ranges))?;
    let mut first = [0; SECTOR];
    first[..16].copy_from_slice(MAGIC);
    first[16..24].copy_from_slice(&header.size.to_le_bytes());
    first[24..32].copy_from_slice(&(ranges.len() as u64).to_le_bytes());
    for (field, text) in [(32..96, &header.identity), (96..160, &header.plan)] {
        let bytes = text.as_bytes();
        let len = bytes.len().min(field.len());
        first[field.start..field.start + len].copy_from_slice(&bytes[..len]);
    }
    first[160..164].copy_from_slice(&crc32c::crc32c(&table).to_le_bytes());
    first[164..168].copy_from_slice(&(list.len() as u32).to_le_bytes());
    first[168..172].copy_from_slice(&crc32c::crc32c(&list).to_le_bytes());
    let sum = crc32c::crc32c(&first[..508]);
    first[508..].copy_from_slice(&sum.to_le_bytes());
    undo.write_at(&first, 0)?;
    set_state(undo, State::Writing)
}

/// Writes the state, and makes it and everything before it durable.
pub(super) fn set_state(undo: &DiskMut, state: State) -> Result<()> {
    let mut sector = [0; SECTOR];
    sector[..8].copy_from_slice(STATE_MAGIC);
    sector[8] = match state {
        State::Writing => 1,
        State::Complete => 2,
        State::Undoing => 3,
    };
    let sum = crc32c::crc32c(&sector[..508]);
    sector[508..].copy_from_slice(&sum.to_le_bytes());
    undo.write_at(&sector, STATE_AT)?;
    undo.flush()?;
    Ok(())
}

/// Copies one range of a device to the same place of another.
pub(super) fn copy(from: &Disk, range: Range<u64>, to: &DiskMut) -> Result<()> {
    for piece in pieces(&[range]) {
        to.write_at(&read(from, &piece.range)?, piece.range.start)?;
    }
    Ok(())
}

fn read(disk: &Disk, range: &Range<u64>) -> Result<Vec<u8>> {
    // A piece is never larger than `PIECE`.
    Ok(disk.read_vec(range.start, (range.end - range.start) as usize)?)
}

impl Record {
    /// Reads and checks header and table.
    pub(super) fn open(disk: Disk) -> Result<Self> {
        let damaged = |what: &str| Error::Refused(format!("the undo file is damaged: {what}"));
        if disk.size() < TABLE_AT {
            return Err(damaged("it is too short"));
        }
        let first = disk.read_vec(0, SECTOR)?;
        if &first[..16] != MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        if crc32c::crc32c(&first[..508]) != le32(&first, 508) {
            return Err(damaged("the checksum of its header is wrong"));
        }
        let count = le64(&first, 24);
        let table_len = count.checked_mul(RANGE_LEN).filter(|len| *len <= disk.size() - TABLE_AT);
        let table_len = table_len.and_then(|len| usize::try_from(len).ok());
        let table = disk.read_vec(TABLE_AT, table_len.ok_or_else(|| damaged("its table is too long"))?)?;
        if crc32c::crc32c(&table) != le32(&first, 160) {
            return Err(damaged("the checksum of its table is wrong"));
        }
        let mut header = Header {
            size: le64(&first, 16),
            identity: text(&first[32..96]),
            plan: text(&first[96..160]),
            others: Vec::new(),
        };
        let mut ranges = Vec::new();
        let mut last = 0;
        for entry in table.chunks_exact(RANGE_LEN as usize) {
            let (start, len) = (le64(entry, 0), le64(entry, 8));
            let end = start.checked_add(len).filter(|end| *end <= header.size && start >= last && len > 0);
            last = end.ok_or_else(|| damaged("a range does not lie inside the image"))?;
            ranges.push(start..last);
        }
        let len = le32(&first, 164);
        if len > OTHERS_LIMIT || disk.size() != list_at(&ranges) + u64::from(len) {
            return Err(damaged("its size does not fit its table"));
        }
        let list = disk.read_vec(list_at(&ranges), len as usize)?;
        if crc32c::crc32c(&list) != le32(&first, 168) {
            return Err(damaged("the checksum of its list of images is wrong"));
        }
        let others = list.split_inclusive(|byte| *byte == 0).filter_map(|path| path.strip_suffix(&[0]));
        header.others = others.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect();
        Ok(Self { disk, header, ranges })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// How far the change has come. A state that cannot be read was being written.
    pub(super) fn state(&self) -> Result<State> {
        let sector = self.disk.read_vec(STATE_AT, SECTOR)?;
        let sound = &sector[..8] == STATE_MAGIC && crc32c::crc32c(&sector[..508]) == le32(&sector, 508);
        Ok(match sector[8] {
            2 if sound => State::Complete,
            3 if sound => State::Undoing,
            _ => State::Writing,
        })
    }

    /// Refuses an image of which any sector in the ranges holds neither its old nor its new content.
    pub(super) fn check(&self, image: &Disk) -> Result<()> {
        for piece in pieces(&self.ranges) {
            let sums = self.disk.read_vec(piece.sums, (sectors(&piece.range) * SUMS_LEN) as usize)?;
            let old = self.disk.read_vec(piece.content, (piece.range.end - piece.range.start) as usize)?;
            let found = read(image, &piece.range)?;
            let sectors = old.chunks(SECTOR).zip(found.chunks(SECTOR)).zip(sums.chunks(SUMS_LEN as usize));
            for (number, ((old, found), sums)) in sectors.enumerate() {
                let at = piece.range.start + (number * SECTOR) as u64;
                if crc32c::crc32c(old) != le32(sums, 0) {
                    let what = format!(
                        "the undo file is damaged: the old content of byte {at:#x} has a wrong checksum"
                    );
                    return Err(Error::Refused(what));
                }
                if found != old && crc32c::crc32c(found) != le32(sums, 4) {
                    let what = format!(
                        "the image has been changed since, at byte {at:#x}: the old content would not fit any more"
                    );
                    return Err(Error::Refused(what));
                }
            }
        }
        Ok(())
    }

    /// Writes the old content into the image where it is not there, and makes it durable. (A change that
    /// stopped because the image's disk was full left holes where it had not come to, and there is no
    /// room to fill them.)
    pub(super) fn restore(&self, image: &DiskMut) -> Result<()> {
        for piece in pieces(&self.ranges) {
            let old = self.disk.read_vec(piece.content, (piece.range.end - piece.range.start) as usize)?;
            let found = read(&image.disk(), &piece.range)?;
            let sectors: Vec<_> = old.chunks(SECTOR).zip(found.chunks(SECTOR)).collect();
            let mut at = 0;
            for run in sectors.chunk_by(|a, b| (a.0 == a.1) == (b.0 == b.1)) {
                let part = at..at + run.iter().map(|(old, _)| old.len()).sum::<usize>();
                at = part.end;
                if old[part.clone()] != found[part.clone()] {
                    image.write_at(&old[part.clone()], piece.range.start + part.start as u64)?;
                }
            }
        }
        image.flush()?;
        Ok(())
    }
}

/// The field was filled up with zeros.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_end_matches('\0').to_owned()
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    (0..8).fold(0, |value, index| value | u64::from(bytes[at + index]) << (8 * index))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    (0..4).fold(0, |value, index| value | u32::from(bytes[at + index]) << (8 * index))
}
