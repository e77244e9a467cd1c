//! disk.partition-table

use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A GPT of which one copy is not as it should be.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.partition-table",
        title: "both copies of the GPT are right, and at their places",
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
    if machine.table != "gpt" {
        return Ok(Finding::NotApplicable("the disk has no GPT"));
    }
    let faults = machine.table_faults.iter();
    Ok(Finding::from_evidence(faults.map(|what| Evidence::new(Place::DISK, *what)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_backup_that_is_not_at_the_end_is_found() {
        assert_eq!(Bench::debian().findings(&RULE), [""; 0]);
        let gpt = Bench::debian().machine(|machine| machine.table = "gpt");
        assert_eq!(gpt.findings(&RULE), [""; 0]);
        let grown = gpt.machine(|machine| machine.table_faults.push("the backup is not at the end"));
        assert_eq!(grown.findings(&RULE), ["disk: the backup is not at the end"]);
        grown.by_hand(&RULE);
    }
}
