//! disk.size-limit

use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, Target};

/// A disk that is too large to boot from.
pub(in crate::rules) struct SizeLimit;

static META: RuleMeta = RuleMeta {
    id: "disk.size-limit",
    title: "the disk is no larger than the firmware and Azure take",
    phase: Phase::Layout,
    severity: Severity::Blocker,
    cause: "A BIOS, and a partition table of DOS, see the first 2 TiB of a disk only; Azure's OS disks have at most 4095 GiB.",
    fix: "None: the file systems have to be made smaller, or data moved to a disk of its own, before the migration.",
    source: "Microsoft Learn, Support for Generation 2 VMs on Azure (boot disk), and Introduction to Azure managed disks, 2026",
};

const BIOS: u64 = 2 << 40;
const LARGEST: u64 = 4095 << 30;

impl Rule for SizeLimit {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let machine = guest.view.machine();
        let by_bios = guest.goal.target == Target::AzureGen1 || machine.table == "mbr";
        let (limit, why) = if by_bios {
            (BIOS, "2 TiB, all that a BIOS sees")
        } else {
            (LARGEST, "the 4095 GiB of an OS disk")
        };
        let what = format!("{} bytes, more than {why}", machine.size);
        let evidence = (machine.size > limit).then(|| Evidence::new("disk", what));
        Ok(Finding::from_evidence(evidence.into_iter().collect()))
    }

    fn fix(&self, _stage: &mut Stage<'_>) -> Result<Fixed> {
        Ok(Fixed::ByHand(
            "move data to a disk of its own, and the system to a smaller one, before the migration".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_disk_above_the_limit_is_told() {
        let of_size = |size: u64| Bench::debian().machine(|machine| machine.size = size);
        assert_eq!(of_size(BIOS).findings(&SizeLimit), [""; 0]);
        assert_eq!(of_size(BIOS + 1).findings(&SizeLimit).len(), 1);
        of_size(BIOS + 1).by_hand(&SizeLimit);
        let gpt = |size| of_size(size).target(Target::AzureGen2).machine(|machine| machine.table = "gpt");
        assert_eq!(gpt(LARGEST).findings(&SizeLimit), [""; 0]);
        assert_eq!(gpt(LARGEST + 1).findings(&SizeLimit).len(), 1);
    }
}
