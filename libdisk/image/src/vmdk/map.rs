//! From a place of a sparse extent to where its bytes are.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{Disk, Error, ErrorKind, ExtentKind, Result};

use super::LAYER;
use super::header::Header;
use super::ondisk::{self, SECTOR};
use super::stream;
use crate::cache::Cache;
use crate::mapped;

/// How many grain tables are kept: one is for 32 MiB of disk.
const TABLES: u64 = 64;

/// In the compressed grain whose marker is at this byte of the file; the piece is `skip` bytes into the
/// grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) host: u64,
    pub(super) skip: u64,
}

/// Where bytes are, and how many of them are in one place.
pub(super) type Mapping = mapped::Mapping<Packed>;
pub(super) type Run = mapped::Run<Packed>;

/// The grain directory and the grain tables.
#[derive(Debug)]
pub(super) struct Map {
    directory: Directory,
    tables: Cache<Vec<u32>>,
}

/// Where the grain tables are.
#[derive(Debug)]
enum Directory {
    /// In these sectors of the file; 0 for a table that is not there.
    InFile(Vec<u32>),
    /// In memory: found by a walk through the stream.
    Found(BTreeMap<u64, Arc<Vec<u32>>>),
}

/// The grain table that a walk is in: that of this entry of the directory.
type Current = Option<(u64, Option<Arc<Vec<u32>>>)>;

fn corrupt(what: &'static str, at: u64) -> Error {
    Error::corrupt(LAYER, what).at(at)
}

fn le32s(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|entry| u32::from_le_bytes(*entry)).collect()
}

/// The byte at which a sector starts. All sectors in an extent are numbers of 32 bits.
fn byte_of(sector: u32) -> u64 {
    u64::from(sector).saturating_mul(SECTOR)
}

impl Map {
    /// Reads the grain directory, or its copy if it is damaged; of a stream without either, finds all grains.
    pub(super) fn read(file: &Disk, header: &Header) -> Result<Self> {
        let directory = match header.directory {
            Some(place) => Directory::InFile(read_directory(file, header, place)?),
            None => Directory::Found(stream::find_tables(file, header)?),
        };
        Ok(Self {
            directory,
            tables: Cache::new(TABLES.saturating_mul(header.table_len()), header.table_len()),
        })
    }

    /// Whether the directory had to be found by a walk.
    pub(super) fn is_found(&self) -> bool {
        matches!(self.directory, Directory::Found(_))
    }

    /// The run that starts at `offset`, at most `limit` bytes long; neighbours that continue each other are
    /// merged, but for compressed grains.
    pub(super) fn run(&self, file: &Disk, header: &Header, offset: u64, limit: u64) -> Result<Run> {
        let mut current: Current = None;
        let end = offset.saturating_add(limit);
        Run::merged(offset, limit, |offset| {
            // A table that was read is not asked for again at each of its grains.
            if current.as_ref().is_some_and(|(index, _)| Some(*index) == offset.checked_div(header.span())) {
                return self.piece(file, header, offset, &mut current);
            }
            match self.unwritten(file, header, offset, end.saturating_sub(offset))? {
                0 => self.piece(file, header, offset, &mut current),
                len => Ok(Run { mapping: Mapping::Below, len }),
            }
        })
    }

    /// How many bytes from `offset` on, up to the span that holds the end of `limit`, are in spans whose tables
    /// are not there, or lie in a hole of the file. The tables of a large disk are all there from the start, for
    /// 60 TiB some 4 GiB of them, and are not read to learn that they are empty.
    fn unwritten(&self, file: &Disk, header: &Header, offset: u64, limit: u64) -> Result<u64> {
        let Directory::InFile(sectors) = &self.directory else { return Ok(0) };
        let first = offset.checked_div(header.span()).and_then(|index| usize::try_from(index).ok());
        let spans = first.and_then(|first| sectors.get(first..)).unwrap_or_default();
        let skip = offset.checked_rem(header.span()).unwrap_or(0);
        let (mut hole, mut len) = (0..0, 0_u64);
        for sector in spans {
            let place = byte_of(*sector);
            let end = place.saturating_add(header.table_len());
            if place != 0 && !(hole.start <= place && end <= hole.end) {
                if end > file.size() {
                    break;
                }
                let found = file.extent_at(place..file.size())?;
                hole = place..place.saturating_add(found.len);
                if found.kind != ExtentKind::Zero || end > hole.end {
                    break;
                }
            }
            len = len.saturating_add(header.span());
            if len >= limit.saturating_add(skip) {
                break;
            }
        }
        Ok(len.saturating_sub(skip))
    }

    /// The part of one grain (or of a span without a table) that starts at `offset`.
    fn piece(&self, file: &Disk, header: &Header, offset: u64, current: &mut Current) -> Result<Run> {
        let index = offset.checked_div(header.span()).unwrap_or(0);
        let table = match current {
            Some((at, table)) if *at == index => table.clone(),
            _ => {
                let table = self.table(file, header, index)?;
                *current = Some((index, table.clone()));
                table
            }
        };
        let in_span = offset.checked_rem(header.span()).unwrap_or(0);
        let Some(table) = table else {
            let len = header.span().saturating_sub(in_span);
            return Ok(Run { mapping: Mapping::Below, len });
        };
        let number = in_span.checked_div(header.grain).and_then(|number| usize::try_from(number).ok());
        let entry = number.and_then(|number| table.get(number)).copied();
        let skip = in_span.checked_rem(header.grain).unwrap_or(0);
        let mapping = match entry.ok_or_else(|| corrupt("a grain table is too short", offset))? {
            0 => Mapping::Below,
            ondisk::ZERO_GRAIN if header.zero_grains => Mapping::Zero,
            sector if header.compressed => Mapping::Packed(Packed { host: byte_of(sector), skip }),
            sector => Mapping::Data(byte_of(sector).saturating_add(skip)),
        };
        Ok(Run { mapping, len: header.grain.saturating_sub(skip) })
    }

    /// The grain table of an entry of the directory; `None` if there is none.
    fn table(&self, file: &Disk, header: &Header, index: u64) -> Result<Option<Arc<Vec<u32>>>> {
        let sectors = match &self.directory {
            Directory::InFile(sectors) => sectors,
            Directory::Found(tables) => return Ok(tables.get(&index).cloned()),
        };
        let entry = usize::try_from(index).ok().and_then(|index| sectors.get(index)).copied();
        let place = byte_of(entry.ok_or_else(|| corrupt("the grain directory is too short", index))?);
        if place == 0 {
            return Ok(None);
        }
        let load = || match read_table(file, header, place) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                read_copy(file, header, index).transpose().unwrap_or(Err(error))
            }
            table => table,
        };
        self.tables.get(place, load).map(Some)
    }
}

/// The grain directory at `place`, or its copy where that lies outside the file or names what does.
fn read_directory(file: &Disk, header: &Header, place: u64) -> Result<Vec<u32>> {
    let read = |place: u64| {
        let len = header.directory_entries.checked_mul(4).and_then(|len| usize::try_from(len).ok());
        let outside = || corrupt("the grain directory lies past the end of the file", place);
        let len = len.filter(|len| fits(file, place, *len)).ok_or_else(outside)?;
        let sectors = le32s(&file.read_vec(place, len)?);
        match sectors.iter().find(|sector| byte_of(**sector) >= file.size()) {
            Some(sector) => Err(corrupt("a grain table lies past the end of the file", byte_of(*sector))),
            None => Ok(sectors),
        }
    };
    match (read(place), header.redundant) {
        (Err(error), Some(copy)) if error.kind() == ErrorKind::Corrupt => read(copy).map_err(|_| error),
        (directory, _) => directory,
    }
}

/// The grain table at `place`.
fn read_table(file: &Disk, header: &Header, place: u64) -> Result<Vec<u32>> {
    let outside = || corrupt("a grain table lies past the end of the file", place);
    let len = usize::try_from(header.table_len()).ok().filter(|len| fits(file, place, *len));
    let entries = le32s(&file.read_vec(place, len.ok_or_else(outside)?)?);
    match entries.iter().find(|sector| byte_of(**sector) >= file.size()) {
        Some(sector) => Err(corrupt("a grain lies past the end of the file", byte_of(*sector))),
        None => Ok(entries),
    }
}

/// The grain table of this entry of the copy of the directory, if there is a copy and it has it.
fn read_copy(file: &Disk, header: &Header, index: u64) -> Result<Option<Vec<u32>>> {
    let entry = header.redundant.zip(index.checked_mul(4));
    let Some(place) = entry.and_then(|(copy, at)| copy.checked_add(at)) else { return Ok(None) };
    if !fits(file, place, 4) {
        return Ok(None);
    }
    let mut entry = [0; 4];
    file.read_at(&mut entry, place)?;
    match u32::from_le_bytes(entry) {
        0 => Ok(None),
        sector => read_table(file, header, byte_of(sector)).map(Some),
    }
}

fn fits(file: &Disk, place: u64, len: usize) -> bool {
    u64::try_from(len).ok().and_then(|len| place.checked_add(len)).is_some_and(|end| end <= file.size())
}
