//! linux.grub.stale-arguments

use super::{boot_entries, grub_defaults};
use crate::inspect::devices;
use crate::rule::Evidence;
use crate::text::cmdline::{self, Change};
use crate::text::shell_assign;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// Kernel arguments that made sense on EC2 or Xen only, or never.
pub(in crate::rules) struct GrubStaleArguments;

static META: RuleMeta = RuleMeta {
    id: "linux.grub.stale-arguments",
    title: "no kernel argument is left that slows or hides the boot on Azure",
    phase: Phase::Boot,
    severity: Severity::Warning,
    cause: "rootdelay=300 is an unconditional sleep of five minutes in initramfs-tools; resume= from a device of EC2 waits 30 s for it; \
            clocksource=xen is not there; rd.shell=0 and rd.emergency=poweroff make a failed boot end without a word.",
    fix: "These arguments go, in every boot entry and in /etc/default/grub.",
    source: "measured boots (rootdelay: 306 s), 2026-11-23; azure-docs issue 80400, 2021; virt-v2v 71376bdb, resume= (behaviour), 2026",
};

impl Rule for GrubStaleArguments {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let mut evidence = Vec::new();
        for entry in &guest.facts.boot.entries {
            let stale = cmdline::tokens(&entry.cmdline).filter_map(|token| Some((token, fault(token)?)));
            evidence.extend(stale.map(|(token, why)| Evidence::new(&entry.place, format!("{token} {why}"))));
        }
        for file in grub_defaults::files(guest.view)? {
            let text = guest.view.text(&file)?.unwrap_or_default();
            for assignment in
                shell_assign::assignments(&text).iter().filter(|one| grub_defaults::is_cmdline(one.key))
            {
                let stale =
                    cmdline::tokens(assignment.value).filter_map(|token| Some((token, fault(token)?)));
                let place = format!("{file}:{}", assignment.line);
                evidence.extend(stale.map(|(token, why)| Evidence::new(&place, format!("{token} {why}"))));
            }
        }
        Ok(Finding::from_evidence(evidence))
    }

    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
        boot_entries::edit_cmdlines(stage, |entry| Some(without_stale(&entry.cmdline)))?;
        grub_defaults::edit_cmdlines(stage, without_stale)?;
        Ok(Fixed::Staged)
    }
}

fn without_stale(cmdline: &str) -> String {
    cmdline::edit(cmdline, |token| if fault(token).is_some() { Change::Drop } else { Change::Keep })
}

/// What is wrong with a token.
fn fault(token: &str) -> Option<&'static str> {
    let value = |key| cmdline::value(token, key);
    if value("rootdelay").is_some_and(|seconds| seconds.parse().is_ok_and(|seconds: u32| seconds > 5)) {
        return Some("is a sleep at every boot");
    }
    if value("resume").is_some_and(devices::is_disk_name) {
        return Some("waits for a device of EC2");
    }
    if value("clocksource").is_some_and(|clock| matches!(clock, "xen" | "kvm-clock")) {
        return Some("is no clock of Hyper-V");
    }
    if matches!(token, "rd.shell=0" | "rd.emergency=poweroff") {
        return Some("hides why a boot fails");
    }
    (token.starts_with("xen_blkfront.") || token.starts_with("xen_nopvspin")).then_some("is for Xen")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    #[test]
    fn stale_arguments_go_and_others_stay() {
        let root = format!("UUID={ROOT_UUID}");
        let bench = Bench::debian()
            .file("/boot/grub/grub.cfg", grub_cfg(&root, "rootdelay=300 quiet resume=/dev/xvda3 rd.shell=0"))
            .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"clocksource=xen console=ttyS0\"\n");
        let found = bench.findings(&GrubStaleArguments);
        assert_eq!(found.len(), 7);
        assert_eq!(found[0], "/boot/grub/grub.cfg:4: rootdelay=300 is a sleep at every boot");
        assert_eq!(found[6], "/etc/default/grub:1: clocksource=xen is no clock of Hyper-V");
        bench.mended(&GrubStaleArguments, |view| {
            assert_eq!(view.text("/boot/grub/grub.cfg").unwrap().unwrap(), grub_cfg(&root, "quiet"));
            let defaults = view.text("/etc/default/grub").unwrap().unwrap();
            assert_eq!(defaults, "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n");
        });
        let fine = Bench::debian()
            .file("/boot/grub/grub.cfg", grub_cfg(&root, "rootdelay=5 resume=UUID=1 clocksource=tsc"));
        assert_eq!(fine.findings(&GrubStaleArguments), [""; 0]);
    }
}
