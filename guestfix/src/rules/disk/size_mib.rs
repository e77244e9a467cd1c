//! disk.size-mib

use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

const MIB: u64 = 1 << 20;

/// A disk that Azure would refuse for its size.
pub(in crate::rules) struct SizeMib;

static META: RuleMeta = RuleMeta {
    id: "disk.size-mib",
    title: "the disk is a whole number of MiB",
    phase: Phase::Layout,
    severity: Severity::Note,
    cause: "Azure takes no disk whose size, without the VHD footer, is not a multiple of 1 MiB.",
    fix: "None here: `refloat convert` to a VHD grows the copy to the next MiB with zeros, and never cuts.",
    source: "Microsoft Learn, Prepare Linux for imaging in Azure (create-upload-generic), 2026-09",
};

impl Rule for SizeMib {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let size = guest.view.machine().size;
        let over = size % MIB;
        let what = format!("{size} bytes, {over} over a whole number of MiB");
        Ok(Finding::from_evidence((over != 0).then(|| Evidence::new("disk", what)).into_iter().collect()))
    }

    fn fix(&self, _stage: &mut Stage<'_>) -> Result<Fixed> {
        Ok(Fixed::ByHand("convert to a .vhd: the copy is grown to the next MiB with zeros".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn an_odd_size_is_found() {
        assert_eq!(Bench::debian().findings(&SizeMib), [""; 0]);
        let odd = Bench::debian().machine(|machine| machine.size += 512);
        assert_eq!(odd.findings(&SizeMib).len(), 1);
        odd.by_hand(&SizeMib);
    }
}
