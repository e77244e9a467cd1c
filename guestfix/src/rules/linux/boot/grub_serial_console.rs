//! linux.grub.serial-console

use super::{boot_entries, grub_defaults};
use crate::facts::{CommandLine, Site};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::text::cmdline::{self, Change};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A kernel that does not talk to Azure's serial console.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.grub.serial-console",
        title: "the kernel talks to the first serial port",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "Azure's serial console and boot diagnostics show ttyS0. hvc0 is Xen's console and is not \
                there on Azure; without ttyS0 nobody sees why a boot fails.",
        fix: "In every boot entry, in what entries share, and in /etc/kernel/cmdline and /etc/default/grub: \
              hvc0 and xencons go, and console=tty1 console=ttyS0,115200n8 earlyprintk=ttyS0,115200 are \
              there, the serial port last. rootdelay is never added.",
        source: &[
            Source::new(
                "Microsoft Learn",
                "Prepare Linux for imaging in Azure (create-upload-generic)",
                "2026-09",
            ),
            Source::new("Azure serial console for Linux", "", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const SERIAL: &str = "console=ttyS0,115200n8";
/// Where nothing names a screen.
const SCREEN: &str = "tty1";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if guest.facts.boot.entries.is_empty() {
        return Ok(Finding::NotApplicable("no boot entries were found"));
    }
    if guest.facts.os.as_ref().is_some_and(|os| os.arch == Some("aarch64")) {
        return Ok(Finding::NotApplicable("the serial port of an Arm machine has another name"));
    }
    let cmdlines = guest.facts.boot.cmdlines.iter();
    let mut evidence: Vec<Evidence> =
        cmdlines.filter_map(|cmdline| Some(Evidence::new(&cmdline.place, fault_of(cmdline)?))).collect();
    if let Some(what) = grub_defaults::cmdline(guest.view)?.and_then(|cmdline| fault(&cmdline)) {
        evidence.push(Evidence::new(grub_defaults::place(guest.view)?, what));
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    // what entries share first: then some of them are well already
    for shared in [true, false] {
        boot_entries::edit_cmdlines(stage, |cmdline| {
            fault_of(cmdline).filter(|_| is_shared(cmdline) == shared)?;
            Some(match cmdline.complete {
                Some(_) => with_consoles(&without_serial(&cmdline.written)),
                None => without_serial(&cmdline.written),
            })
        })?;
    }
    let defaults = grub_defaults::cmdline(stage.guest()?.view)?;
    if let Some(defaults) = defaults.filter(|cmdline| fault(cmdline).is_some()) {
        // the screen that entries keep is that of the entries to come
        let consoles = cmdline::values(&defaults, "console");
        let screen = consoles.into_iter().find(|name| name.starts_with("tty") && !is_serial(name));
        let screen = format!("console={}", screen.unwrap_or(SCREEN));
        grub_defaults::edit_cmdlines(stage, without_consoles)?;
        grub_defaults::edit_common(stage, |common| with_consoles(&cmdline::append(common, &screen)))?;
    }
    Ok(Fixed::Staged)
}

/// A part has no more to be than without Xen.
fn fault_of(cmdline: &CommandLine) -> Option<String> {
    match &cmdline.complete {
        Some(complete) => fault(complete),
        None => xen(&cmdline.written),
    }
}

fn is_shared(cmdline: &CommandLine) -> bool {
    !matches!(cmdline.site, Site::Linux | Site::Options | Site::Kernel | Site::Append)
}

fn xen(cmdline: &str) -> Option<String> {
    let token = cmdline::tokens(cmdline).find(|token| is_xen(token))?;
    Some(format!("{token} is a console of Xen"))
}

fn fault(cmdline: &str) -> Option<String> {
    let consoles = cmdline::values(cmdline, "console");
    match (xen(cmdline), consoles.iter().position(|console| is_serial(console))) {
        (Some(xen), _) => Some(xen),
        // a recovery entry is for whoever sits before the screen
        (None, None) if cmdline::tokens(cmdline).any(|token| matches!(token, "single" | "recovery")) => None,
        (None, None) => Some("no console=ttyS0".into()),
        (None, Some(_)) if !consoles.last().is_some_and(|last| is_serial(last)) => {
            Some("console=ttyS0 is not the last console".into())
        }
        _ => None,
    }
}

fn is_xen(token: &str) -> bool {
    let console = cmdline::value(token, "console")
        .is_some_and(|name| name.starts_with("hvc") || name.starts_with("xvc"));
    console
        || cmdline::value(token, "xencons").is_some()
        || cmdline::value(token, "earlyprintk").is_some_and(|to| to.contains("xen"))
}

fn is_serial(console: &str) -> bool {
    console == "ttyS0" || console.starts_with("ttyS0,")
}

fn without_serial(cmdline: &str) -> String {
    let drop = |token: &str| is_xen(token) || cmdline::value(token, "console").is_some_and(is_serial);
    cmdline::edit(cmdline, |token| if drop(token) { Change::Drop } else { Change::Keep })
}

/// Without any console, where two variables are put together and only the order of the sum counts.
fn without_consoles(cmdline: &str) -> String {
    let drop = |token: &str| is_xen(token) || cmdline::value(token, "console").is_some();
    cmdline::edit(cmdline, |token| if drop(token) { Change::Drop } else { Change::Keep })
}

fn with_consoles(cmdline: &str) -> String {
    let mut out = cmdline.to_owned();
    if !cmdline::values(cmdline, "console").iter().any(|console| console.starts_with("tty")) {
        out = cmdline::append(&out, &format!("console={SCREEN}"));
    }
    out = cmdline::append(&out, SERIAL);
    if cmdline::values(cmdline, "earlyprintk").is_empty() {
        out = cmdline::append(&out, "earlyprintk=ttyS0,115200");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    #[test]
    fn the_consoles_of_xen_go_and_the_serial_port_comes_last() {
        for (before, after) in [
            (
                "console=hvc0 xencons=tty quiet",
                "quiet console=tty1 console=ttyS0,115200n8 earlyprintk=ttyS0,115200",
            ),
            ("console=ttyS0 console=tty0", "console=tty0 console=ttyS0,115200n8 earlyprintk=ttyS0,115200"),
            ("earlyprintk=xen quiet", "quiet console=tty1 console=ttyS0,115200n8 earlyprintk=ttyS0,115200"),
        ] {
            assert!(fault(before).is_some());
            let mended = with_consoles(&without_serial(before));
            assert_eq!(mended.trim(), after);
            assert_eq!(fault(&mended), None);
        }
        for fine in ["console=ttyS0", "ro single", "quiet console=tty1 console=ttyS0,9600n8"] {
            assert_eq!(fault(fine), None);
        }
    }

    #[test]
    fn entries_and_defaults_are_mended() {
        let root = format!("UUID={ROOT_UUID}");
        let bench = Bench::debian()
            .file("/boot/grub/grub.cfg", grub_cfg(&root, "console=hvc0 quiet"))
            .file(
                "/etc/default/grub",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"console=hvc0\"\n",
            )
            .file("/etc/default/grub.d/50-cloud.cfg", "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty0 splash\"\n");
        assert_eq!(bench.findings(&RULE).len(), 3);
        bench.mended(&RULE, |view| {
            let consoles = "quiet console=tty1 console=ttyS0,115200n8 earlyprintk=ttyS0,115200";
            assert_eq!(view.text("/boot/grub/grub.cfg").unwrap().unwrap(), grub_cfg(&root, consoles));
            let common = "console=tty0 console=ttyS0,115200n8 earlyprintk=ttyS0,115200";
            let defaults = format!("GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"{common}\"\n");
            assert_eq!(view.text("/etc/default/grub").unwrap().unwrap(), defaults);
            let later = view.text("/etc/default/grub.d/50-cloud.cfg").unwrap().unwrap();
            assert_eq!(later, "GRUB_CMDLINE_LINUX_DEFAULT=\"splash\"\n");
        });
    }

    #[test]
    fn a_console_in_a_later_file_counts() {
        let bench = Bench::debian().file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n").file(
            "/etc/default/grub.d/50-cloud.cfg",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty1 console=ttyS0\"\n",
        );
        assert_eq!(bench.findings(&RULE), [""; 0]);
    }

    #[test]
    fn the_screen_is_the_same_in_entries_and_defaults() {
        let root = format!("UUID={ROOT_UUID}");
        let bench = Bench::debian()
            .file("/boot/grub/grub.cfg", grub_cfg(&root, "console=tty0 console=hvc0"))
            .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"console=tty0 console=hvc0\"\n");
        let after = "console=tty0 console=ttyS0,115200n8 earlyprintk=ttyS0,115200";
        bench.mended(&RULE, |view| {
            assert_eq!(view.text("/boot/grub/grub.cfg").unwrap().unwrap(), grub_cfg(&root, after));
            let defaults = view.text("/etc/default/grub").unwrap().unwrap();
            assert_eq!(defaults, format!("GRUB_CMDLINE_LINUX=\"{after}\"\n"));
        });
    }
}
