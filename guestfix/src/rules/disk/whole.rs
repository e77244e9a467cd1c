//! disk.whole

use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Volume groups of which a part is missing, or there twice.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.whole",
        title: "all physical volumes of the disk's volume groups are there, once",
        pack: Pack::Disk,
        phase: Phase::Layout,
        severity: Severity::Warning,
        cause: "A volume group may lie on more than one EBS volume. What is on a missing one cannot be \
                looked at here, and what is mounted from it is not there unless the other disks are \
                migrated too.",
        fix: "migrate all disks of the volume group, and attach them to the machine on Azure",
        source: &[
            Source::new("vgs(8)", "", "2026-11"),
            Source::new("lvmsystemid(7)", "", "2026-11"),
            Source::new("virt-v2v 71376bdb", "multi-disk guests (behaviour)", "2026"),
        ],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let problems = &guest.view.machine().lvm.problems;
    Ok(Finding::from_evidence(
        problems.iter().map(|what| Evidence::new(Place::volume("lvm"), what)).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn what_lvm_misses_is_told() {
        assert_eq!(Bench::debian().findings(&RULE), [""; 0]);
        let bench =
            Bench::debian().machine(|machine| machine.lvm.problems.push("vg0: pv1 is missing".into()));
        assert_eq!(bench.findings(&RULE), ["lvm: vg0: pv1 is missing"]);
        bench.by_hand(&RULE);
    }
}
