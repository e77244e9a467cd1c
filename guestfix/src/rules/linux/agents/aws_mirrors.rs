//! linux.aws.mirrors

use crate::rule::{Applies, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::Line;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Package archives inside AWS.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.mirrors",
        title: "packages come from no archive of AWS",
        pack: Pack::Linux,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "The archives that Ubuntu and Debian run inside AWS are slow, costly or closed from \
                elsewhere.",
        fix: "REGION.ec2.archive.ubuntu.com becomes azure.archive.ubuntu.com, cdn-aws.deb.debian.org \
              becomes deb.debian.org, in apt's sources and in what cloud-init makes them of.",
        source: &[
            Source::new("Microsoft Learn", "Prepare an Ubuntu VM for Azure", "2026-09"),
            Source::new("wiki.debian.org", "Cloud mirrors", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let archive = guest.goal.target.platform.ubuntu_archive;
    let of_aws =
        |line: &Line<'_>| moved(line.body, archive).map(|_| format!("a mirror of AWS: {}", line.body.trim()));
    Ok(Finding::from_evidence(linewise::faults(guest.view, &files(guest.view)?, of_aws)?))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (files, archive) = (files(guest.view)?, guest.goal.target.platform.ubuntu_archive);
    linewise::rewrite(stage, &files, |line| moved(line.body, archive))?;
    Ok(Fixed::Staged)
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/apt/sources.list".to_owned()];
    for (dir, suffix) in [
        ("/etc/apt/sources.list.d", ".list"),
        ("/etc/apt/sources.list.d", ".sources"),
        // what cloud-init makes the files above of
        ("/etc/cloud/templates", ".tmpl"),
        ("/etc/cloud/cloud.cfg.d", ".cfg"),
    ] {
        files.extend(view.glob(dir, suffix)?);
    }
    Ok(files)
}

/// The end of an archive's name inside AWS, and the archive that is the same elsewhere; `None` for the one
/// that the platform says.
const ARCHIVES: [(&str, Option<&str>); 3] = [
    (".ec2.archive.ubuntu.com", None),
    (".ec2.ports.ubuntu.com", Some("ports.ubuntu.com")),
    ("cdn-aws.deb.debian.org", Some("deb.debian.org")),
];

/// The line with the archives of AWS replaced; `None` if it names none.
fn moved(body: &str, ubuntu: &str) -> Option<String> {
    if body.trim_start().starts_with('#') {
        return None;
    }
    let mut new = body.to_owned();
    for (archive, instead) in ARCHIVES {
        let instead = instead.unwrap_or(ubuntu);
        // the host's name begins behind "//": a region, or what cloud-init puts the region for
        while let Some(at) = new.find(archive) {
            let start = new[..at].rfind(['/', ' ']).map_or(0, |slash| slash + 1);
            new.replace_range(start..at + archive.len(), instead);
        }
    }
    (new != body).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn archives_of_aws_are_replaced() {
        let list = "/etc/apt/sources.list";
        let text = "# http://eu-west-1.ec2.archive.ubuntu.com\ndeb http://eu-west-1.ec2.archive.ubuntu.com/ubuntu/ jammy main\ndeb https://cdn-aws.deb.debian.org/debian bookworm main\ndeb http://security.ubuntu.com/ubuntu jammy-security main\n";
        let bench = Bench::debian().file(list, text);
        assert_eq!(bench.findings(&RULE).len(), 2);
        let new = bench.mended_text(&RULE, list);
        let expected = text
            .replace("deb http://eu-west-1.ec2.archive", "deb http://azure.archive")
            .replace("cdn-aws.deb", "deb");
        assert_eq!(new, expected);
    }
    #[test]
    fn deb822_files_and_templates_of_cloud_init_are_sources_too() {
        for (file, before, after) in [
            (
                "/etc/apt/sources.list.d/ubuntu.sources",
                "URIs: http://us-east-1.ec2.archive.ubuntu.com/ubuntu/ http://us-east-1.ec2.ports.ubuntu.com/\n",
                "URIs: http://azure.archive.ubuntu.com/ubuntu/ http://ports.ubuntu.com/\n",
            ),
            (
                "/etc/cloud/cloud.cfg.d/95-mirror.cfg",
                "      primary: http://%(ec2_region)s.ec2.archive.ubuntu.com/ubuntu/\n",
                "      primary: http://azure.archive.ubuntu.com/ubuntu/\n",
            ),
            (
                "/etc/cloud/templates/sources.list.debian.tmpl",
                "deb https://cdn-aws.deb.debian.org/debian {{codename}} main\n",
                "deb https://deb.debian.org/debian {{codename}} main\n",
            ),
        ] {
            assert_eq!(Bench::debian().file(file, before).mended_text(&RULE, file), after);
        }
    }
}
