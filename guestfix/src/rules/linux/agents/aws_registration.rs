//! linux.aws.registration

use super::aws_repositories::is_rhui;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::Line;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A machine that gets its updates as an instance of EC2.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.registration",
        title: "the machine is registered for updates that it can get on Azure",
        pack: Pack::Linux,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "The update servers that Red Hat and SUSE run inside AWS answer to instances of EC2 only, \
                and those of Amazon Linux are in S3: there are no updates until the machine is registered \
                elsewhere.",
        fix: "None offline: registration needs a subscription, or a package and certificates of Azure's own \
              servers. linux.aws.repositories disables what cannot answer.",
        source: &[
            Source::new("Microsoft Learn", "Red Hat Update Infrastructure for Azure", "2026"),
            Source::new("SUSE", "Public Cloud registration (registercloudguest)", "2026"),
            Source::new("AWS", "Amazon Linux 2023 repositories", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

/// A directory, the end of a file's name, whether a line is one, whose it is, what to do.
type Registration = (&'static str, &'static str, fn(&str) -> bool, &'static str, &'static str);

const SOURCES: &[Registration] = &[
    (
        "/etc/yum.repos.d",
        ".repo",
        is_rhui,
        "updates come from Red Hat's servers inside AWS",
        "on Azure, remove rh-amazon-rhui-client and install Azure's rhui client package, or register with subscription-manager",
    ),
    (
        "/etc/yum.repos.d",
        ".repo",
        |line| line.contains("$awsregion") || line.contains("amazonlinux."),
        "updates come from Amazon's own servers",
        "see which of Amazon's repositories answer outside AWS (dnf repolist, dnf makecache), or plan to move to another distribution",
    ),
    (
        "/etc",
        "regionserverclnt.cfg",
        |line| line.contains("ec2"),
        "updates come from SUSE's servers inside AWS",
        "on Azure, install cloud-regionsrv-client-plugin-azure and run registercloudguest --force-new, or register with SUSEConnect",
    ),
];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for source in SOURCES {
        evidence.extend(first(guest.view, source)?);
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let view = stage.guest()?.view;
    let mut advice = Vec::new();
    for source in SOURCES {
        advice.extend(first(view, source)?.map(|_| source.4));
    }
    Ok(Fixed::ByHand(advice.join("; ")))
}

/// The first line that names such a server; the others of its kind add nothing.
fn first(view: &dyn View, source: &Registration) -> Result<Option<Evidence>> {
    let (dir, suffix, is_one, whose, _) = source;
    let hit = |line: &Line<'_>| {
        let is_comment = line.body.trim_start().starts_with(['#', ';']);
        (!is_comment && is_one(line.body)).then(|| (*whose).to_owned())
    };
    Ok(linewise::faults(view, &view.glob(dir, suffix)?, hit)?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn servers_inside_aws_are_named() {
        for (path, text, whose) in [
            (
                "/etc/yum.repos.d/redhat-rhui.repo",
                "[rhel-9]\n# rhui.\nmirrorlist=https://rhui.REGION.aws.ce.redhat.com/pulp/mirror\n",
                "updates come from Red Hat's servers inside AWS",
            ),
            (
                "/etc/yum.repos.d/amazonlinux.repo",
                "[amazonlinux]\n\nmirrorlist=https://cdn.amazonlinux.com/al2023/core/mirrors/$releasever/$basearch/mirror.list\n",
                "updates come from Amazon's own servers",
            ),
            (
                "/etc/regionserverclnt.cfg",
                "[server]\n[instance]\ninstanceArgs = ec2metadata --api latest\n",
                "updates come from SUSE's servers inside AWS",
            ),
        ] {
            let bench = Bench::debian().file(path, text);
            assert_eq!(bench.findings(&RULE), [format!("{path}:3: {whose}")]);
            bench.by_hand(&RULE);
        }
        let fine = Bench::debian()
            .file("/etc/yum.repos.d/rocky.repo", "[baseos]\nmirrorlist=https://mirrors.rockylinux.org/x\n")
            .file("/etc/yum.repos.d/tool.repo", "[tool]\nbaseurl=https://tool.s3.amazonaws.com/rpm\n")
            .file(
                "/etc/yum.repos.d/rh-cloud.repo",
                "[x]\nbaseurl=https://rhui-1.microsoft.com/pulp/repos/content/dist/rhel/rhui/server/7/os\n",
            );
        assert_eq!(fine.findings(&RULE), [""; 0]);
    }
}
