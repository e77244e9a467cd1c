//! PC master boot records and the chain of logical partitions.
//!
//! There is no one document; this is what Linux (`block/partitions`), util-linux and Windows agree on.

use std::collections::BTreeSet;
use std::ops::Range;

use block::{Disk, Error, Result};
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Kind, Partition, PartitionTable, PartitionType};

const LAYER: &str = "mbr";
/// Type byte of the entry that protects a GPT.
pub(crate) const PROTECTIVE: u8 = 0xEE;
/// More logical partitions than anyone has: Linux stops at 256 partitions.
const MAX_LOGICAL: u32 = 251;

pub(crate) mod ondisk {
    use super::*;

    /// One of the four entries.
    #[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    #[repr(C)]
    pub(crate) struct Entry {
        /// 0x80 if active, else 0.
        pub(crate) boot_indicator: u8,
        /// First sector as cylinder, head, sector; not used.
        pub(crate) starting_chs: [u8; 3],
        /// What it is for; 0 if not used.
        pub(crate) os_type: u8,
        /// Last sector as cylinder, head, sector; not used.
        pub(crate) ending_chs: [u8; 3],
        /// First sector.
        pub(crate) starting_lba: U32,
        /// Length in sectors.
        pub(crate) size_in_lba: U32,
    }

    /// Sector 0, and the first sector of each extended partition.
    #[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    #[repr(C)]
    pub(crate) struct Mbr {
        /// Code that the BIOS runs.
        pub(crate) boot_code: [u8; 440],
        /// Identifies the disk.
        pub(crate) unique_mbr_disk_signature: U32,
        /// Zeros, or 0x5A5A for a write-protected disk.
        pub(crate) unknown: U16,
        /// The partitions.
        pub(crate) partition_record: [Entry; 4],
        /// 0xAA55.
        pub(crate) signature: U16,
    }

    const _: () = assert!(size_of::<Mbr>() == 512);
}

/// A master boot record whose signature and boot indicators are right.
#[derive(Debug, Clone)]
pub struct Mbr {
    raw: ondisk::Mbr,
    sector_size: u32,
}

impl Mbr {
    /// Reads sector 0; `None` if it is not a master boot record.
    ///
    /// # Errors
    /// What the device reports.
    pub fn read(disk: &Disk) -> Result<Option<Self>> {
        let found = if disk.size() < 512 { None } else { read_sector(disk, 0)? };
        // The boot sectors of FAT and NTFS end in 0xAA55, too; they have code where an MBR has its entries.
        Ok(found
            .filter(|raw| raw.partition_record.iter().all(|entry| matches!(entry.boot_indicator, 0 | 0x80)))
            .map(|raw| Self { raw, sector_size: disk.sector_size() }))
    }

    /// Whether it announces a GPT.
    pub fn is_protective(&self) -> bool {
        self.raw.partition_record.iter().any(|entry| entry.os_type == PROTECTIVE)
    }

    /// Whether it names partitions beside the GPT it announces.
    pub fn is_hybrid(&self) -> bool {
        self.is_protective()
            && self.raw.partition_record.iter().any(|entry| !matches!(entry.os_type, 0 | PROTECTIVE))
    }

    /// The signature of the disk.
    pub fn disk_signature(&self) -> u32 {
        self.raw.unique_mbr_disk_signature.get()
    }

    /// The code that the BIOS runs.
    pub fn boot_code(&self) -> &[u8; 440] {
        &self.raw.boot_code
    }

    /// The partitions, logical ones included.
    pub(crate) fn table(&self, disk: &Disk) -> Result<PartitionTable> {
        let mut partitions = Vec::new();
        for (number, entry) in (1..).zip(&self.raw.partition_record) {
            if entry.os_type == 0 || entry.size_in_lba.get() == 0 {
                continue;
            }
            let start = u64::from(entry.starting_lba.get());
            partitions.push(self.partition(disk, number, entry, start)?);
        }
        let extended: Vec<_> =
            partitions.iter().filter(|p| p.partition_type.is_extended()).map(|p| p.range.clone()).collect();
        for range in extended {
            self.logical(disk, &range, &mut partitions)?;
        }
        let kind = Kind::Mbr { disk_signature: self.disk_signature() };
        Ok(PartitionTable { kind, partitions, sector_size: self.sector_size })
    }

    /// Follows the chain of extended boot records that starts with `extended`.
    fn logical(&self, disk: &Disk, extended: &Range<u64>, partitions: &mut Vec<Partition>) -> Result<()> {
        let sector = u64::from(self.sector_size);
        let mut number = partitions.iter().map(|p| p.number).max().unwrap_or(0).max(4);
        let mut seen = BTreeSet::new();
        let mut next = Some(extended.start);
        while let Some(place) = next.take() {
            if !extended.contains(&place) {
                return Err(
                    Error::corrupt(LAYER, "a logical partition lies outside its extended one").at(place)
                );
            }
            if !seen.insert(place) {
                return Err(Error::corrupt(LAYER, "the chain of logical partitions is a loop").at(place));
            }
            let Some(record) = read_sector(disk, place)? else { break };
            for entry in &record.partition_record {
                let (kind, lba) = (PartitionType::Mbr(entry.os_type), u64::from(entry.starting_lba.get()));
                if entry.os_type == 0 || entry.size_in_lba.get() == 0 {
                    continue;
                }
                if kind.is_extended() {
                    // Relative to the whole extended partition; data is relative to its own record.
                    next = next.or_else(|| lba.checked_mul(sector)?.checked_add(extended.start));
                } else {
                    number = number.saturating_add(1);
                    if number > MAX_LOGICAL.saturating_add(4) {
                        return Err(Error::unsupported(
                            LAYER,
                            format!("more than {MAX_LOGICAL} logical partitions"),
                        ));
                    }
                    let start = place.checked_div(sector).unwrap_or(0).saturating_add(lba);
                    partitions.push(self.partition(disk, number, entry, start)?);
                }
            }
        }
        Ok(())
    }

    fn partition(&self, disk: &Disk, number: u32, entry: &ondisk::Entry, start: u64) -> Result<Partition> {
        let sector = u64::from(self.sector_size);
        let start = start.saturating_mul(sector);
        let end = start.saturating_add(u64::from(entry.size_in_lba.get()).saturating_mul(sector));
        if end > disk.size() {
            let what = format!("partition {number} ends at byte {end}, the disk at byte {}", disk.size());
            return Err(Error::corrupt(LAYER, what).at(start));
        }
        Ok(Partition {
            number,
            range: start..end,
            partition_type: PartitionType::Mbr(entry.os_type),
            part_uuid: format!("{:08x}-{number:02x}", self.disk_signature()),
            name: String::new(),
            active: entry.boot_indicator == 0x80,
            attributes: 0,
        })
    }
}

fn read_sector(disk: &Disk, place: u64) -> Result<Option<ondisk::Mbr>> {
    let mut bytes = [0; 512];
    disk.read_at(&mut bytes, place)?;
    let raw: ondisk::Mbr = zerocopy::transmute!(bytes);
    Ok((raw.signature.get() == 0xAA55).then_some(raw))
}
