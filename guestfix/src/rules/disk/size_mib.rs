//! disk.size-mib

use crate::platform::azure;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

const MIB: u64 = 1 << 20;

/// A disk that Azure would refuse for its size.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.size-mib",
        title: "the disk is a whole number of MiB",
        pack: Pack::Disk,
        phase: Phase::Layout,
        severity: Severity::Note,
        cause: "Azure takes no disk whose size, without the VHD footer, is not a multiple of 1 MiB.",
        fix: "convert to a .vhd: the copy is grown to the next MiB with zeros",
        source: &[Source::new(
            "Microsoft Learn",
            "Prepare Linux for imaging in Azure (create-upload-generic)",
            "2026-09",
        )],
        applies: Applies::ALWAYS.on(&azure::AZURE),
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let size = guest.view.machine().size;
    let over = size % MIB;
    let what = format!("{size} bytes, {over} over a whole number of MiB");
    Ok(Finding::from_evidence((over != 0).then(|| Evidence::new(Place::DISK, what)).into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn an_odd_size_is_found() {
        assert_eq!(Bench::debian().findings(&RULE), [""; 0]);
        let odd = Bench::debian().machine(|machine| machine.size += 512);
        assert_eq!(odd.findings(&RULE).len(), 1);
        odd.by_hand(&RULE);
    }
}
