//! linux.aws.repositories

use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::{ini, rewrite};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Repositories that answer to instances of EC2 only.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.repositories",
        title: "no repository is asked that answers inside AWS only",
        pack: Pack::Linux,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "Red Hat's update servers inside AWS answer to instances of EC2 only. On Azure dnf and yum \
                wait for each of them, and then refuse to install anything, from other repositories too.",
        fix: "These repositories get enabled=0; their files stay. linux.aws.registration says where updates \
              come from instead.",
        source: &[
            Source::new("Microsoft Learn", "Red Hat Update Infrastructure for Azure", "2026"),
            Source::new("dnf.conf(5)", "enabled", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const DIR: &str = "/etc/yum.repos.d";
const ADDRESSES: [&str; 3] = ["mirrorlist", "baseurl", "metalink"];

/// A repository inside AWS that is in use.
struct Hit {
    name: String,
    /// The line of its address.
    address: usize,
    /// The line that enables it; without one it is enabled.
    enabled: Option<usize>,
}

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for file in files(guest.view)? {
        for hit in hits(&guest.view.text(&file)?.unwrap_or_default()) {
            let what = format!("{} is on Red Hat's servers inside AWS", hit.name);
            evidence.push(Evidence::new(Place::line(&file, hit.address), what));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    for file in files(stage.guest()?.view)? {
        stage.edit(&file, disabled)?;
    }
    Ok(Fixed::Staged)
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    view.glob(DIR, ".repo")
}

/// Whether an address is one of Red Hat's update infrastructure, and not of that in Azure.
pub(in crate::rules) fn is_rhui(text: &str) -> bool {
    ["rhui.", "//rhui", "/rhui/"].iter().any(|mark| text.contains(mark)) && !text.contains(".microsoft.com")
}

fn hits(text: &str) -> Vec<Hit> {
    let entries = ini::entries(text);
    let mut out: Vec<Hit> = Vec::new();
    for entry in &entries {
        let known = out.last().is_some_and(|hit| hit.name == entry.section);
        if known || !ADDRESSES.contains(&entry.key) || !is_rhui(entry.value) {
            continue;
        }
        let switch = entries.iter().rfind(|other| other.section == entry.section && other.key == "enabled");
        let is_off =
            |value: &str| matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off");
        if !switch.is_some_and(|switch| is_off(switch.value)) {
            let (name, enabled) = (entry.section.to_owned(), switch.map(|switch| switch.line));
            out.push(Hit { name, address: entry.line, enabled });
        }
    }
    out
}

fn disabled(text: &str) -> String {
    let hits = hits(text);
    rewrite(text, |line| {
        if hits.iter().any(|hit| hit.enabled == Some(line.number)) {
            return Some("enabled=0".into());
        }
        let added = hits.iter().any(|hit| hit.enabled.is_none() && hit.address == line.number);
        added.then(|| format!("{}\nenabled=0", line.body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn repositories_inside_aws_are_disabled() {
        let path = "/etc/yum.repos.d/redhat-rhui.repo";
        let inside = "mirrorlist=https://rhui.REGION.aws.ce.redhat.com/pulp/mirror";
        let text = format!(
            "[rhel-9-baseos]\nenabled = 1\n{inside}/a\ngpgcheck=1\n\n[rhel-9-debug]\nenabled=0\n{inside}/b\n\n[rhel-9-appstream]\n{inside}/c\n\n\
             [epel]\nmetalink=https://mirrors.fedoraproject.org/metalink\nenabled=1\n"
        );
        let bench = Bench::debian().file(path, &text);
        assert_eq!(
            bench.findings(&RULE),
            [
                format!("{path}:3: rhel-9-baseos is on Red Hat's servers inside AWS"),
                format!("{path}:11: rhel-9-appstream is on Red Hat's servers inside AWS")
            ]
        );
        let expected = text.replace("enabled = 1", "enabled=0").replace("/c\n", "/c\nenabled=0\n");
        assert_eq!(bench.mended_text(&RULE, path), expected);
    }

    #[test]
    fn other_repositories_stay() {
        let bench = Bench::debian()
            .file("/etc/yum.repos.d/rocky.repo", "[baseos]\nmirrorlist=https://mirrors.rockylinux.org/x\n")
            .file(
                "/etc/yum.repos.d/amazonlinux.repo",
                "[core]\nmirrorlist=https://cdn.amazonlinux.com/al2023\n",
            )
            .file(
                "/etc/yum.repos.d/azure.repo",
                "[x]\nbaseurl=https://rhui-1.microsoft.com/rhui/server/7/os\n",
            );
        assert_eq!(bench.findings(&RULE), [""; 0]);
    }
}
