//! Writing both copies anew, with the backup at the end of the disk.

use block::{Disk, DiskMut, Error, Result};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::read::{Gpt, sector_sizes};
use super::{LAYER, ondisk};
use crate::mbr::{self, Mbr};

/// What a repair has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Nothing: both copies were right, and the backup at the end.
    Already,
    /// Both copies were written; the backup header now is in this sector.
    To(u64),
}

/// Whether the table of `disk`, if it is a GPT, needs [`move_backup_to_end`].
pub(crate) fn needed(disk: &Disk) -> Result<bool> {
    Ok(find(disk)?.is_some_and(|gpt| !is_whole(&gpt)))
}

/// How large `disk` must be, in bytes, for a backup of its GPT behind its partitions; 0 where nothing is to
/// be repaired.
pub(crate) fn size_needed(disk: &Disk) -> Result<u64> {
    let Some(gpt) = find(disk)?.filter(|gpt| !is_whole(gpt)) else { return Ok(0) };
    let Some(mbr) = Mbr::read(disk)? else { return Ok(0) };
    let sector = u64::from(gpt.sector_size);
    let backup = entries_sectors(&gpt)?.saturating_add(1).saturating_mul(sector);
    let ends = gpt.table(&mbr)?.partitions.into_iter().map(|partition| partition.range.end);
    Ok(ends.max().unwrap_or(0).saturating_add(backup))
}

/// Makes the GPT whole: after the disk grew, or if one of the copies is missing or damaged. The good copy
/// (the primary, if both are) is kept; the backup goes to the last sector, the last usable sector is set
/// after it, the size in the protective MBR, too. Nothing is random: the same disk gives the same bytes.
///
/// # Errors
/// `Corrupt` if there is no valid copy, or a partition would lie under the backup; nothing was written then.
/// What the device reports.
pub fn move_backup_to_end(disk: &DiskMut) -> Result<Moved> {
    let view = disk.disk();
    let gpt = find(&view)?.ok_or_else(|| Error::corrupt(LAYER, "the disk has no GPT to repair"))?;
    if is_whole(&gpt) {
        return Ok(Moved::Already);
    }
    let mbr = Mbr::read(&view)?.ok_or_else(|| Error::corrupt(LAYER, "the disk has no protective MBR"))?;
    let table = gpt.table(&mbr)?;
    let best = gpt.best()?;

    let sector = u64::from(gpt.sector_size);
    let entries_sectors = entries_sectors(&gpt)?;
    let last = gpt.sectors.saturating_sub(1);
    let backup_entries = last.saturating_sub(entries_sectors);
    let last_usable = backup_entries.saturating_sub(1);
    let primary_entries = match &gpt.primary {
        Some(primary) => primary.header.partition_entry_lba.get(),
        None => 2,
    };
    let primary_end = primary_entries.saturating_add(entries_sectors);
    let first_usable = best.header.first_usable_lba.get();
    if primary_entries < 2 || primary_end > first_usable || first_usable > backup_entries {
        return Err(Error::corrupt(LAYER, "there is no room for the entries"));
    }
    for partition in &table.partitions {
        if partition.range.start < primary_end.saturating_mul(sector)
            || partition.range.end > backup_entries.saturating_mul(sector)
        {
            let what = format!("partition {} lies where a copy of the table must be", partition.number);
            return Err(Error::corrupt(LAYER, what));
        }
    }

    let mut header = best.header;
    header.last_usable_lba = U64::new(last_usable);
    let mut primary = header;
    primary.my_lba = U64::new(1);
    primary.alternate_lba = U64::new(last);
    primary.partition_entry_lba = U64::new(primary_entries);
    let mut backup = header;
    backup.my_lba = U64::new(last);
    backup.alternate_lba = U64::new(1);
    backup.partition_entry_lba = U64::new(backup_entries);

    // The backup first: at every moment one copy is whole.
    for header in [backup, primary] {
        let mut header_sector = best.header_sector.clone();
        header.store(&mut header_sector);
        disk.write_at(&best.entries, header.partition_entry_lba.get().saturating_mul(sector))?;
        disk.write_at(&header_sector, header.my_lba.get().saturating_mul(sector))?;
    }
    protect(disk, last)?;
    clear_old_backup(disk, &gpt, last)?;
    Ok(Moved::To(last))
}

/// How many sectors the entries of the better copy take.
fn entries_sectors(gpt: &Gpt) -> Result<u64> {
    let len = u64::try_from(gpt.best()?.entries.len()).unwrap_or(u64::MAX);
    Ok(len.div_ceil(u64::from(gpt.sector_size)))
}

fn find(disk: &Disk) -> Result<Option<Gpt>> {
    if !Mbr::read(disk)?.is_some_and(|mbr| mbr.is_protective()) {
        return Ok(None);
    }
    for sector_size in sector_sizes(disk) {
        if let Some(gpt) = Gpt::read(disk, sector_size)? {
            return Ok(Some(gpt));
        }
    }
    Ok(None)
}

fn is_whole(gpt: &Gpt) -> bool {
    gpt.primary.is_some() && gpt.backup_agrees() && gpt.backup_at_end()
}

/// Makes the protective entry cover the disk up to `last`, if it is the usual one that starts at sector 1 and
/// is alone.
fn protect(disk: &DiskMut, last: u64) -> Result<()> {
    let mut bytes = [0; 512];
    disk.read_at(&mut bytes, 0)?;
    let mut raw: mbr::ondisk::Mbr = zerocopy::transmute!(bytes);
    let used = raw.partition_record.iter().filter(|entry| entry.os_type != 0).count();
    let protective = raw.partition_record.iter_mut().find(|entry| entry.os_type == mbr::PROTECTIVE);
    if let (1, Some(entry)) = (used, protective) {
        entry.size_in_lba = U32::new(u32::try_from(last).unwrap_or(u32::MAX));
        disk.write_at(raw.as_bytes(), 0)?;
    }
    Ok(())
}

/// Takes away the header of the old backup, which would confuse tools that look for one.
fn clear_old_backup(disk: &DiskMut, gpt: &Gpt, last: u64) -> Result<()> {
    let Some(old) = gpt.backup.as_ref().map(|backup| backup.header.my_lba.get()).filter(|old| *old != last)
    else {
        return Ok(());
    };
    let sector = u64::from(gpt.sector_size);
    let place = old.saturating_mul(sector);
    // Not if the new copy has been written over it.
    let mut bytes = [0; 92];
    disk.read_at(&mut bytes, place)?;
    let still_there = ondisk::Header::read_from_bytes(&bytes).is_ok_and(|h| h.signature == ondisk::SIGNATURE);
    if still_there { disk.zero_range(place..place.saturating_add(sector)) } else { Ok(()) }
}
