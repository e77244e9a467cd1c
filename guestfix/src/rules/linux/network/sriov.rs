//! linux.network.sriov

use crate::facts::NetworkConfig;
use crate::platform::{Drivers, azure};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// NetworkManager, which takes the second card of accelerated networking for one of its own.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.network.sriov",
        title: "NetworkManager leaves the second card of accelerated networking alone",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "With accelerated networking the machine sees a second card of the same address, which \
                the driver bonds to the first by itself. NetworkManager would configure it too, and \
                connections go astray.",
        fix: "A udev rule marks the cards of the host as not managed.",
        source: &[
            Source::new("Microsoft Learn", "Prepare a RHEL-based VM for Azure", "2026-09"),
            Source::new("How Accelerated Networking works in Linux", "", "2026"),
        ],
        applies: Applies::LINUX.on(&azure::AZURE),
    },
    detect,
    fix: Some(fix),
};

const DIRS: [&str; 2] = ["/etc/udev/rules.d", "/usr/lib/udev/rules.d"];
const OURS: &str = "/etc/udev/rules.d/68-azure-sriov-nm-unmanaged.rules";
/// By any of these NetworkManager is known to be installed.
const MANAGER: [&str; 2] = ["/usr/sbin/NetworkManager", "/usr/lib/systemd/system/NetworkManager.service"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut installed = guest.facts.network.contains(&NetworkConfig::NetworkManager);
    for path in MANAGER {
        installed |= guest.view.exists(path)?;
    }
    if !installed {
        return Ok(Finding::NotApplicable("NetworkManager is not installed"));
    }
    let kernel = guest.facts.default_kernel().or(guest.facts.kernels.first());
    let drivers = &guest.goal.target.platform.drivers;
    if kernel.is_some_and(|kernel| !kernel.has(drivers.pci)) {
        return Ok(Finding::NotApplicable("the kernel does not see such a card"));
    }
    let driver = drivers.pci_in_udev;
    let evidence = (!has_rule(guest.view, driver)?)
        .then(|| Evidence::new(DIRS[0], format!("no rule for cards of {driver}")));
    Ok(Finding::from_evidence(evidence.into_iter().collect()))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let drivers = &stage.guest()?.goal.target.platform.drivers;
    stage.put(OURS, text(drivers))?;
    Ok(Fixed::Staged)
}

fn text(drivers: &Drivers) -> String {
    let Drivers { network, pci_in_udev, .. } = drivers;
    format!(
        "# for Azure (refloat): accelerated networking shows a card twice; {network} bonds the two\n\
         SUBSYSTEM==\"net\", DRIVERS==\"{pci_in_udev}\", ACTION!=\"remove\", ENV{{NM_UNMANAGED}}=\"1\"\n"
    )
}

fn has_rule(view: &dyn View, driver: &str) -> Result<bool> {
    for dir in DIRS {
        for file in view.glob(dir, ".rules")? {
            let text = view.text(&file)?.unwrap_or_default();
            let is_rule =
                |line: &str| !line.starts_with('#') && line.contains(driver) && line.contains("NM_UNMANAGED");
            if text.lines().any(is_rule) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn network_manager_is_told_unless_it_knows() {
        let bench = Bench::debian().file(MANAGER[1], "[Unit]\n");
        assert_eq!(bench.findings(&RULE), ["/etc/udev/rules.d: no rule for cards of hv_pci"]);
        assert_eq!(bench.mended_text(&RULE, OURS), text(&azure::AZURE.drivers));
        let told = bench.clone().file("/usr/lib/udev/rules.d/68-x.rules", text(&azure::AZURE.drivers));
        assert_eq!(told.findings(&RULE), [""; 0]);
        let blind = bench.file("/lib/modules/6.1.0-50-amd64/modules.dep", "kernel/drivers/hv/hv_vmbus.ko:\n");
        assert_eq!(blind.findings(&RULE), [""; 0]);
    }
}
