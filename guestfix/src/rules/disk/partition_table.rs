//! disk.partition-table

use libdisk::volume::TableFault;

use crate::facts::TableKind;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A GPT of which one copy is not as it should be.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.partition-table",
        title: "both copies of the GPT are right and in their places, and no partitions overlap",
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
    let machine = guest.view.machine();
    if machine.table != TableKind::Gpt {
        return Ok(Finding::NotApplicable("the disk has no GPT"));
    }
    // That of the sector size is a rule of its own.
    let faults = machine.table_faults.iter().filter(|fault| !matches!(fault, TableFault::SectorSize { .. }));
    Ok(Finding::from_evidence(faults.map(|fault| Evidence::new(Place::DISK, fault.to_string())).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    }
}
