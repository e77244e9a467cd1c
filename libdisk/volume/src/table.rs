//! A partition table, whichever kind it is.

use std::fmt;
use std::ops::Range;

use block::{Disk, Error, Result};
use uuid::Uuid;

use crate::{gpt, mbr, signature, types};

/// The partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// What kind of table it is.
    pub kind: Kind,
    /// The partitions in the order of their numbers; extended ones too.
    pub partitions: Vec<Partition>,
    /// The sector size that the table counts in, in bytes.
    pub sector_size: u32,
}

impl PartitionTable {
    /// The partition with this number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    /// Where something may be on the disk with the index `disk`, of `size` bytes: the partitions but for
    /// extended ones, or all of the disk where there is no table.
    pub fn places(&self, disk: usize, size: u64) -> Vec<Place> {
        if self.kind == Kind::None {
            return vec![Place { disk, name: volume_name(disk, None), range: 0..size }];
        }
        let partitions = self.partitions.iter().filter(|partition| !partition.partition_type.is_extended());
        let place = |partition: &Partition| Place {
            disk,
            name: volume_name(disk, Some(partition.number)),
            range: partition.range.clone(),
        };
        partitions.map(place).collect()
    }
}

/// A part of one of the disks of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The index of the disk, from 0.
    pub disk: usize,
    /// Its name in addresses: see [`volume_name`].
    pub name: String,
    /// Where on the disk it is, in bytes.
    pub range: Range<u64>,
}

/// The name in addresses of a partition, or of a whole disk, of a machine with several: "p1" and "disk" on
/// the first disk, "disk2p1" and "disk2" on the second. `disk` counts from 0, and the names from 1. (A
/// logical volume is "group/volume": no such name is one of these.)
pub fn volume_name(disk: usize, partition: Option<u32>) -> String {
    let whole = match disk {
        0 => "disk".to_owned(),
        _ => format!("disk{}", disk.saturating_add(1)),
    };
    match (disk, partition) {
        (_, None) => whole,
        (0, Some(number)) => format!("p{number}"),
        (_, Some(number)) => format!("{whole}p{number}"),
    }
}

/// The kinds of partition table, as `blkid` and `sfdisk` have them: "gpt", "mbr" (which they call "dos"),
/// "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// A GUID partition table.
    Gpt,
    /// A PC master boot record.
    Mbr,
    /// No table.
    None,
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
            Self::None => "none",
        })
    }
}

impl From<&Kind> for TableKind {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Gpt { .. } => Self::Gpt,
            Kind::Mbr { .. } => Self::Mbr,
            Kind::None => Self::None,
        }
    }
}

/// The kinds of partition table, and what is known of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A GUID partition table.
    Gpt {
        /// The disk's GUID.
        disk_guid: Uuid,
        /// The primary header and its entries are valid.
        primary_ok: bool,
        /// The backup header and its entries are valid, and agree with the primary ones.
        backup_ok: bool,
        /// The backup header is in the last sector of the disk, where firmware looks for it.
        backup_at_end: bool,
        /// The MBR names partitions, not just the GPT's protection.
        hybrid: bool,
    },
    /// A PC master boot record.
    Mbr {
        /// The disk's signature, the first half of its PARTUUIDs.
        disk_signature: u32,
    },
    /// No table: a file system on the bare disk, or nothing.
    None,
}

/// What is wrong with a table that can be read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFault {
    /// The first copy of a GPT is damaged.
    FirstDamaged,
    /// Its backup is missing, damaged, or tells something else.
    BackupDamaged,
    /// Its backup is not in the last sector of the disk.
    BackupNotAtEnd,
    /// It counts in sectors of another size than the disk has, and firmware and kernels see no partition.
    SectorSize {
        /// Bytes of the sectors that it counts in.
        table: u32,
        /// Bytes of those that the disk has.
        disk: u32,
    },
    /// The partitions with these numbers share sectors.
    Overlap(u32, u32),
}

impl fmt::Display for TableFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstDamaged => f.write_str("the first copy of the GPT is damaged"),
            Self::BackupDamaged => {
                f.write_str("the backup copy of the GPT is missing, damaged or older than the first one")
            }
            Self::BackupNotAtEnd => {
                f.write_str("the backup copy of the GPT is not at the end of the disk, which has grown since")
            }
            Self::SectorSize { table, disk } => {
                write!(f, "the GPT is for sectors of {table} bytes, and the disk has sectors of {disk} bytes")
            }
            Self::Overlap(one, other) => write!(f, "partitions {one} and {other} overlap"),
        }
    }
}

impl PartitionTable {
    /// What is wrong with it, on a disk with sectors of so many bytes.
    pub fn faults(&self, sector_size: u32) -> Vec<TableFault> {
        let mut faults = Vec::new();
        if let Kind::Gpt { primary_ok, backup_ok, backup_at_end, .. } = self.kind {
            let found = [
                (primary_ok, TableFault::FirstDamaged),
                (backup_ok, TableFault::BackupDamaged),
                (backup_at_end || !backup_ok, TableFault::BackupNotAtEnd),
                (
                    self.sector_size == sector_size,
                    TableFault::SectorSize { table: self.sector_size, disk: sector_size },
                ),
            ];
            faults.extend(found.into_iter().filter_map(|(is_right, fault)| (!is_right).then_some(fault)));
        }
        faults.extend(self.overlaps());
        faults
    }

    /// Each partition that starts before one in front of it has ended.
    fn overlaps(&self) -> Vec<TableFault> {
        let mut partitions: Vec<_> =
            self.partitions.iter().filter(|partition| !partition.partition_type.is_extended()).collect();
        partitions.sort_by_key(|partition| partition.range.start);
        let mut faults = Vec::new();
        let mut farthest: Option<&Partition> = None;
        for partition in partitions {
            if let Some(before) = farthest.filter(|before| partition.range.start < before.range.end) {
                faults.push(TableFault::Overlap(before.number, partition.number));
            }
            farthest = farthest.filter(|before| before.range.end >= partition.range.end).or(Some(partition));
        }
        faults
    }
}

/// What a partition says that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionType {
    /// The type GUID of a GPT.
    Gpt(Uuid),
    /// The type byte of an MBR.
    Mbr(u8),
}

impl PartitionType {
    /// What people call it; `None` for one we do not know.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Gpt(guid) => types::gpt_name(guid),
            Self::Mbr(byte) => types::mbr_name(*byte),
        }
    }

    /// Whether it is an EFI system partition.
    pub fn is_esp(&self) -> bool {
        *self == Self::Gpt(types::ESP) || *self == Self::Mbr(0xEF)
    }

    /// Whether it is where GRUB for BIOS keeps its core image on a GPT disk.
    pub fn is_bios_boot(&self) -> bool {
        *self == Self::Gpt(types::BIOS_BOOT)
    }

    /// Whether it is an extended partition, which only holds logical ones.
    pub fn is_extended(&self) -> bool {
        matches!(self, Self::Mbr(0x05 | 0x0F | 0x85))
    }
}

/// The human name, or else the number.
impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self) {
            (Some(name), _) => f.write_str(name),
            (None, Self::Gpt(guid)) => write!(f, "{guid}"),
            (None, Self::Mbr(byte)) => write!(f, "type {byte:#04x}"),
        }
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, as Linux counts: from 1; logical ones from 5.
    pub number: u32,
    /// Where it is on the disk, in bytes.
    pub range: Range<u64>,
    /// What it says that it is for.
    pub partition_type: PartitionType,
    /// The PARTUUID as Linux writes it.
    pub part_uuid: String,
    /// Its name; empty in an MBR.
    pub name: String,
    /// The BIOS boots from it: active in an MBR, "legacy BIOS bootable" in a GPT.
    pub active: bool,
    /// The attribute bits of a GPT entry; 0 in an MBR.
    pub attributes: u64,
}

impl Partition {
    /// The partition as a device.
    ///
    /// # Errors
    /// `OutOfRange` if it does not lie inside `disk`.
    pub fn open(&self, disk: &Disk) -> Result<Disk> {
        disk.slice(self.range.clone())
    }
}

/// Reads the partition table of `disk`.
///
/// As Linux does: a GPT counts only with a protective entry in the MBR, and its backup is used when the
/// primary is damaged. Sectors of 512 and of 4096 bytes are tried, the device's own size first.
///
/// # Errors
/// `Corrupt` if there is a table and it cannot be trusted: both copies of a GPT are damaged, or a partition
/// does not lie inside the disk.
pub fn read(disk: &Disk) -> Result<PartitionTable> {
    let none = PartitionTable { kind: Kind::None, partitions: Vec::new(), sector_size: disk.sector_size() };
    let Some(mbr) = mbr::Mbr::read(disk)? else { return Ok(none) };
    if mbr.is_protective() {
        for sector_size in gpt::sector_sizes(disk) {
            if let Some(gpt) = gpt::Gpt::read(disk, sector_size)? {
                return gpt.table(&mbr);
            }
        }
        return Err(Error::corrupt(
            "gpt",
            "the MBR announces a GPT, but both of its copies are missing or damaged",
        ));
    }
    // A file system on the bare disk: its boot sector ends as an MBR does, and has code or text in place of
    // partitions.
    match mbr.table(disk) {
        Ok(table) if !table.partitions.is_empty() => Ok(table),
        Ok(table) => Ok(if signature(disk)?.is_some() { none } else { table }),
        Err(_) if signature(disk)?.is_some_and(|found| found.kind.has_boot_sector()) => Ok(none),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_overlap_are_named() {
        let partition = |number: u32, range: Range<u64>, byte: u8| Partition {
            number,
            range,
            partition_type: PartitionType::Mbr(byte),
            part_uuid: String::new(),
            name: String::new(),
            active: false,
            attributes: 0,
        };
        let faults = |partitions: Vec<Partition>| {
            PartitionTable { kind: Kind::Mbr { disk_signature: 0 }, partitions, sector_size: 512 }.faults(512)
        };
        let apart = vec![partition(1, 10..20, 0x83), partition(2, 0..10, 0x83), partition(3, 20..30, 0x83)];
        assert_eq!(faults(apart), []);
        let within =
            vec![partition(1, 0..100, 0x83), partition(2, 10..20, 0x83), partition(3, 50..150, 0x83)];
        assert_eq!(faults(within), [TableFault::Overlap(1, 2), TableFault::Overlap(1, 3)]);
        let extended = vec![partition(1, 0..100, 0x05), partition(5, 10..20, 0x83)];
        assert_eq!(faults(extended), []);
    }
}
