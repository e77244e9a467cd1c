//! Reading both copies, each trusted only as far as its checksums go.

use block::{Disk, Error, Result};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::{LAYER, ondisk};
use crate::mbr::Mbr;
use crate::{Kind, Partition, PartitionTable, PartitionType};

/// The most bytes of entries that are read: 8192 entries of the usual 128 bytes, and usual are 128 of them.
const MAX_ENTRIES_LEN: u64 = 1 << 20;
/// Attribute bit 2: "Legacy BIOS Bootable".
const BIOS_BOOTABLE: u64 = 1 << 2;

/// The sector sizes to try, the device's own first.
pub(crate) fn sector_sizes(disk: &Disk) -> impl Iterator<Item = u32> {
    let own = disk.sector_size();
    std::iter::once(own).chain([512, 4096].into_iter().filter(move |size| *size != own))
}

/// One valid copy of the table: header, and all entries as they are on the disk.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    pub(super) header: ondisk::Header,
    /// The sector of the header, fields after those we know included.
    pub(super) header_sector: Vec<u8>,
    pub(super) entries: Vec<u8>,
}

impl Copy {
    /// Reads the copy whose header is in sector `lba`; `None` if anything of it is not valid.
    fn read(disk: &Disk, sector_size: u32, lba: u64) -> Result<Option<Self>> {
        let sector = u64::from(sector_size);
        let Some(place) = lba.checked_mul(sector).filter(|at| at.saturating_add(sector) <= disk.size())
        else {
            return Ok(None);
        };
        let header_sector = disk.read_vec(place, usize::try_from(sector_size).unwrap_or(0))?;
        let Some(header) = valid_header(&header_sector, lba) else { return Ok(None) };
        let len = u64::from(header.number_of_partition_entries.get())
            .saturating_mul(u64::from(header.size_of_partition_entry.get()));
        let start = header.partition_entry_lba.get().checked_mul(sector);
        let Some(start) = start.filter(|at| len <= MAX_ENTRIES_LEN && at.saturating_add(len) <= disk.size())
        else {
            return Ok(None);
        };
        let entries = disk.read_vec(start, usize::try_from(len).unwrap_or(0))?;
        if crc32fast::hash(&entries) != header.partition_entry_array_crc32.get() {
            tracing::debug!(lba, "the checksum of the GPT entries is wrong");
            return Ok(None);
        }
        Ok(Some(Self { header, header_sector, entries }))
    }

    /// The entries that are in use, with their numbers.
    fn used(&self) -> impl Iterator<Item = (u32, ondisk::Entry)> {
        let entry_len = usize::try_from(self.header.size_of_partition_entry.get()).unwrap_or(usize::MAX);
        (1..)
            .zip(self.entries.chunks_exact(entry_len.max(1)))
            .filter_map(|(number, bytes)| Some((number, ondisk::Entry::read_from_prefix(bytes).ok()?.0)))
            .filter(|(_, entry)| entry.partition_type_guid != [0; 16])
    }
}

/// The header in `sector`, if its checksum is right and it says that it is in sector `lba`.
fn valid_header(sector: &[u8], lba: u64) -> Option<ondisk::Header> {
    let (header, _) = ondisk::Header::read_from_prefix(sector).ok()?;
    let len =
        usize::try_from(header.header_size.get()).ok().filter(|len| *len >= size_of::<ondisk::Header>())?;
    let entry_size = header.size_of_partition_entry.get();
    let valid = header.signature == ondisk::SIGNATURE
        && header.revision.get() == ondisk::REVISION
        && header.my_lba.get() == lba
        && header.header_crc32.get() == header_crc(sector.get(..len)?)
        && entry_size >= 128
        && entry_size.is_power_of_two()
        && header.first_usable_lba.get() <= header.last_usable_lba.get().saturating_add(1);
    valid.then_some(header)
}

/// CRC-32 of a header, its own field taken as zero.
pub(super) fn header_crc(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header.get(..16).unwrap_or_default());
    crc.update(&[0; 4]);
    crc.update(header.get(20..).unwrap_or_default());
    crc.finalize()
}

/// A GUID partition table with at least one valid copy.
#[derive(Debug, Clone)]
pub(crate) struct Gpt {
    pub(super) sector_size: u32,
    pub(super) sectors: u64,
    pub(super) primary: Option<Copy>,
    pub(super) backup: Option<Copy>,
}

impl Gpt {
    /// Reads both copies; `None` if neither is valid.
    pub(crate) fn read(disk: &Disk, sector_size: u32) -> Result<Option<Self>> {
        let sectors = disk.size().checked_div(u64::from(sector_size)).unwrap_or(0);
        let primary = Copy::read(disk, sector_size, 1)?;
        let last = sectors.saturating_sub(1);
        let mut backup = Copy::read(disk, sector_size, last)?;
        if let (None, Some(primary)) = (&backup, &primary) {
            // The disk has grown, or its image was cut: the backup is where the primary says, if anywhere.
            let elsewhere = primary.header.alternate_lba.get();
            if elsewhere != last && elsewhere != 1 {
                backup = Copy::read(disk, sector_size, elsewhere)?;
            }
        }
        if primary.is_none() && backup.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { sector_size, sectors, primary, backup }))
    }

    /// The copy that counts: the primary, if it is valid.
    pub(super) fn best(&self) -> Result<&Copy> {
        self.primary
            .as_ref()
            .or(self.backup.as_ref())
            .ok_or_else(|| Error::corrupt(LAYER, "no copy is valid"))
    }

    /// Whether the backup is valid and tells the same as the primary.
    pub(super) fn backup_agrees(&self) -> bool {
        match (&self.primary, &self.backup) {
            (Some(primary), Some(backup)) => {
                primary.entries == backup.entries
                    && primary.header.disk_guid == backup.header.disk_guid
                    && primary.header.alternate_lba == backup.header.my_lba
                    && backup.header.alternate_lba == primary.header.my_lba
            }
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    pub(super) fn backup_at_end(&self) -> bool {
        let last = self.sectors.saturating_sub(1);
        self.backup.as_ref().is_some_and(|backup| backup.header.my_lba.get() == last)
    }

    pub(crate) fn table(&self, mbr: &Mbr) -> Result<PartitionTable> {
        let best = self.best()?;
        let partitions =
            best.used().map(|(number, entry)| self.partition(number, &entry)).collect::<Result<_>>()?;
        let kind = Kind::Gpt {
            disk_guid: Uuid::from_bytes_le(best.header.disk_guid),
            primary_ok: self.primary.is_some(),
            backup_ok: self.backup_agrees(),
            backup_at_end: self.backup_at_end(),
            hybrid: mbr.is_hybrid(),
        };
        Ok(PartitionTable { kind, partitions, sector_size: self.sector_size })
    }

    fn partition(&self, number: u32, entry: &ondisk::Entry) -> Result<Partition> {
        let sector = u64::from(self.sector_size);
        let (first, last) = (entry.starting_lba.get(), entry.ending_lba.get());
        if first > last || last >= self.sectors {
            let what = format!("partition {number} is from sector {first} to {last} of {}", self.sectors);
            return Err(Error::corrupt(LAYER, what));
        }
        let attributes = entry.attributes.get();
        Ok(Partition {
            number,
            range: first.saturating_mul(sector)..last.saturating_add(1).saturating_mul(sector),
            partition_type: PartitionType::Gpt(Uuid::from_bytes_le(entry.partition_type_guid)),
            part_uuid: Uuid::from_bytes_le(entry.unique_partition_guid).to_string(),
            name: name(entry),
            active: attributes & BIOS_BOOTABLE != 0,
            attributes,
        })
    }
}

fn name(entry: &ondisk::Entry) -> String {
    let units = entry.partition_name.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

impl ondisk::Header {
    /// Puts this header, with a new checksum, over the start of `sector`.
    pub(super) fn store(&self, sector: &mut [u8]) {
        let mut header = *self;
        let len = usize::try_from(self.header_size.get()).unwrap_or(usize::MAX).min(sector.len());
        let _fits = header.write_to_prefix(sector);
        header.header_crc32.set(header_crc(sector.get(..len).unwrap_or_default()));
        let _fits = header.write_to_prefix(sector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_header_with_its_field_zero() {
        let mut header = vec![7; 92];
        let crc = header_crc(&header);
        header[16..20].fill(0);
        assert_eq!(crc, crc32fast::hash(header.as_bytes()));
    }
}
