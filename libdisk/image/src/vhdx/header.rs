//! The headers and the region table: where everything else is.

use std::ops::Range;

use block::{Disk, Error, Result};
use uuid::Uuid;
use zerocopy::FromBytes;

use super::{corrupt, ondisk};

/// The header that counts.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// Changes with the content: how a differencing disk knows its parent.
    pub(super) data_write_guid: Uuid,
    /// Which entries of the log count; nil if it is empty.
    pub(super) log_guid: Uuid,
    /// Where the log is.
    pub(super) log: Range<u64>,
}

impl Header {
    /// The valid copy with the greater sequence number (2.2.2).
    pub(super) fn read(file: &Disk) -> Result<Self> {
        let mut signature = [0; ondisk::SIGNATURE.len()];
        if file.size() < ondisk::MIB {
            return Err(corrupt("the file is shorter than its headers"));
        }
        file.read_at(&mut signature, 0)?;
        if signature != ondisk::SIGNATURE {
            return Err(corrupt("the file does not start with the identifier"));
        }
        let [first, second] = ondisk::HEADERS.map(|place| copy(file, place));
        let current = match (first?, second?) {
            (None, None) => {
                return Err(corrupt("both copies of the header are damaged").at(ondisk::HEADERS[0]));
            }
            (Some(one), None) | (None, Some(one)) => one,
            (Some(first), Some(second)) => {
                match first.sequence_number.get().cmp(&second.sequence_number.get()) {
                    std::cmp::Ordering::Less => second,
                    std::cmp::Ordering::Greater => first,
                    // Alike, either is the one.
                    std::cmp::Ordering::Equal if first.checksum == second.checksum => first,
                    std::cmp::Ordering::Equal => {
                        let what = "the two copies of the header have one sequence number and differ";
                        return Err(corrupt(what).at(ondisk::HEADERS[0]));
                    }
                }
            }
        };
        Self::checked(&current)
    }

    fn checked(raw: &ondisk::Header) -> Result<Self> {
        if raw.version.get() != 1 {
            return Err(Error::unsupported(super::LAYER, format!("version {}", raw.version)));
        }
        let log_guid = Uuid::from_bytes_le(raw.log_guid);
        if !log_guid.is_nil() && raw.log_version.get() != 0 {
            return Err(Error::unsupported(super::LAYER, format!("a log of version {}", raw.log_version)));
        }
        let start = raw.log_offset.get();
        let log = region(start, raw.log_length.get())
            .ok_or_else(|| corrupt("the log does not lie behind the headers, in whole MiB").at(start))?;
        Ok(Self { data_write_guid: Uuid::from_bytes_le(raw.data_write_guid), log_guid, log })
    }
}

/// One copy of the header; `None` if it is damaged.
fn copy(file: &Disk, place: u64) -> Result<Option<ondisk::Header>> {
    let mut bytes = file.read_vec(place, ondisk::HEADER_LEN)?;
    let found = ondisk::Header::read_from_prefix(&bytes).ok().map(|(raw, _)| raw);
    let found = found.filter(|raw| raw.signature == ondisk::HEADER_SIGNATURE);
    Ok(found.filter(|raw| checksum(&mut bytes) == raw.checksum.get()))
}

/// The CRC-32C of a structure whose bytes 4 to 7 are the checksum, these as zeros.
pub(super) fn checksum(bytes: &mut [u8]) -> u32 {
    if let Some(field) = bytes.get_mut(4..8) {
        field.fill(0);
    }
    crc32c::crc32c(bytes)
}

/// The range of a log or region: whole MiB, behind the headers.
fn region(start: u64, length: u32) -> Option<Range<u64>> {
    let length = u64::from(length);
    let whole = start.is_multiple_of(ondisk::MIB) && length.is_multiple_of(ondisk::MIB);
    let end = start.checked_add(length)?;
    (whole && start >= ondisk::MIB && i64::try_from(end).is_ok()).then_some(start..end)
}

/// Where the two known regions are.
#[derive(Debug, Clone)]
pub(super) struct Regions {
    pub(super) bat: Range<u64>,
    pub(super) metadata: Range<u64>,
}

impl Regions {
    /// Reads the first valid copy of the region table (2.2.3).
    pub(super) fn read(file: &Disk) -> Result<Self> {
        let [first, second] = ondisk::REGION_TABLES;
        let (table, place) = match region_table(file, first)? {
            Some(table) => (table, first),
            None => {
                let damaged = || corrupt("both copies of the region table are damaged").at(first);
                (region_table(file, second)?.ok_or_else(damaged)?, second)
            }
        };
        let (mut bat, mut metadata) = (None, None);
        for entry in &table {
            let guid = Uuid::from_bytes_le(entry.guid);
            let known = match guid {
                ondisk::BAT_REGION => &mut bat,
                ondisk::METADATA_REGION => &mut metadata,
                _ if entry.required.get() & 1 == 0 => continue,
                _ => return Err(Error::unsupported(super::LAYER, format!("the region {guid}"))),
            };
            let start = entry.file_offset.get();
            let found = region(start, entry.length.get()).filter(|found| found.end <= file.size());
            let what = "a region does not lie in the file, behind the headers, in whole MiB";
            let found = found.ok_or_else(|| corrupt(what).at(place))?;
            if known.replace(found).is_some() {
                return Err(corrupt(format!("there are two regions {guid}")).at(place));
            }
        }
        let missing = |name: &str| corrupt(format!("there is no region for the {name}")).at(place);
        let bat = bat.ok_or_else(|| missing("blocks"))?;
        let metadata = metadata.ok_or_else(|| missing("metadata"))?;
        if bat.start < metadata.end && metadata.start < bat.end {
            return Err(corrupt("two regions lie over each other").at(place));
        }
        Ok(Self { bat, metadata })
    }
}

/// The entries of one copy; `None` if it is damaged.
fn region_table(file: &Disk, place: u64) -> Result<Option<Vec<ondisk::RegionEntry>>> {
    let mut bytes = file.read_vec(place, ondisk::TABLE_LEN)?;
    let Ok((raw, _)) = ondisk::RegionTableHeader::read_from_prefix(&bytes) else { return Ok(None) };
    let count = raw.entry_count.get();
    let valid = raw.signature == ondisk::REGION_SIGNATURE && count <= ondisk::MAX_ENTRIES;
    if !valid || checksum(&mut bytes) != raw.checksum.get() {
        return Ok(None);
    }
    Ok(Some(entries(&bytes, size_of::<ondisk::RegionTableHeader>(), count)))
}

/// So many structures, from a place of `bytes` on.
pub(super) fn entries<T: FromBytes>(bytes: &[u8], start: usize, count: u32) -> Vec<T> {
    let rest = bytes.get(start..).unwrap_or_default();
    let whole = rest.chunks_exact(size_of::<T>().max(1)).take(usize::try_from(count).unwrap_or(usize::MAX));
    whole.filter_map(|bytes| T::read_from_bytes(bytes).ok()).collect()
}
