//! disk.partition-table

use libdisk::volume::TableFault;

use crate::facts::TableKind;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A GPT of which one copy is not as it should be.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.partition-table",
        title: "both copies of each GPT are right and in their places, and no partitions overlap",
        pack: Pack::Disk,
        phase: Phase::Layout,
        severity: Severity::Warning,
        cause: "The backup stays where the disk ended when an EBS volume is made larger. Linux and some \
                firmware take the table from it when the first copy is damaged, and tools that grow \
                partitions refuse a disk without it.",
        fix: "convert to a .vhd: both copies are written anew in it",
        source: &[
            Source::new("UEFI 2.10", "5.3.2 GPT Header", "2022"),
            Source::new("AWS", "Extend the file system after resizing a volume", "2026"),
        ],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    // That of the sector size is a rule of its own.
    of_gpts(guest, |fault| !matches!(fault, TableFault::SectorSize { .. }))
}

/// The faults of the GPTs of all disks, as far as these are meant.
pub(super) fn of_gpts(guest: &Guest<'_>, meant: impl Fn(&TableFault) -> bool) -> Result<Finding> {
    let machine = guest.view.machine();
    let unread: Vec<_> = machine.unread_tables().map(|(place, why)| Evidence::new(place, why)).collect();
    if unread.is_empty() && machine.tables().all(|(_, kind, _)| kind != TableKind::Gpt) {
        return Ok(Finding::NotApplicable("no disk has a GPT"));
    }
    let all = machine
        .tables()
        .flat_map(|(place, _, faults)| faults.iter().map(move |fault| (place.clone(), fault)));
    let evidence: Vec<_> = all
        .filter(|(_, fault)| meant(fault))
        .map(|(place, fault)| Evidence::new(place, fault.to_string()))
        .collect();
    match (evidence.is_empty(), unread.is_empty()) {
        (true, false) => Ok(Finding::Unknown { unread }),
        _ => Ok(Finding::from_evidence(evidence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DataDisk;
    use crate::rules::testing::Bench;

    #[test]
    fn a_backup_that_is_not_at_the_end_is_found() {
        assert_eq!(Bench::debian().findings(&RULE), [""; 0]);
        let gpt = Bench::debian().machine(|machine| machine.table = TableKind::Gpt);
        assert_eq!(gpt.findings(&RULE), [""; 0]);
        let grown = gpt.machine(|machine| machine.table_faults.push(TableFault::BackupNotAtEnd));
        let told = "disk: the backup copy of the GPT is not at the end of the disk, which has grown since";
        assert_eq!(grown.findings(&RULE), [told]);
        grown.by_hand(&RULE);
        let disk = DataDisk {
            table: TableKind::Gpt,
            table_faults: vec![TableFault::BackupNotAtEnd],
            ..DataDisk::default()
        };
        let data = Bench::debian().machine(|machine| machine.data_disks.push(disk));
        assert_eq!(data.findings(&RULE), [told.replace("disk: ", "disk 2: ")]);
    }
}
