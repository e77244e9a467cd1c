//! disk.sector-size

use libdisk::volume::TableFault;

use super::partition_table;
use crate::rule::{Applies, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A GPT that counts in other sectors than the disk has.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.sector-size",
        title: "every GPT is made for sectors of 512 bytes",
        pack: Pack::Disk,
        phase: Phase::Layout,
        severity: Severity::Blocker,
        cause: "A GPT counts in sectors. One made on a disk with sectors of 4,096 bytes has its header and its \
                partitions elsewhere for a firmware or kernel that counts in 512 bytes, as of a disk made of a \
                VHD: it finds no partition.",
        fix: "copy the partitions to a disk with a table for sectors of 512 bytes, say with sgdisk and dd",
        source: &[
            Source::new("UEFI 2.10", "5.3.1 GPT overview", "2022"),
            Source::new(
                "Virtual Hard Disk Image Format Specification 1.0",
                "Hard Disk Footer Format",
                "2006-10",
            ),
        ],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    partition_table::of_gpts(guest, |fault| matches!(fault, TableFault::SectorSize { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{DataDisk, TableKind};
    use crate::rules::testing::Bench;

    #[test]
    fn a_table_for_other_sectors_stops_the_machine() {
        let gpt = Bench::debian().machine(|machine| machine.table = TableKind::Gpt);
        assert_eq!(gpt.findings(&RULE), [""; 0]);
        let other = TableFault::SectorSize { table: 4096, disk: 512 };
        let native = gpt.machine(|machine| machine.table_faults.push(other));
        let told = "disk: the GPT is for sectors of 4096 bytes, and the disk has sectors of 512 bytes";
        assert_eq!(native.findings(&RULE), [told]);
        native.by_hand(&RULE);
        let of_data = |disk: DataDisk| Bench::debian().machine(|machine| machine.data_disks.push(disk));
        let disk = DataDisk { table: TableKind::Gpt, table_faults: vec![other], ..DataDisk::default() };
        assert_eq!(of_data(disk).findings(&RULE), [told.replace("disk: ", "disk 2: ")]);
        let unread = DataDisk { unreadable: Some("it cannot be read".into()), ..DataDisk::default() };
        assert_eq!(of_data(unread).unread(&RULE), ["disk 2: it cannot be read"]);
    }
}
