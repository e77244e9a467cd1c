//! linux.swap

use crate::inspect::devices;
use crate::platform::azure;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::fstab;
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Swap on the OS disk.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.swap",
        title: "swap is not on the OS disk",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Note,
        cause: "A disk of Azure has a limit of requests a second. Swap on the OS disk shares it \
                with the system; the disk that the host has itself costs nothing, and what is on it may go.",
        fix: "once it runs on Azure, let the agent (ResourceDisk.EnableSwap in waagent.conf) or cloud-init \
              make swap on the temporary disk, and take the line out of /etc/fstab",
        source: &[Source::new("Microsoft Learn", "Prepare Linux for imaging in Azure", "2026")],
        applies: Applies::LINUX.on(&azure::AZURE),
    },
    detect,
    fix: None,
};

const PATH: &str = "/etc/fstab";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let text = guest.view.text(PATH)?.unwrap_or_default();
    let (machine, root) = (guest.view.machine(), devices::root_spec(guest.facts));
    let entries = fstab::entries(&text);
    let evidence = entries.iter().filter(|entry| entry.kind == "swap").filter_map(|entry| {
        let volume = devices::resolve(machine, &entry.spec, root)?;
        Some(Evidence::new(Place::line(PATH, entry.line), format!("swap on {}", volume.name)))
    });
    Ok(Finding::from_evidence(evidence.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{BOOT_UUID, Bench};

    #[test]
    fn swap_beside_the_system_is_named() {
        let swap = |spec: &str| Bench::debian().file(PATH, format!("{spec} none swap sw 0 0\n"));
        for spec in [&format!("UUID={BOOT_UUID}"), "/dev/xvda2"] {
            assert_eq!(swap(spec).findings(&RULE), ["/etc/fstab:1: swap on p2"]);
        }
        swap("/dev/xvda2").by_hand(&RULE);
        for elsewhere in ["/swapfile", "/dev/nvme1n1", "/dev/zram0"] {
            assert_eq!(swap(elsewhere).findings(&RULE), [""; 0]);
        }
    }
}
