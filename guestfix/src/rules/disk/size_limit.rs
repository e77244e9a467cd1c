//! disk.size-limit

use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity, Target};

/// A disk that is too large to boot from.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.size-limit",
        title: "the disk is no larger than the firmware and Azure take",
        pack: Pack::Disk,
        phase: Phase::Layout,
        severity: Severity::Blocker,
        cause: "A BIOS, and a partition table of DOS, see the first 2 TiB of a disk only; Azure's OS disks \
                have at most 4095 GiB.",
        fix: "move data to a disk of its own, and the system to a smaller one, before the migration",
        source: &[Source::new(
            "Microsoft Learn",
            "Support for Generation 2 VMs on Azure (boot disk), and Introduction to Azure managed disks",
            "2026",
        )],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: None,
};

const BIOS: u64 = 2 << 40;
const LARGEST: u64 = 4095 << 30;

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let machine = guest.view.machine();
    let by_bios = guest.goal.target == Target::AzureGen1 || machine.table == "mbr";
    let (limit, why) =
        if by_bios { (BIOS, "2 TiB, all that a BIOS sees") } else { (LARGEST, "the 4095 GiB of an OS disk") };
    let what = format!("{} bytes, more than {why}", machine.size);
    let evidence = (machine.size > limit).then(|| Evidence::new(Place::DISK, what));
    Ok(Finding::from_evidence(evidence.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_disk_above_the_limit_is_told() {
        let of_size = |size: u64| Bench::debian().machine(|machine| machine.size = size);
        assert_eq!(of_size(BIOS).findings(&RULE), [""; 0]);
        assert_eq!(of_size(BIOS + 1).findings(&RULE).len(), 1);
        of_size(BIOS + 1).by_hand(&RULE);
        let gpt = |size| of_size(size).target(Target::AzureGen2).machine(|machine| machine.table = "gpt");
        assert_eq!(gpt(LARGEST).findings(&RULE), [""; 0]);
        assert_eq!(gpt(LARGEST + 1).findings(&RULE).len(), 1);
    }
}
