//! linux.grub.stale-arguments

use super::arguments;
use crate::facts::Machine;
use crate::inspect::devices::{self, Named};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::cmdline::{self, Change};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// Kernel arguments that made sense on EC2 or Xen only, or never.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.grub.stale-arguments",
        title: "no kernel argument is left that slows or hides the boot on Azure",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "rootdelay=300 is an unconditional sleep of five minutes in initramfs-tools; resume= from a \
                disk that is not here waits 30 s for it; clocksource=xen is not there; rd.shell=0, \
                rd.emergency=poweroff and panic=-1 make a failed boot end without a word. With EC2's \
                timeout of NVMe a disk of Azure that hangs does so for years. quiet and rhgb leave nothing \
                to see on the only screen there is.",
        fix: "These arguments are removed, in every boot entry, in what entries share, and in /etc/kernel/cmdline \
              and /etc/default/grub; panic=-1 becomes 30 s, nvme_core.io_timeout the 240 s that Azure asks \
              for. rootdelay is never added. Where crashkernel=auto goes, kdump reserves nothing until \
              crashkernel= has a size (crashkernel=256M).",
        source: &[
            Source::new("measured boots (rootdelay: 306 s", "", "2021"),
            Source::new("panic), 2026-11-23", "", "2021"),
            Source::new("azure-docs issue 80400", "", "2021"),
            Source::new(
                "Microsoft Learn",
                "create-upload-generic (rhgb, quiet, crashkernel=auto), create-upload-debian and create-upload-ubuntu (nvme_core.io_timeout)",
                "2026-09",
            ),
            Source::new("virt-v2v 71376bdb", "resume= (behaviour)", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let machine = guest.view.machine();
    let evidence = arguments::faults(guest, |place, cmdline| faults(place, cmdline, machine))?;
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let machine = stage.guest()?.view.machine().clone();
    arguments::edit(stage, |cmdline| without_stale(cmdline, &machine))?;
    Ok(Fixed::Staged)
}

fn faults(place: &Place, cmdline: &str, machine: &Machine) -> Vec<Evidence> {
    let stale = |token| {
        let (why, _) = fault(token, cmdline, machine)?;
        Some(Evidence::new(place, format!("{token} {why}")))
    };
    cmdline::tokens(cmdline).filter_map(stale).collect()
}

fn without_stale(cmdline: &str, machine: &Machine) -> String {
    cmdline::edit(cmdline, |token| fault(token, cmdline, machine).map_or(Change::Keep, |(_, change)| change))
}

/// What is wrong with a token of a command line, and what becomes of it.
fn fault(token: &str, cmdline: &str, machine: &Machine) -> Option<(&'static str, Change)> {
    let value = |key| cmdline::value(token, key);
    let is_number = |key, wrong: fn(u64) -> bool| value(key).and_then(|n| n.parse().ok()).is_some_and(wrong);
    let absent = |spec: &str| devices::named(machine, spec, None) == Named::Absent;
    let hibernates = || !cmdline::values(cmdline, "resume_offset").is_empty();
    let instead = |new: &str| Change::Replace(new.to_owned());
    Some(if is_number("rootdelay", |seconds| seconds > 5) {
        ("is a sleep at every boot", Change::Drop)
    } else if value("resume").is_some_and(|spec| devices::is_disk_name(spec) || absent(spec)) {
        ("waits for a device of EC2", Change::Drop)
    } else if value("resume_offset").is_some() || (value("resume").is_some() && hibernates()) {
        ("is for the hibernation of EC2", Change::Drop)
    } else if value("clocksource").is_some_and(|clock| matches!(clock, "xen" | "kvm-clock")) {
        ("is no clock of Hyper-V", Change::Drop)
    } else if matches!(token, "rd.shell=0" | "rd.emergency=poweroff") {
        ("hides why a boot fails", Change::Drop)
    } else if value("panic").is_some_and(|seconds| matches!(seconds, "-1" | "1")) {
        ("hides why a boot fails", instead("panic=30"))
    } else if is_number("nvme_core.io_timeout", |seconds| seconds > 240) {
        ("is not the 240 s that Azure asks for", instead("nvme_core.io_timeout=240"))
    } else if matches!(token, "quiet" | "rhgb" | "splash=silent") {
        ("hides the boot from the serial console", Change::Drop)
    } else if value("crashkernel") == Some("auto") {
        (
            "is a size that newer kernels do not know, and too much for small machines: kdump needs a number",
            Change::Drop,
        )
    } else if token.starts_with("xen_blkfront.") || token.starts_with("xen_nopvspin") {
        ("is for Xen", Change::Drop)
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID, grub_cfg};

    #[test]
    fn stale_arguments_go_and_others_stay() {
        let root = format!("UUID={ROOT_UUID}");
        let bench = Bench::debian()
            .file("/boot/grub/grub.cfg", grub_cfg(&root, "rootdelay=300 nosmt resume=/dev/xvda3 rd.shell=0"))
            .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"clocksource=xen console=ttyS0\"\n");
        let found = bench.findings(&RULE);
        assert_eq!(found.len(), 7);
        assert_eq!(found[0], "/boot/grub/grub.cfg:4: rootdelay=300 is a sleep at every boot");
        assert_eq!(found[6], "/etc/default/grub:1: clocksource=xen is no clock of Hyper-V");
        bench.mended(&RULE, |view| {
            assert_eq!(view.text("/boot/grub/grub.cfg").unwrap().unwrap(), grub_cfg(&root, "nosmt"));
            let defaults = view.text("/etc/default/grub").unwrap().unwrap();
            assert_eq!(defaults, "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n");
        });
        let fine = Bench::debian().file(
            "/boot/grub/grub.cfg",
            grub_cfg(
                &root,
                &format!("rootdelay=5 resume=UUID={BOOT_UUID} clocksource=tsc panic=10 crashkernel=256M"),
            ),
        );
        assert_eq!(fine.findings(&RULE), [""; 0]);
    }
    #[test]
    fn what_ec2_asks_for_is_dropped_or_gets_the_value_of_azure() {
        let root = format!("UUID={ROOT_UUID}");
        for (before, after) in [
            ("nvme_core.io_timeout=4294967295 nosmt panic=-1", "nvme_core.io_timeout=240 nosmt panic=30"),
            ("nosmt resume=UUID=dead-beef", "nosmt"),
            ("rhgb nosmt quiet splash=silent crashkernel=auto", "nosmt"),
            ("nosmt resume=PARTUUID=1ec2a517-01 resume_offset=34816", "nosmt"),
        ] {
            let bench = Bench::debian().file("/boot/grub/grub.cfg", grub_cfg(&root, before));
            assert_eq!(bench.mended_text(&RULE, "/boot/grub/grub.cfg"), grub_cfg(&root, after));
        }
    }
}
