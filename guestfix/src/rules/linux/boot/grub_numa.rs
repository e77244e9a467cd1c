//! linux.grub.numa

use super::boot_entries;
use crate::Facts;
use crate::facts::CommandLine;
use crate::inspect::compare_versions;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::text::cmdline;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A kernel too old for the memory of Azure's hosts.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.grub.numa",
        title: "kernels before 2.6.37 are told of one memory node only",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "Kernels before 2.6.37, and Red Hat's before 2.6.32-504, have a fault with NUMA on Hyper-V \
                in machines of larger sizes.",
        fix: "numa=off is added to the entries of such kernels.",
        source: &[
            Source::new(
                "Microsoft Learn",
                "Prepare Linux for imaging in Azure (create-upload-generic)",
                "2026-09",
            ),
            Source::new("Azure/AzMigrate-Hydration 4337598c", "", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let cmdlines = guest.facts.boot.cmdlines.iter();
    let evidence = cmdlines.filter_map(|cmdline| {
        let version = affected(guest.facts, cmdline)?;
        Some(Evidence::new(&cmdline.place, format!("{version} without numa=off")))
    });
    Ok(Finding::from_evidence(evidence.collect()))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let facts = stage.guest()?.facts.clone();
    boot_entries::edit_cmdlines(stage, |line| {
        affected(&facts, line).map(|_| cmdline::append(&line.written, "numa=off"))
    })?;
    Ok(Fixed::Staged)
}

/// The old kernel that this command line is for, and that is not told yet.
fn affected<'a>(facts: &'a Facts, line: &CommandLine) -> Option<&'a str> {
    let entry = facts.boot.entry_of(line)?;
    let version = facts.kernel_of(entry)?.version.as_str();
    let told = cmdline::values(&entry.cmdline, "numa").last() == Some(&"off");
    (is_old(version) && !told).then_some(version)
}

fn is_old(version: &str) -> bool {
    if version.contains(".el6") {
        return compare_versions(version, "2.6.32-504").is_lt();
    }
    compare_versions(version, "2.6.37").is_lt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn old_kernels_are_told_and_others_not() {
        for (version, expected) in [
            ("2.6.32-431.el6.x86_64", true),
            ("2.6.32-504.el6.x86_64", false),
            ("2.6.32-754.35.1.el6.x86_64", false),
            ("2.6.32.12-0.7-default", true),
            ("3.0.76-0.11-default", false),
            ("2.6.37", false),
        ] {
            assert_eq!(is_old(version), expected, "{version}");
        }
        let version = "2.6.32-431.el6.x86_64";
        let menu = format!("default 0\ntitle x\nkernel /boot/vmlinuz-{version} ro rhgb\n");
        let bench = Bench::debian()
            .without("/boot/grub/grub.cfg")
            .file(&format!("/boot/vmlinuz-{version}"), "")
            .file(&format!("/lib/modules/{version}/modules.dep"), "")
            .file("/boot/grub/grub.conf", &menu);
        assert_eq!(bench.findings(&RULE), [format!("/boot/grub/grub.conf:3: {version} without numa=off")]);
        assert_eq!(bench.mended_text(&RULE, "/boot/grub/grub.conf"), menu.replace("rhgb", "rhgb numa=off"));
    }
}
