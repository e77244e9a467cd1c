//! disk.whole

use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// Volume groups of which a part is missing, or there twice.
pub(in crate::rules) struct Whole;

static META: RuleMeta = RuleMeta {
    id: "disk.whole",
    title: "all physical volumes of the disk's volume groups are there, once",
    phase: Phase::Layout,
    severity: Severity::Warning,
    cause: "A volume group may lie on more than one EBS volume. What is on a missing one cannot be looked at here, and what is mounted from it is not there \
            unless the other disks are migrated too.",
    fix: "None: all disks of the group have to be migrated, and attached to the machine on Azure.",
    source: "vgs(8), lvmsystemid(7), 2026-11; virt-v2v 71376bdb, multi-disk guests (behaviour), 2026",
};

impl Rule for Whole {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let problems = &guest.view.machine().lvm.problems;
        Ok(Finding::from_evidence(problems.iter().map(|what| Evidence::new("lvm", what)).collect()))
    }

    fn fix(&self, _stage: &mut Stage<'_>) -> Result<Fixed> {
        Ok(Fixed::ByHand(
            "migrate all disks of the volume group, and attach them to the machine on Azure".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn what_lvm_misses_is_told() {
        assert_eq!(Bench::debian().findings(&Whole), [""; 0]);
        let bench =
            Bench::debian().machine(|machine| machine.lvm.problems.push("vg0: pv1 is missing".into()));
        assert_eq!(bench.findings(&Whole), ["lvm: vg0: pv1 is missing"]);
        bench.by_hand(&Whole);
    }
}
