//! linux.integrity

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::systemd;
use crate::text::cmdline;
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Programs that watch over files.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.integrity",
        title: "nothing will object to files that were changed offline",
        pack: Pack::Linux,
        phase: Phase::Identity,
        severity: Severity::Note,
        cause: "fapolicyd lets only programs run that it knows, IMA only files that are signed, AIDE \
                reports each change. A plan changes configuration and initramfs images, and adds no \
                program; but an appraisal that covers those too would refuse them.",
        fix: "see in the plan which files change, and whether the policy covers them; make AIDE's database \
              anew after the first boot",
        source: &[
            Source::new("fapolicyd(8)", "", "2026-11"),
            Source::new("Linux", "Documentation/ABI/testing/ima_policy", "2026-11"),
            Source::new("aide(1)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

const POLICIES: [&str; 2] = ["/etc/ima/ima-policy", "/etc/ima-policy"];
const DATABASES: [&str; 2] = ["/var/lib/aide/aide.db.gz", "/var/lib/aide/aide.db"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = systemd::started(guest.view, &["fapolicyd.service"])?;
    for (paths, what) in [(POLICIES, "a policy of IMA"), (DATABASES, "AIDE knows all files by digest")] {
        for path in paths {
            if guest.view.exists(path)? {
                evidence.push(Evidence::new(path, what));
            }
        }
    }
    for cmdline in &guest.facts.boot.cmdlines {
        let appraises = |token: &&str| {
            cmdline::value(token, "ima_appraise").is_some_and(|mode| mode != "off")
                || cmdline::value(token, "ima_policy").is_some_and(|policy| policy.contains("appraise"))
        };
        let token = cmdline::tokens(&cmdline.written).find(appraises);
        evidence.extend(token.map(|token| Evidence::new(&cmdline.place, token)));
    }
    Ok(Finding::from_evidence(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, grub_cfg};

    #[test]
    fn watchers_are_named() {
        let link = "/etc/systemd/system/multi-user.target.wants/fapolicyd.service";
        let bench = Bench::debian()
            .link(link, "/usr/lib/systemd/system/fapolicyd.service")
            .file("/etc/ima/ima-policy", "appraise func=BPRM_CHECK\n")
            .file("/boot/grub/grub.cfg", grub_cfg("UUID=x", "ima_appraise=enforce"));
        let found = bench.findings(&RULE);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0], format!("{link}: starts fapolicyd.service"));
        bench.by_hand(&RULE);
    }
}
