//! linux.initramfs.kdump

use super::initramfs_hyperv::{Target, faults, mend};
use crate::rule::{Applies, Pack, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An initramfs for a kernel that has crashed.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.initramfs.kdump",
        title: "the initramfs that writes crash dumps has the drivers of Hyper-V",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Note,
        cause: "kdump has an initramfs of its own, made for the one disk that the dump goes to. Built on \
                EC2 it does not find that disk on Azure, and a crash leaves no dump.",
        fix: "The missing modules are put into it, as into the one that boots.",
        source: &[
            Source::new("kdump.conf(5)", "", "2026-11"),
            Source::new("kdump-tools(8)", "", "2026-11"),
            Source::new("mkdumprd(8)", "", "2026-11"),
            Source::new("virt-v2v 71376bdb", "kdump images (behaviour)", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    Ok(Finding::from_evidence(faults(guest, &targets(guest)?)?))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let targets = targets(&stage.guest()?)?;
    mend(stage, &targets, |path, why| {
        format!(
            "{path} cannot be changed offline ({why}): remove it in the running machine, and start kdump's service, which makes a new one"
        )
    })
}

/// Those of Red Hat, of SUSE and of Debian, for each kernel.
fn targets(guest: &Guest<'_>) -> Result<Vec<Target>> {
    let drivers = &guest.goal.target.platform.drivers;
    let mut out = Vec::new();
    for kernel in guest.facts.kernels.iter() {
        let version = &kernel.version;
        for path in [
            format!("/boot/initramfs-{version}kdump.img"),
            format!("/boot/initrd-{version}-kdump"),
            format!("/var/lib/kdump/initrd.img-{version}"),
            format!("/var/lib/kdump/initramfs-{version}kdump.img"),
        ] {
            if guest.view.exists(&path)? {
                out.extend(Target::new(&path, kernel, drivers).filter(|target| !out.contains(target)));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, empty_initramfs};

    #[test]
    fn an_image_of_kdump_without_drivers_is_found() {
        let kdump = "/boot/initramfs-6.1.0-50-amd64kdump.img";
        let bench = Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/kernel/drivers/hv/hv_vmbus.ko", "")
            .file("/lib/modules/6.1.0-50-amd64/kernel/drivers/scsi/hv_storvsc.ko", "");
        assert_eq!(bench.findings(&RULE), [""; 0]);
        let found = bench.clone().file(kdump, empty_initramfs()).findings(&RULE);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{kdump}: lacks hv_")), "{found:?}");
        let broken = bench.file(kdump, "no initramfs");
        assert_eq!(broken.findings(&RULE).len(), 1);
        assert!(broken.by_hand(&RULE).starts_with("/boot/initramfs-"));
    }
}
