//! A metadata area: a header, and behind it a ring in which every new text is written after the one before.

use std::ops::Range;

use block::{Disk, Error, Result};
use zerocopy::FromBytes;

use super::LAYER;
use super::ondisk::{self, SECTOR, SECTOR_LEN};

/// The longest text that is read: LVM's own areas hold half a MiB, some thousand logical volumes.
const TEXT_LIMIT: u64 = 2 << 20;

/// The text of the metadata area in `range` of the device; `None` if the area is empty, or not kept up to
/// date. Its length is taken from `budget`.
pub(super) fn text(device: &Disk, range: &Range<u64>, budget: &mut u64) -> Result<Option<Vec<u8>>> {
    let corrupt = |what| Error::corrupt(LAYER, what).at(range.start);
    let mut sector = [0; SECTOR_LEN];
    device.read_at(&mut sector, range.start)?;
    let Ok((header, _)) = ondisk::Area::read_from_prefix(&sector) else { return Ok(None) };
    let (_, covered) = sector.split_at(size_of::<u32>());
    if header.signature != ondisk::AREA || header.checksum.get() != ondisk::checksum(&[covered]) {
        return Err(corrupt("the header of the metadata area is damaged"));
    }
    if header.version.get() != ondisk::AREA_VERSION {
        let what = format!("metadata areas of version {}", header.version.get());
        return Err(Error::unsupported(LAYER, what).at(range.start));
    }
    let size = header.size.get();
    if header.offset.get() != range.start || size > device.size().saturating_sub(range.start) {
        return Err(corrupt("the metadata area says that it is elsewhere"));
    }
    let (start, len) = (header.text.offset.get(), header.text.size.get());
    if start == 0 || header.text.flags.get() & ondisk::IGNORED != 0 {
        return Ok(None);
    }
    let limit = TEXT_LIMIT.min(*budget);
    if len > limit {
        let what = format!("metadata of {len} bytes; the limit is {limit}");
        return Err(Error::unsupported(LAYER, what).at(range.start));
    }
    *budget = budget.saturating_sub(len);
    let inside = (SECTOR..size).contains(&start) && len <= size.saturating_sub(SECTOR);
    let mut text = vec![
        0;
        usize::try_from(len)
            .ok()
            .filter(|_| inside)
            .ok_or_else(|| { corrupt("the text does not lie inside its metadata area") })?
    ];
    let first = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX).min(text.len());
    let (head, tail) = text.split_at_mut(first);
    device.read_at(head, range.start.saturating_add(start))?;
    device.read_at(tail, range.start.saturating_add(SECTOR))?;
    if ondisk::checksum(&[&text]) != header.text.checksum.get() {
        return Err(corrupt("the checksum of the metadata is wrong"));
    }
    Ok(Some(text))
}
