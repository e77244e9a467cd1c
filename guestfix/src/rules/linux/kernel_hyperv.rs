//! linux.kernel.hyperv

use crate::facts::{Driver, Kernel};
use crate::rule::Evidence;
use crate::{Facts, Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A kernel that cannot see an Azure disk whatever its initramfs holds.
pub(in crate::rules) struct KernelHyperv;

static META: RuleMeta = RuleMeta {
    id: "linux.kernel.hyperv",
    title: "the kernel that boots has drivers for Hyper-V",
    phase: Phase::Drivers,
    severity: Severity::Blocker,
    cause: "Without hv_vmbus and hv_storvsc a kernel sees no disk on Azure. Kernels made for Xen only, and some built for EC2, have neither.",
    fix: "None offline: install a kernel of the distribution that has them, before the migration, or make one that is there the default.",
    source: "Microsoft Learn, Prepare Linux for imaging in Azure, 2026-09; Debian's linux-image packages, measured 2026-11-23",
};

impl Rule for KernelHyperv {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let facts = guest.facts;
        if facts.kernels.is_empty() {
            return Ok(Finding::NotApplicable("no kernel was found"));
        }
        let place =
            |kernel: &Kernel| kernel.modules.clone().or_else(|| kernel.image.clone()).unwrap_or_default();
        let lacks = |kernel: &Kernel| {
            Evidence::new(place(kernel), format!("{} has no hv_vmbus or no hv_storvsc", kernel.version))
        };
        if !facts.kernels.iter().any(is_usable) {
            let mut evidence: Vec<Evidence> = facts.kernels.iter().map(lacks).collect();
            for kernel in &facts.kernels {
                let path = format!("/boot/config-{}", kernel.version);
                let config = guest.view.text(&path)?.unwrap_or_default();
                if config.lines().any(|line| matches!(line, "CONFIG_X86_XEN=y" | "CONFIG_X86_64_XEN=y")) {
                    evidence.push(Evidence::new(path, "a kernel for Xen only"));
                }
            }
            return Ok(Finding::Wrong { evidence });
        }
        let default = default_kernel(facts).filter(|kernel| !is_usable(kernel));
        Ok(Finding::from_evidence(default.map(lacks).into_iter().collect()))
    }

    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
        let facts = stage.guest()?.facts;
        Ok(Fixed::ByHand(match facts.kernels.iter().find(|kernel| is_usable(kernel)) {
            Some(kernel) => format!("make {} the default of the boot menu, then check again", kernel.version),
            None => {
                "install the distribution's own kernel in the running machine, and take a new snapshot".into()
            }
        }))
    }
}

fn is_usable(kernel: &Kernel) -> bool {
    ["hv_vmbus", "hv_storvsc"]
        .iter()
        .all(|name| !matches!(kernel.drivers.get(name), None | Some(Driver::Absent)))
}

/// The kernel of the entry that starts by itself.
pub(super) fn default_kernel(facts: &Facts) -> Option<&Kernel> {
    let entry = facts.boot.entries.iter().find(|entry| entry.default)?;
    facts.kernels.iter().find(|kernel| kernel.image.as_ref() == Some(&entry.kernel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_kernel_without_drivers_is_found() {
        let bench = Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/modules.dep", "kernel/drivers/nvme/host/nvme.ko:\n")
            .file("/boot/config-6.1.0-50-amd64", "CONFIG_X86_XEN=y\n");
        let found = bench.findings(&KernelHyperv);
        assert_eq!(found[0], "/lib/modules/6.1.0-50-amd64: 6.1.0-50-amd64 has no hv_vmbus or no hv_storvsc");
        assert_eq!(found[1], "/boot/config-6.1.0-50-amd64: a kernel for Xen only");
        assert!(bench.by_hand(&KernelHyperv).contains("install"));
    }

    #[test]
    fn drivers_that_are_built_in_do() {
        let bench = Bench::debian().file("/lib/modules/6.1.0-50-amd64/modules.dep", "").file(
            "/lib/modules/6.1.0-50-amd64/modules.builtin",
            "kernel/drivers/hv/hv_vmbus.ko\nkernel/drivers/scsi/hv_storvsc.ko\n",
        );
        assert_eq!(bench.findings(&KernelHyperv), [""; 0]);
        let by_config = Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/modules.dep", "")
            .file("/boot/config-6.1.0-50-amd64", "CONFIG_HYPERV=y\nCONFIG_HYPERV_STORAGE=y\n");
        assert_eq!(by_config.findings(&KernelHyperv), [""; 0]);
    }

    #[test]
    fn another_kernel_that_would_do_is_named() {
        let bench = Bench::debian().file("/lib/modules/6.1.0-50-amd64/modules.dep", "").file(
            "/lib/modules/5.10.0-32-amd64/modules.dep",
            "kernel/drivers/hv/hv_vmbus.ko:\nkernel/drivers/scsi/hv_storvsc.ko:\n",
        );
        assert_eq!(bench.findings(&KernelHyperv).len(), 1);
        assert!(bench.by_hand(&KernelHyperv).starts_with("make 5.10.0-32-amd64 the default"));
    }
}
