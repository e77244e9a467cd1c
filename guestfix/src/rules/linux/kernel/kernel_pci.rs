//! linux.kernel.pci-hyperv

use crate::platform::azure;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A kernel that sees no devices which a host of Azure passes through.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.kernel.pci-hyperv",
        title: "the kernel sees devices that the host passes through",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Note,
        cause: "Accelerated networking and NVMe disks of Azure are PCI devices behind a virtual bus. Kernels \
                of Amazon Linux 2023 are built without it: such a machine boots from SCSI disks, with the \
                plain network card.",
        fix: "choose a VM size with a SCSI disk controller, and leave accelerated networking off",
        source: &[
            Source::new("AWS", "AL2023 user guide, Hyper-V supported configurations", "2026"),
            Source::new("Linux", "drivers/pci/controller, the driver of Hyper-V", "2026-11"),
        ],
        applies: Applies::LINUX.on(&azure::AZURE),
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let Some(kernel) = guest.facts.default_kernel().filter(|kernel| kernel.modules.is_some()) else {
        return Ok(Finding::NotApplicable("it is not known which kernel boots"));
    };
    let drivers = &guest.goal.target.platform.drivers;
    if !kernel.has(drivers.bus) {
        return Ok(Finding::NotApplicable(
            "the kernel has no drivers of Hyper-V at all: see linux.kernel.hyperv",
        ));
    }
    let place = kernel.modules.clone().unwrap_or_default();
    let evidence = (!kernel.has(drivers.pci))
        .then(|| Evidence::new(place, format!("{} lacks the driver {}", kernel.version, drivers.pci)));
    Ok(Finding::from_evidence(evidence.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_kernel_without_the_bus_is_named() {
        let dep = "/lib/modules/6.1.0-50-amd64/modules.dep";
        let bench = Bench::debian().file(dep, "kernel/drivers/hv/hv_vmbus.ko:\n");
        assert_eq!(
            bench.findings(&RULE),
            ["/lib/modules/6.1.0-50-amd64: 6.1.0-50-amd64 lacks the driver pci_hyperv"]
        );
        bench.by_hand(&RULE);
        // one that starts nowhere on Azure is the business of another rule
        assert_eq!(Bench::debian().file(dep, "").findings(&RULE), [""; 0]);
    }
}
