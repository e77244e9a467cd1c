//! linux.aws.repositories

use super::linewise;
use crate::rule::Evidence;
use crate::text::Line;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Repositories that only instances of EC2 may use.
pub(in crate::rules) struct AwsRepositories;

static META: RuleMeta = RuleMeta {
    id: "linux.aws.repositories",
    title: "packages come from repositories that answer on Azure",
    phase: Phase::Agent,
    severity: Severity::Note,
    cause: "The update servers that Red Hat and SUSE run inside AWS answer to instances of EC2 only, and those of Amazon Linux are in S3: there are no \
            updates until the machine is registered elsewhere.",
    fix: "None offline: registration needs a subscription, or a package and certificates of Azure's own servers.",
    source: "Microsoft Learn, Red Hat Update Infrastructure for Azure, 2026; SUSE, Public Cloud registration (registercloudguest), 2026; \
             AWS, Amazon Linux 2023 repositories, 2026",
};

/// A directory or file, the end of a file's name, what a line has in it, whose it is, what to do.
type Source = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);

const SOURCES: &[Source] = &[
    (
        "/etc/yum.repos.d",
        ".repo",
        &["rhui.", "//rhui", "/rhui/"],
        "Red Hat's servers inside AWS",
        "install Azure's rhui client package, or register with subscription-manager, and remove rh-amazon-rhui-client",
    ),
    (
        "/etc/yum.repos.d",
        ".repo",
        &["$awsregion", "amazonlinux."],
        "Amazon's own servers",
        "Amazon Linux outside AWS: see which of its repositories answer, or move to another distribution",
    ),
    (
        "/etc",
        "regionserverclnt.cfg",
        &["ec2"],
        "SUSE's servers inside AWS",
        "install cloud-regionsrv-client-plugin-azure, then registercloudguest --force-new, or register with SUSEConnect",
    ),
];

impl Rule for AwsRepositories {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let mut evidence = Vec::new();
        for source in SOURCES {
            evidence.extend(first(guest.view, source)?);
        }
        Ok(Finding::from_evidence(evidence))
    }

    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
        let view = stage.guest()?.view;
        let mut advice = Vec::new();
        for source in SOURCES {
            advice.extend(first(view, source)?.map(|_| source.4));
        }
        Ok(Fixed::ByHand(advice.join("; ")))
    }
}

/// The first line that names such a server; the others of its kind add nothing.
fn first(view: &dyn View, source: &Source) -> Result<Option<Evidence>> {
    let (dir, suffix, marks, whose, _) = source;
    let hit = |line: &Line<'_>| {
        let is_comment = line.body.trim_start().starts_with(['#', ';']);
        // Azure's own update servers for Red Hat
        let of_azure = line.body.contains(".microsoft.com");
        (!is_comment && !of_azure && marks.iter().any(|mark| line.body.contains(mark)))
            .then(|| (*whose).to_owned())
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
                "Red Hat's servers inside AWS",
            ),
            (
                "/etc/yum.repos.d/amazonlinux.repo",
                "[amazonlinux]\n\nmirrorlist=https://cdn.amazonlinux.com/al2023/core/mirrors/$releasever/$basearch/mirror.list\n",
                "Amazon's own servers",
            ),
            (
                "/etc/regionserverclnt.cfg",
                "[server]\n[instance]\ninstanceArgs = ec2metadata --api latest\n",
                "SUSE's servers inside AWS",
            ),
        ] {
            let bench = Bench::debian().file(path, text);
            assert_eq!(bench.findings(&AwsRepositories), [format!("{path}:3: {whose}")]);
            bench.by_hand(&AwsRepositories);
        }
        let fine = Bench::debian()
            .file("/etc/yum.repos.d/rocky.repo", "[baseos]\nmirrorlist=https://mirrors.rockylinux.org/x\n")
            .file("/etc/yum.repos.d/tool.repo", "[tool]\nbaseurl=https://tool.s3.amazonaws.com/rpm\n")
            .file(
                "/etc/yum.repos.d/rh-cloud.repo",
                "[x]\nbaseurl=https://rhui-1.microsoft.com/pulp/repos/content/dist/rhel/rhui/server/7/os\n",
            );
        assert_eq!(fine.findings(&AwsRepositories), [""; 0]);
    }
}
