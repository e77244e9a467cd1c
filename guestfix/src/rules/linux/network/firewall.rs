//! linux.firewall

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::systemd;
use crate::text::{lines, shell_assign};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity, View};

/// A firewall of the guest's own that lets nobody in.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.firewall",
        title: "the guest's own firewall lets ssh in, whatever the card and the network are called",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "A firewall that lets ssh in on ens5 only, or from a net of the VPC only, or not at all \
                because one came in by Systems Manager, shuts everybody out on Azure.",
        fix: "let ssh in on any card in the running machine (ufw allow ssh, firewall-cmd --permanent \
              --add-service=ssh), or be ready to do so on the serial console",
        source: &[
            Source::new("firewalld.zone(5)", "", "2026-11"),
            Source::new("ufw(8)", "", "2026-11"),
            Source::new("nft(8)", "", "2026-11"),
            Source::new("iptables-save(8)", "", "2026-11"),
            Source::new("Microsoft Learn", "Prepare for agentless migration", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

const SSHD: &str = "/etc/ssh/sshd_config";
const UFW: &str = "/etc/ufw/ufw.conf";
const UFW_DEFAULTS: &str = "/etc/default/ufw";
const UFW_RULES: [&str; 3] = ["/etc/ufw/user.rules", "/etc/ufw/user6.rules", "/lib/ufw/user.rules"];
const FIREWALLD: &str = "/etc/firewalld/firewalld.conf";
const ZONES: [&str; 2] = ["/etc/firewalld/zones", "/usr/lib/firewalld/zones"];
/// A file of rules, what loads it, and whether it is nft's or iptables'.
const RULES: [(&str, &[&str], bool); 5] = [
    ("/etc/nftables.conf", &["nftables.service"], true),
    ("/etc/sysconfig/nftables.conf", &["nftables.service"], true),
    ("/etc/sysconfig/iptables", &["iptables.service"], false),
    ("/etc/iptables/rules.v4", &["netfilter-persistent.service", "iptables.service"], false),
    ("/etc/iptables/rules-save", &["iptables.service"], false),
];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let view = guest.view;
    let Some(text) = view.text(SSHD)? else { return Ok(Finding::NotApplicable("sshd is not installed")) };
    if lines(&text).any(|line| line.words().next().is_some_and(|word| word.eq_ignore_ascii_case("port"))) {
        return Ok(Finding::NotApplicable("sshd listens at a port of its own"));
    }
    Ok(Finding::from_evidence(faults(view)?.into_iter().map(|(evidence, _)| evidence).collect()))
}

/// What lets no ssh in, where that is sure: there is nothing in it that is not looked at.
pub(crate) fn surely_shut(view: &dyn View) -> Result<Option<Evidence>> {
    let own_port = |text: String| {
        lines(&text).any(|line| line.words().next().is_some_and(|word| word.eq_ignore_ascii_case("port")))
    };
    if view.text(SSHD)?.is_none_or(own_port) {
        return Ok(None);
    }
    Ok(faults(view)?.into_iter().find_map(|(evidence, is_sure)| is_sure.then_some(evidence)))
}

/// What is wrong, and whether that is sure.
fn faults(view: &dyn View) -> Result<Vec<(Evidence, bool)>> {
    let mut faults: Vec<(Evidence, bool)> = Vec::new();
    faults.extend(ufw(view)?.map(|one| (one.clone(), one.what == SHUT)));
    // Which zone a new card gets is firewalld's affair, and NetworkManager's.
    faults.extend(firewalld(view)?.map(|one| (one, false)));
    for (file, units, is_nft) in RULES {
        let Some(text) = view.text(file)? else { continue };
        let judge = if is_nft { nftables } else { iptables };
        if !systemd::started(view, units)?.is_empty()
            && let Some(what) = judge(&text)
        {
            let may_accept = if is_nft { nft_may_accept } else { iptables_may_accept };
            let is_sure = what == SHUT && !lines(&text).any(|line| may_accept(line.body.trim()));
            faults.push((Evidence::new(file, what), is_sure));
        }
    }
    Ok(faults)
}

/// Whether a rule of nft may let ssh in by what is not looked at: another chain, a set, a variable, or a
/// condition other than a port, a protocol, a state or the loopback.
fn nft_may_accept(rule: &str) -> bool {
    if rule.starts_with('#') {
        return false;
    }
    let names_others =
        ["jump ", "goto ", "vmap", "@", "$", "include "].iter().any(|what| rule.contains(what));
    let is_elsewhere = ["dport", "ct state", "icmp", "\"lo\"", "iif lo", "iifname lo", "hook ", "udp"];
    names_others || rule.contains("accept") && !is_elsewhere.iter().any(|what| rule.contains(what))
}

/// The same of iptables.
fn iptables_may_accept(rule: &str) -> bool {
    let Some(rule) = rule.strip_prefix("-A INPUT") else { return false };
    let target = rule.split_once("-j ").map_or("", |(_, target)| target);
    let ends = ["ACCEPT", "DROP", "REJECT", "LOG", "NFLOG"].iter().any(|known| target.starts_with(known));
    let is_elsewhere = ["-i lo", "ESTABLISHED", "icmp", "--dport", "-p udp"];
    !ends || target.starts_with("ACCEPT") && !is_elsewhere.iter().any(|what| rule.contains(what))
}

const SHUT: &str = "lets no ssh in";

fn ufw(view: &dyn View) -> Result<Option<Evidence>> {
    let get = |file: &str, key: &str| {
        let text = view.text(file)?.unwrap_or_default();
        Ok::<_, crate::Error>(shell_assign::get(&text, key).unwrap_or_default().to_ascii_lowercase())
    };
    if get(UFW, "ENABLED")? != "yes" || get(UFW_DEFAULTS, "DEFAULT_INPUT_POLICY")? == "accept" {
        return Ok(None);
    }
    let mut limited = None;
    for file in UFW_RULES {
        for line in view.text(file)?.unwrap_or_default().lines() {
            // "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"
            let Some(tuple) = line.strip_prefix("### tuple ### ") else { continue };
            let words: Vec<&str> = tuple.split_whitespace().collect();
            let [action, protocol, port, _, _, source, .., direction] = words[..] else { continue };
            let lets =
                matches!(action, "allow" | "limit") && matches!(protocol, "tcp" | "any") && has_ssh(port);
            match (lets, source, direction) {
                (true, "0.0.0.0/0" | "::/0" | "any", "in" | "in_eth0") => return Ok(None),
                (true, source, direction) if direction.starts_with("in") => {
                    let card =
                        direction.strip_prefix("in_").map(|card| format!(" on {card}")).unwrap_or_default();
                    limited = Some(format!("lets ssh in from {source}{card} only"));
                }
                _ => {}
            }
        }
    }
    Ok(Some(Evidence::new(UFW, limited.unwrap_or_else(|| SHUT.into()))))
}

fn firewalld(view: &dyn View) -> Result<Option<Evidence>> {
    if systemd::started(view, &["firewalld.service"])?.is_empty() {
        return Ok(None);
    }
    let config = view.text(FIREWALLD)?.unwrap_or_default();
    let zone = shell_assign::get(&config, "DefaultZone").unwrap_or("public");
    for dir in ZONES {
        let file = format!("{dir}/{zone}.xml");
        let Some(text) = view.text(&file)? else { continue };
        let open = ["target=\"ACCEPT\"", "service name=\"ssh\"", "port=\"22\""]
            .iter()
            .any(|mark| text.contains(mark));
        return Ok(
            (!open).then(|| Evidence::new(file, format!("{SHUT}, and {zone} is the zone of any new card")))
        );
    }
    Ok(None)
}

/// A chain of input that drops what no rule takes, and no rule that takes ssh from anywhere.
fn nftables(text: &str) -> Option<String> {
    let rules = || lines(text).map(|line| line.body.trim()).filter(|line| !line.starts_with('#'));
    let drops = rules().any(|line| line.contains("hook input") && line.contains("policy drop"))
        || (rules().any(|line| line.contains("hook input")) && rules().any(|line| line == "policy drop;"));
    let takes = |line: &&str| {
        let ssh = line
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .any(|word| word == "ssh" || has_ssh(word));
        line.contains("dport") && ssh && line.contains("accept")
    };
    verdict(drops, rules().filter(takes), &["saddr", "iif"])
}

/// The same for the output of `iptables-save`.
fn iptables(text: &str) -> Option<String> {
    let rules = || lines(text).map(|line| line.body.trim());
    let rejects = |line: &str| {
        let rest = line.strip_prefix("-A INPUT -j ").unwrap_or_default();
        rest.starts_with("DROP") || rest.starts_with("REJECT")
    };
    let drops = rules().any(|line| line.starts_with(":INPUT DROP") || rejects(line));
    let takes = |line: &&str| {
        let ports = line.split_whitespace().skip_while(|word| !word.starts_with("--dport")).nth(1);
        line.starts_with("-A INPUT") && ports.is_some_and(has_ssh) && line.ends_with("-j ACCEPT")
    };
    verdict(drops, rules().filter(takes), &["-s", "--source", "-i", "--in-interface"])
}

/// What is wrong, if anything is: `takes` are the rules that let ssh in, `limits` the words by which not from
/// anywhere.
fn verdict<'a>(drops: bool, takes: impl Iterator<Item = &'a str>, limits: &[&str]) -> Option<String> {
    let is_limited = |rule: &str| {
        rule.split_whitespace()
            .any(|word| limits.iter().any(|limit| word == *limit || word.starts_with("iif")))
            && !rule.contains("eth0")
    };
    let mut limited = None;
    for rule in takes {
        if !is_limited(rule) {
            return None;
        }
        limited = Some(format!("lets ssh in by this rule only: {rule}"));
    }
    drops.then(|| limited.unwrap_or_else(|| SHUT.into()))
}

/// Whether a list of ports and ranges has that of ssh.
fn has_ssh(ports: &str) -> bool {
    ports == "any"
        || ports.split(',').any(|port| {
            let (from, to) = port.split_once([':', '-']).unwrap_or((port, port));
            let number = |text: &str| text.parse::<u16>();
            port == "ssh"
                || matches!((number(from), number(to)), (Ok(from), Ok(to)) if (from..=to).contains(&22))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    fn guest() -> Bench {
        Bench::debian().file(SSHD, "UsePAM yes\n")
    }

    fn started(unit: &str) -> Bench {
        guest().link(&format!("/etc/systemd/system/multi-user.target.wants/{unit}"), "/x")
    }

    fn shut(bench: &Bench, place: &str, what: &str) {
        assert_eq!(bench.findings(&RULE), [format!("{place}: {what}")]);
        assert!(bench.by_hand(&RULE).contains("ufw allow ssh"));
    }

    #[test]
    fn ufw_is_read_by_its_tuples() {
        let bench = guest().file(UFW, "# x\nENABLED=yes\nLOGLEVEL=low\n");
        let with =
            |tuple: &str| bench.clone().file(UFW_RULES[0], format!("*filter\n### tuple ### {tuple}\n-A x\n"));
        shut(&bench, UFW, SHUT);
        shut(&with("allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in"), UFW, SHUT);
        shut(&with("deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"), UFW, SHUT);
        shut(&with("allow tcp 22 0.0.0.0/0 any 10.0.0.0/16 in"), UFW, "lets ssh in from 10.0.0.0/16 only");
        shut(
            &with("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in_ens5"),
            UFW,
            "lets ssh in from 0.0.0.0/0 on ens5 only",
        );
        for open in [
            "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in",
            "limit tcp 20:25 0.0.0.0/0 any 0.0.0.0/0 in",
            "allow any any 0.0.0.0/0 any 0.0.0.0/0 in",
        ] {
            assert_eq!(with(open).findings(&RULE), [""; 0], "{open}");
        }
        assert_eq!(bench.clone().file(UFW, "ENABLED=no\n").findings(&RULE), [""; 0]);
        assert_eq!(bench.file(UFW_DEFAULTS, "DEFAULT_INPUT_POLICY=\"ACCEPT\"\n").findings(&RULE), [""; 0]);
    }

    #[test]
    fn firewalld_is_judged_by_its_default_zone() {
        let zone = |text: &str| {
            started("firewalld.service")
                .file(FIREWALLD, "# x\nDefaultZone=dmz\n")
                .file("/usr/lib/firewalld/zones/dmz.xml", text)
        };
        let open = "<zone>\n  <service name=\"ssh\"/>\n</zone>\n";
        assert_eq!(zone(open).findings(&RULE), [""; 0]);
        let closed =
            zone(open).file("/etc/firewalld/zones/dmz.xml", "<zone>\n  <service name=\"https\"/>\n</zone>\n");
        shut(&closed, "/etc/firewalld/zones/dmz.xml", "lets no ssh in, and dmz is the zone of any new card");
        let other_port = closed.file(SSHD, "Port 2222\n");
        assert_eq!(other_port.findings(&RULE), [""; 0]);
        let off = guest().file("/etc/firewalld/zones/public.xml", "<zone/>");
        assert_eq!(off.findings(&RULE), [""; 0]);
    }

    #[test]
    fn rules_of_nft_and_iptables_are_read_where_they_are_loaded() {
        let nft = |rule: &str| {
            let text = format!(
                "table inet filter {{\n chain input {{\n  type filter hook input priority 0; policy drop;\n  {rule}\n }}\n}}\n"
            );
            started("nftables.service").file("/etc/nftables.conf", text)
        };
        shut(&nft("tcp dport 443 accept"), "/etc/nftables.conf", SHUT);
        let rule = "iifname \"ens5\" tcp dport 22 accept";
        shut(&nft(rule), "/etc/nftables.conf", &format!("lets ssh in by this rule only: {rule}"));
        for open in [
            "tcp dport { 22, 443 } accept",
            "tcp dport ssh ct state new accept",
            "iifname eth0 tcp dport 22 accept",
        ] {
            assert_eq!(nft(open).findings(&RULE), [""; 0], "{open}");
        }
        let file = "/etc/sysconfig/iptables";
        let old = |rule: &str| {
            let text = format!(
                "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n{rule}\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n"
            );
            started("iptables.service").file(file, text)
        };
        shut(&old(""), file, SHUT);
        let rule = "-A INPUT -s 10.0.0.0/16 -p tcp -m tcp --dport 22 -j ACCEPT";
        shut(&old(rule), file, &format!("lets ssh in by this rule only: {rule}"));
        assert_eq!(old("-A INPUT -p tcp -m multiport --dports 22,443 -j ACCEPT").findings(&RULE), [""; 0]);
        let idle = guest().file(file, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
        assert_eq!(idle.findings(&RULE), [""; 0]);
    }
}
