//! linux.modprobe.blacklist

use crate::platform::Drivers;
use crate::rule::{Applies, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::{Line, comment_out, modprobe};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Drivers that somebody forbade and that Azure needs.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.modprobe.blacklist",
        title: "modprobe may load what Azure needs",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "Hardening guides forbid modules of other hypervisors, udf and vfat. On Azure those of Hyper-V are disk \
                and network, vfat is the EFI partition and udf the provisioning disc.",
        fix: "The blacklist and install lines of these modules become comments.",
        source: &[
            Source::new("Microsoft Learn", "Prepare Linux for imaging in Azure (udf and vfat)", "2026-09"),
            Source::new("linux-hyperv-issue", "Scenario 3", "2026"),
            Source::new("modprobe.d(5)", "", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let drivers = &guest.goal.target.platform.drivers;
    let what = |line: &Line<'_>| forbidden(line, drivers).map(|module| format!("{module} is blacklisted"));
    Ok(Finding::from_evidence(linewise::faults(guest.view, &files(guest.view)?, what)?))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (files, platform) = (files(guest.view)?, guest.goal.target.platform);
    let why = format!("{} needs this module", platform.name);
    let allowed = |line: &Line<'_>| forbidden(line, &platform.drivers).map(|_| comment_out(line.body, &why));
    linewise::rewrite(stage, &files, allowed)?;
    Ok(Fixed::Staged)
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = Vec::new();
    // on a merged /usr the last two are one
    for dir in ["/etc/modprobe.d", "/usr/lib/modprobe.d"] {
        files.extend(view.glob(dir, ".conf")?);
    }
    if view.exists("/etc/modprobe.conf")? {
        files.push("/etc/modprobe.conf".into());
    }
    Ok(files)
}

/// The module that a line forbids and the platform needs.
fn forbidden(line: &Line<'_>, drivers: &Drivers) -> Option<&'static str> {
    let module = modprobe::forbidden(line)?;
    drivers.allowed.iter().find(|needed| **needed == module).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn lines_that_forbid_become_comments() {
        let text = "# hardening\nblacklist hv-vmbus\nblacklist floppy\ninstall udf /bin/true\ninstall vfat /sbin/modprobe --ignore-install vfat\n";
        let bench = Bench::debian().file("/etc/modprobe.d/cis.conf", text);
        let found = bench.findings(&RULE);
        assert_eq!(
            found,
            [
                "/etc/modprobe.d/cis.conf:2: hv_vmbus is blacklisted",
                "/etc/modprobe.d/cis.conf:4: udf is blacklisted"
            ]
        );
        let mended = bench.mended_text(&RULE, "/etc/modprobe.d/cis.conf");
        let why = "# refloat: Azure needs this module: ";
        let expected = text
            .replace("blacklist hv", &format!("{why}blacklist hv"))
            .replace("install udf", &format!("{why}install udf"));
        assert_eq!(mended, expected);
    }
}
