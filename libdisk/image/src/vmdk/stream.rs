//! A stream without its directory: the grains, found by their markers.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{Disk, Error, Result};

use super::LAYER;
use super::header::{Header, marker};
use super::ondisk::{self, SECTOR};

/// More tables than these are not held, in bytes: they are for 1 TiB of data, or for less in a hostile file.
const MOST: u64 = 64 << 20;

/// The grain tables by their numbers, as a walk from marker to marker finds them.
///
/// # Errors
/// `Corrupt` if the walk does not come to the marker of the end: what is missing then is not known.
pub(super) fn find_tables(file: &Disk, header: &Header) -> Result<BTreeMap<u64, Arc<Vec<u32>>>> {
    let mut tables: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    // A stream begins behind its descriptor, whatever the header says of the rest.
    let mut place = header.overhead.max(SECTOR);
    loop {
        let corrupt = |what: &'static str| Error::corrupt(LAYER, what).at(place);
        let cut = || corrupt("the stream is cut short: it has no directory, and no mark of its end");
        if place.checked_add(SECTOR).is_none_or(|end| end > file.size()) {
            return Err(cut());
        }
        let mut bytes = [0; 16];
        file.read_at(&mut bytes, place)?;
        let (found, rest) = marker(&bytes).ok_or_else(cut)?;
        let (sector, len) = (found.sector.get(), u64::from(found.len.get()));
        let next = if len > 0 {
            let start = sector.checked_mul(SECTOR).filter(|start| *start < header.size);
            let start = start.ok_or_else(|| corrupt("a grain lies past the end of the disk"))?;
            if start.checked_rem(header.grain) != Some(0) {
                return Err(corrupt("a grain does not start where one can"));
            }
            let entry = u32::try_from(place.checked_div(SECTOR).unwrap_or(u64::MAX));
            let entry = entry.map_err(|_| corrupt("a grain lies where no table can name it"))?;
            let held = u64::try_from(tables.len())
                .unwrap_or(u64::MAX)
                .saturating_add(1)
                .saturating_mul(header.table_len());
            if held > MOST {
                return Err(Error::unsupported(LAYER, "a stream without a directory, of more than 1 TiB"));
            }
            let table = tables
                .entry(start.checked_div(header.span()).unwrap_or(0))
                .or_insert_with(|| vec![0; usize::try_from(header.table_entries).unwrap_or(0)]);
            let number = start.checked_rem(header.span()).and_then(|at| at.checked_div(header.grain));
            let slot = number.and_then(|number| table.get_mut(usize::try_from(number).ok()?));
            *slot.ok_or_else(|| corrupt("a grain has no place in its table"))? = entry;
            len.checked_add(ondisk::GRAIN_MARKER_LEN).and_then(|len| len.checked_next_multiple_of(SECTOR))
        } else {
            match rest.as_array().map(|kind| u32::from_le_bytes(*kind)) {
                Some(ondisk::END_OF_STREAM) if sector == 0 => break,
                Some(ondisk::GRAIN_TABLE | ondisk::GRAIN_DIRECTORY | ondisk::FOOTER) => {
                    sector.checked_add(1).and_then(|sectors| sectors.checked_mul(SECTOR))
                }
                _ => return Err(corrupt("a marker of the stream is of no known type")),
            }
        };
        place = next.and_then(|next| place.checked_add(next)).ok_or_else(cut)?;
    }
    Ok(tables.into_iter().map(|(number, table)| (number, Arc::new(table))).collect())
}
