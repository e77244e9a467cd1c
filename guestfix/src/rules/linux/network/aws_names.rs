//! linux.aws.names

use crate::platform::aws::{METADATA, RESOLVERS};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::rules::linux::linewise;
use crate::text::{Line, append, comment_out, ini, lines, rewrite};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Name servers and hosts inside a VPC.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.names",
        title: "no name is asked for at an address of AWS",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "The name server of a VPC answers inside it only: on Azure each look-up waits for it. A \
                name for the metadata service leads to that of Azure, which speaks another language.",
        fix: "Lines that name them become comments. A resolv.conf left without a server gets that of Azure, \
              which answers on every network of Azure.",
        source: &[
            Source::new("Amazon VPC user guide", "DNS attributes", "2026"),
            Source::new("Microsoft Learn", "Azure's virtual public IP address", "2026"),
            Source::new("resolv.conf(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const WHY: &str = "inside AWS";
const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for (file, is_of_aws) in files(guest.view)? {
        let what =
            |line: &Line<'_>| is_of_aws(line).then(|| format!("{}, an address inside AWS", line.body.trim()));
        evidence.extend(linewise::faults(guest.view, &[file], what)?);
    }
    for file in resolved(guest.view)? {
        let text = guest.view.text(&file)?.unwrap_or_default();
        for entry in ini::entries(&text) {
            if without_resolvers(&entry).is_some() {
                let what = format!("{}={}, an address inside AWS", entry.key, entry.value);
                evidence.push(Evidence::new(Place::line(&file, entry.line), what));
            }
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let resolver = guest.goal.target.platform.resolver;
    for (file, is_of_aws) in files(guest.view)? {
        stage.edit(&file, |text| {
            let new = rewrite(text, |line| is_of_aws(line).then(|| comment_out(line.body, WHY)));
            let has_server = || lines(&new).any(|line| line.words().next() == Some("nameserver"));
            match resolver {
                Some(resolver) if file == RESOLV_CONF && new != text && !has_server() => {
                    append(&new, &format!("nameserver {resolver}"))
                }
                _ => new,
            }
        })?;
    }
    for file in resolved(stage.guest()?.view)? {
        stage.edit(&file, |text| ini::edit(text, without_resolvers))?;
    }
    Ok(Fixed::Staged)
}

/// A file and what makes one of its lines one of AWS.
type File = (String, fn(&Line<'_>) -> bool);

fn files(view: &dyn View) -> Result<Vec<File>> {
    let mut out: Vec<File> = vec![(HOSTS.into(), names_metadata), (RESOLV_CONF.into(), asks_vpc)];
    for name in ["head", "base", "tail", "original"] {
        out.push((format!("/etc/resolvconf/resolv.conf.d/{name}"), asks_vpc));
    }
    // what is only a link here is written anew when the machine runs
    let mut there = Vec::new();
    for (file, is_of_aws) in out {
        if view.read_link(&file)?.is_none() {
            there.push((file, is_of_aws));
        }
    }
    Ok(there)
}

/// Configurations of systemd-resolved.
fn resolved(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/systemd/resolved.conf".to_owned()];
    files.extend(view.glob("/etc/systemd/resolved.conf.d", ".conf")?);
    Ok(files)
}

/// `169.254.169.254 instance-data`
fn names_metadata(line: &Line<'_>) -> bool {
    line.words().next().is_some_and(|address| METADATA.contains(&address))
}

/// `nameserver 169.254.169.253`
fn asks_vpc(line: &Line<'_>) -> bool {
    let mut words = line.words();
    words.next() == Some("nameserver") && words.next().is_some_and(|address| RESOLVERS.contains(&address))
}

/// The value of `DNS=` without servers of a VPC; `None` if there were none.
fn without_resolvers(entry: &ini::Entry<'_>) -> Option<String> {
    let kept: Vec<&str> =
        entry.value.split_whitespace().filter(|address| !RESOLVERS.contains(address)).collect();
    let is_list = entry.section == "Resolve" && matches!(entry.key, "DNS" | "FallbackDNS");
    (is_list && kept.len() < entry.value.split_whitespace().count()).then(|| kept.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_resolver_of_aws_is_replaced_where_nothing_else_is_left() {
        let bench = Bench::debian()
            .file(HOSTS, "127.0.0.1 localhost\n169.254.169.254 instance-data\n")
            .file(RESOLV_CONF, "search example.org\nnameserver 169.254.169.253\n");
        assert_eq!(
            bench.findings(&RULE),
            [
                "/etc/hosts:2: 169.254.169.254 instance-data, an address inside AWS",
                "/etc/resolv.conf:2: nameserver 169.254.169.253, an address inside AWS"
            ]
        );
        bench.mended(&RULE, |view| {
            let hosts = view.text(HOSTS).unwrap().unwrap();
            assert_eq!(hosts, "127.0.0.1 localhost\n# refloat: inside AWS: 169.254.169.254 instance-data\n");
            let servers = view.text(RESOLV_CONF).unwrap().unwrap();
            assert_eq!(
                servers,
                format!("search example.org\n# refloat: inside AWS: nameserver 169.254.169.253\nnameserver 168.63.129.16\n")
            );
        });
        let text = Bench::debian()
            .file(RESOLV_CONF, "nameserver 169.254.169.253\nnameserver 9.9.9.9\n")
            .mended_text(&RULE, RESOLV_CONF);
        assert_eq!(text, "# refloat: inside AWS: nameserver 169.254.169.253\nnameserver 9.9.9.9\n");
    }

    #[test]
    fn resolved_keeps_its_other_servers() {
        let file = "/etc/systemd/resolved.conf";
        let text = Bench::debian()
            .file(file, "[Resolve]\nDNS=169.254.169.253 9.9.9.9\nFallbackDNS=fd00:ec2::253\n")
            .mended_text(&RULE, file);
        assert_eq!(text, "[Resolve]\nDNS=9.9.9.9\nFallbackDNS=\n");
    }

    #[test]
    fn a_resolv_conf_that_is_made_at_boot_is_left_alone() {
        let bench = Bench::debian()
            .file("/run/systemd/resolve/stub-resolv.conf", "nameserver 169.254.169.253\n")
            .link(RESOLV_CONF, "../run/systemd/resolve/stub-resolv.conf");
        assert_eq!(bench.findings(&RULE), [""; 0]);
    }
}
