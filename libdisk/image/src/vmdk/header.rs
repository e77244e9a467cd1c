//! The header of a sparse extent, checked.

use std::ops::Range;

use block::{Disk, Error, Result};
use zerocopy::FromBytes;

use super::ondisk::{self, SECTOR};
use super::{LAYER, descriptor};

/// Grain sizes in sectors: every writer takes 128; more than 2 MiB would be much to unpack at once.
const MAX_GRAIN: u64 = 4096;
/// Entries of a grain table: every writer takes 512.
const MAX_TABLE: u32 = 512;
/// Entries of a grain directory: one for 32 MiB of disk, as a rule, so this is for 128 TiB.
const MAX_DIRECTORY: u64 = 4 << 20;

/// What a sparse extent says of itself, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Size of the extent.
    pub(super) size: u64,
    /// Bytes of a grain, a power of two.
    pub(super) grain: u64,
    /// Entries of a grain table.
    pub(super) table_entries: u32,
    /// Entries of the grain directory.
    pub(super) directory_entries: u64,
    /// Where the grain directory is; `None` if it is at the end and there is no footer that says where.
    pub(super) directory: Option<u64>,
    /// Where its copy is.
    pub(super) redundant: Option<u64>,
    /// Where the first grain may be.
    pub(super) overhead: u64,
    /// Where the embedded descriptor is.
    pub(super) descriptor: Option<Range<u64>>,
    /// Grains are compressed, and markers stand before them.
    pub(super) compressed: bool,
    /// An entry of 1 means zeros.
    pub(super) zero_grains: bool,
    /// The image was not closed.
    pub(super) unclean: bool,
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

fn read_at(file: &Disk, place: u64) -> Result<ondisk::Header> {
    let mut bytes = [0; size_of::<ondisk::Header>()];
    file.read_at(&mut bytes, place)?;
    Ok(zerocopy::transmute!(bytes))
}

impl Header {
    /// Reads the header of `file`, and its footer if it has one.
    ///
    /// # Errors
    /// `Unsupported` for versions and compressions that are not read, `Corrupt`, and what the device reports.
    pub(super) fn read(file: &Disk) -> Result<Self> {
        if file.size() < SECTOR {
            return Err(corrupt("the file is shorter than a header"));
        }
        let raw = read_at(file, 0)?;
        let at_end = raw.directory.get() == ondisk::AT_END;
        let mut header = Self::check(&raw)?;
        if at_end {
            header.directory = footer(file, &header)?;
        }
        Ok(header)
    }

    /// Bytes of the disk that a grain table is for.
    pub(super) fn span(&self) -> u64 {
        self.grain.saturating_mul(u64::from(self.table_entries))
    }

    /// Bytes of a grain table.
    pub(super) fn table_len(&self) -> u64 {
        u64::from(self.table_entries).saturating_mul(4)
    }

    fn check(raw: &ondisk::Header) -> Result<Self> {
        if raw.magic != ondisk::MAGIC {
            return Err(corrupt("a sparse extent does not have the magic number"));
        }
        let (version, flags) = (raw.version.get(), raw.flags.get());
        if !(1..=3).contains(&version) {
            return Err(Error::unsupported(LAYER, format!("version {version}")));
        }
        let has = |flag: u32| flags & flag != 0;
        if has(ondisk::LINE_ENDS) && raw.line_ends != ondisk::LINE_ENDS_ARE {
            return Err(corrupt("the file was moved as text, which has changed it: move it as binary"));
        }
        let compressed = has(ondisk::COMPRESSED);
        match (compressed, has(ondisk::MARKERS), raw.compression.get()) {
            (false, _, _) | (true, true, ondisk::DEFLATE) => {}
            (true, true, other) => {
                return Err(Error::unsupported(LAYER, format!("compression of type {other}")));
            }
            (true, false, _) => return Err(Error::unsupported(LAYER, "compressed grains without markers")),
        }
        let grain = raw.grain_size.get();
        if !grain.is_power_of_two() || grain > MAX_GRAIN {
            return Err(corrupt(format!("grains of {grain} sectors")));
        }
        let table_entries = raw.table_entries.get();
        if !(1..=MAX_TABLE).contains(&table_entries) {
            return Err(corrupt(format!("grain tables of {table_entries} entries")));
        }
        let sectors = raw.capacity.get();
        let size = bytes(sectors).ok_or_else(|| corrupt(format!("an extent of {sectors} sectors")))?;
        let span = grain.saturating_mul(u64::from(table_entries));
        let directory_entries = sectors.div_ceil(span.max(1));
        if directory_entries > MAX_DIRECTORY {
            let what = format!("a grain directory of {directory_entries} entries");
            return Err(Error::unsupported(LAYER, what));
        }
        let place = |sectors: u64, what: &str| {
            bytes(sectors).ok_or_else(|| corrupt(format!("{what} is at sector {sectors}")))
        };
        let directory = match raw.directory.get() {
            ondisk::AT_END => None,
            sectors => Some(place(sectors, "the grain directory")?),
        };
        let redundant = match raw.redundant_directory.get() {
            0 | ondisk::AT_END => None,
            _ if !has(ondisk::REDUNDANT) => None,
            sectors => Some(place(sectors, "the redundant grain directory")?),
        };
        Ok(Self {
            size,
            grain: grain.saturating_mul(SECTOR),
            table_entries,
            directory_entries,
            directory,
            redundant,
            overhead: place(raw.overhead.get(), "the first grain")?,
            descriptor: embedded(raw)?,
            compressed,
            zero_grains: has(ondisk::ZERO_GRAINS),
            unclean: raw.unclean_shutdown != 0,
        })
    }
}

/// A place or size in bytes, if there can be such.
fn bytes(sectors: u64) -> Option<u64> {
    sectors.checked_mul(SECTOR).filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// Where the embedded descriptor is.
fn embedded(raw: &ondisk::Header) -> Result<Option<Range<u64>>> {
    let (offset, size) = (raw.descriptor_offset.get(), raw.descriptor_size.get());
    if offset == 0 {
        return Ok(None);
    }
    let start = bytes(offset);
    let end = offset.checked_add(size).and_then(bytes);
    match start.zip(end) {
        Some((start, end)) if end.saturating_sub(start) <= descriptor::MAX_LEN => Ok(Some(start..end)),
        _ => Err(corrupt(format!("a descriptor of {size} sectors at sector {offset}"))),
    }
}

/// Where the grain directory is, as the footer says; `None` if there is no footer.
fn footer(file: &Disk, header: &Header) -> Result<Option<u64>> {
    let Some(place) = file.size().checked_sub(ondisk::FOOTER_FROM_END) else { return Ok(None) };
    let raw = read_at(file, place)?;
    if raw.magic != ondisk::MAGIC {
        return Ok(None);
    }
    let footer = Header::check(&raw).map_err(|error| error.at(place))?;
    let same = |header: &Header| (header.size, header.grain, header.table_entries, header.compressed);
    if same(header) != same(&footer) {
        return Err(corrupt("the footer contradicts the header").at(place));
    }
    Ok(footer.directory)
}

/// The marker at `place`: a grain's, or with a length of zero, another one with its type.
pub(super) fn marker(bytes: &[u8]) -> Option<(ondisk::GrainMarker, &[u8])> {
    let (marker, rest) = ondisk::GrainMarker::read_from_prefix(bytes).ok()?;
    Some((marker, rest))
}
