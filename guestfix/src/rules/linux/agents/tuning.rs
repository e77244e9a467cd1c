//! linux.tuning

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::{Line, cmdline};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity, View};

/// What was tuned for the hardware of EC2.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.tuning",
        title: "nothing is tuned for the processors, disks and screens of EC2",
        pack: Pack::Linux,
        phase: Phase::Identity,
        severity: Severity::Note,
        cause: "Idle states and clocks on the command line, queue settings of disks in rules of udev, and \
                cards that xorg.conf names by their place on the bus are measured on one kind of machine. \
                On Azure they do nothing, or harm.",
        fix: "see whether it is of use on Azure, and take it away where it is not",
        source: &[
            Source::new("Linux", "admin-guide/kernel-parameters and block/queue-sysfs", "2026-11"),
            Source::new("xorg.conf(5)", "BusID", "2026"),
            Source::new("AWS", "Processor state control", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

const TOKENS: [&str; 6] =
    ["tsc=reliable", "idle=poll", "idle=nomwait", "nohlt", "intel_idle.max_cstate=", "processor.max_cstate="];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for line in guest.facts.boot.cmdlines.iter().filter(|line| line.complete.is_some()) {
        let tuned = cmdline::tokens(&line.written).filter(|token| {
            TOKENS.iter().any(|known| token == known || (known.ends_with('=') && token.starts_with(known)))
        });
        evidence.extend(tuned.map(|token| Evidence::new(&line.place, format!("{token} is tuned for EC2"))));
    }
    let queues = guest.view.glob("/etc/udev/rules.d", ".rules")?;
    let is_queue = |line: &Line<'_>| {
        let body = line.body.trim();
        let of_ec2 = body.contains("\"nvme") || body.contains("\"xvd");
        (!body.starts_with('#') && of_ec2 && body.contains("ATTR{queue/")).then(|| body.to_owned())
    };
    evidence.extend(linewise::faults(guest.view, &queues, is_queue)?);
    let screens = screens(guest.view)?;
    evidence.extend(linewise::faults(guest.view, &screens, |line| {
        let key = line.words().next()?;
        key.eq_ignore_ascii_case("BusID").then(|| line.body.trim().to_owned())
    })?);
    Ok(Finding::from_evidence(evidence))
}

fn screens(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/X11/xorg.conf".to_owned()];
    files.extend(view.glob("/etc/X11/xorg.conf.d", ".conf")?);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, grub_cfg};

    #[test]
    fn what_is_tuned_is_named() {
        let rule = "/etc/udev/rules.d/60-scheduler.rules";
        let bench = Bench::debian()
            .file("/boot/grub/grub.cfg", grub_cfg("UUID=1", "intel_idle.max_cstate=1 quiet tsc=reliable"))
            .file(rule, "KERNEL==\"nvme*\", ATTR{queue/scheduler}=\"none\"\n")
            .file("/etc/X11/xorg.conf", "Section \"Device\"\n  BusID \"PCI:0:30:0\"\nEndSection\n");
        let found = bench.findings(&RULE);
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(found[0], "/boot/grub/grub.cfg:4: intel_idle.max_cstate=1 is tuned for EC2");
        assert_eq!(found[4], format!("{rule}:1: KERNEL==\"nvme*\", ATTR{{queue/scheduler}}=\"none\""));
        assert_eq!(found[5], "/etc/X11/xorg.conf:2: BusID \"PCI:0:30:0\"");
        bench.by_hand(&RULE);
        let fine = Bench::debian()
            .file("/boot/grub/grub.cfg", grub_cfg("UUID=1", "clocksource=tsc"))
            .file(rule, "KERNEL==\"sd*\", ATTR{queue/scheduler}=\"none\"\n");
        assert_eq!(fine.findings(&RULE), [""; 0]);
    }
}
