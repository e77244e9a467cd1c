//! disk.size-mib

use crate::platform::azure;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

const MIB: u64 = 1 << 20;

/// A disk that Azure would refuse for its size.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.size-mib",
        title: "every disk is a whole number of MiB",
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
    let odd = guest.view.machine().sizes().filter(|(_, size)| size % MIB != 0);
    let told = odd.map(|(place, size)| {
        Evidence::new(place, format!("{size} bytes, {} over a whole number of MiB", size % MIB))
    });
    Ok(Finding::from_evidence(told.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DataDisk;
    use crate::rules::testing::Bench;

    #[test]
    fn an_odd_size_is_found() {
        assert_eq!(Bench::debian().findings(&RULE), [""; 0]);
        let odd = Bench::debian().machine(|machine| machine.size += 512);
        assert_eq!(odd.findings(&RULE).len(), 1);
        odd.by_hand(&RULE);
        let disk = DataDisk { size: 512, ..DataDisk::default() };
        let data = Bench::debian().machine(|machine| machine.data_disks.push(disk));
        assert_eq!(data.findings(&RULE), ["disk 2: 512 bytes, 512 over a whole number of MiB"]);
    }
}
