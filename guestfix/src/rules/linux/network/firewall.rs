//! linux.firewall

use std::collections::BTreeSet;

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
/// Rules that somebody writes into these are no tuples.
const UFW_OWN_RULES: [&str; 2] = ["/etc/ufw/before.rules", "/etc/ufw/after.rules"];
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

/// What lets no ssh in at its own port, where that is sure: there is nothing in it that is not looked at.
pub(crate) fn surely_shut(view: &dyn View) -> Result<Option<Evidence>> {
    Ok(faults(view)?.into_iter().find_map(|(evidence, is_sure)| is_sure.then_some(evidence)))
}

/// What is wrong, and whether that is sure.
fn faults(view: &dyn View) -> Result<Vec<(Evidence, bool)>> {
    let mut faults: Vec<(Evidence, bool)> = Vec::new();
    faults.extend(ufw(view)?);
    // Which zone a new card gets is firewalld's affair, and NetworkManager's.
    faults.extend(firewalld(view)?.map(|one| (one, false)));
    for (file, units, is_nft) in RULES {
        let Some(text) = view.text(file)? else { continue };
        let judge = if is_nft { nftables } else { iptables };
        if !systemd::started(view, units)?.is_empty()
            && let Some((what, is_sure)) = judge(&text)
        {
            faults.push((Evidence::new(file, what), is_sure));
        }
    }
    Ok(faults)
}

const SHUT: &str = "lets no ssh in";

fn ufw(view: &dyn View) -> Result<Option<(Evidence, bool)>> {
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
    let mut is_sure = limited.is_none() && !systemd::started(view, &["ufw.service"])?.is_empty();
    for file in UFW_OWN_RULES {
        let text = view.text(file)?.unwrap_or_default();
        is_sure &= !lines(&text).any(|line| line.words().any(has_ssh));
    }
    Ok(Some((Evidence::new(UFW, limited.unwrap_or_else(|| SHUT.into())), is_sure)))
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

/// What becomes of ssh at a rule.
#[derive(PartialEq, Eq)]
enum Fate {
    /// It is let in, from anywhere.
    In,
    /// It is let in from somewhere.
    Limited,
    /// It is shut out.
    Out,
    /// It may be let in: the rule takes by what is not looked at.
    Unknown,
    /// The rule is about something else.
    Other,
}

/// What is wrong with a chain of these rules that drops what no rule takes, or does not; and whether that is
/// sure.
fn verdict<'a>(drops: bool, rules: impl Iterator<Item = (&'a str, Fate)>) -> Option<(String, bool)> {
    let (mut limited, mut is_sure, mut is_out) = (None, true, drops);
    for (rule, fate) in rules {
        match fate {
            Fate::In => return None,
            Fate::Limited => limited = Some(format!("lets ssh in by this rule only: {rule}")),
            Fate::Unknown => is_sure = false,
            Fate::Out => {
                is_out = true;
                break;
            }
            Fate::Other => {}
        }
    }
    is_sure &= limited.is_none();
    is_out.then(|| (limited.unwrap_or_else(|| SHUT.into()), is_sure))
}

/// The chains of nft that see what comes in: those at the hook, and those that others jump to.
fn nftables(text: &str) -> Option<(String, bool)> {
    let statements = nft_statements(text);
    let hooked = |at_input: bool| -> BTreeSet<usize> {
        let hooks = statements.iter().filter(|(_, rule)| rule.contains("hook "));
        hooks
            .filter(|(_, rule)| rule.contains("hook input") == at_input)
            .filter_map(|(chain, _)| *chain)
            .collect()
    };
    let (inputs, others) = (hooked(true), hooked(false));
    let at_input = |chain: &Option<usize>| chain.is_some_and(|chain| inputs.contains(&chain));
    let is_elsewhere = |chain: &Option<usize>| chain.is_some_and(|chain| others.contains(&chain));
    let drops = statements.iter().any(|(chain, rule)| rule == "policy drop" && at_input(chain));
    let rules = statements.iter().filter(|(chain, _)| !is_elsewhere(chain));
    verdict(
        drops,
        rules.map(|(chain, rule)| {
            let fate = match nft_fate(rule) {
                // A chain that is jumped to may see a part only.
                Fate::Out if !at_input(chain) => Fate::Unknown,
                fate => fate,
            };
            (rule.as_str(), fate)
        }),
    )
}

/// What has statements within its braces; other braces are sets.
const BLOCKS: &[&str] = &["chain", "flowtable", "map", "set", "table"];

/// The statements of a file of nft, each with the number of its chain. Blanks and comments are left out.
fn nft_statements(text: &str) -> Vec<(Option<usize>, String)> {
    let mut out: Vec<(Option<usize>, String)> = Vec::new();
    let (mut chains, mut chain, mut sets) = (0_usize, None, 0_usize);
    let mut now = String::new();
    for line in lines(text) {
        let body = line.body.split('#').next().unwrap_or_default();
        for c in body.chars().chain(['\n']) {
            let is_block = |now: &str| {
                let word = now.split_whitespace().find(|word| !matches!(*word, "add" | "create"));
                word.is_some_and(|word| BLOCKS.contains(&word))
            };
            let is_end = match c {
                '{' if sets > 0 || !is_block(&now) => {
                    sets = sets.saturating_add(1);
                    false
                }
                '{' => {
                    if now.split_whitespace().any(|word| word == "chain") {
                        chains = chains.saturating_add(1);
                        chain = Some(chains);
                    }
                    true
                }
                '}' if sets > 0 => {
                    sets = sets.saturating_sub(1);
                    false
                }
                '}' => true,
                '\n' | ';' => sets == 0,
                _ => false,
            };
            if !is_end {
                now.push(if c == '\n' { ' ' } else { c });
                continue;
            }
            let statement = now.split_whitespace().collect::<Vec<_>>().join(" ");
            now.clear();
            if !statement.is_empty() {
                out.push((chain, statement));
            }
            if c == '}' {
                chain = None;
            }
        }
    }
    out
}

fn nft_fate(rule: &str) -> Fate {
    let has = |what: &str| rule.contains(what);
    let words: Vec<&str> = rule.split_whitespace().collect();
    let names_ssh = has("dport")
        && rule
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .any(|word| word == "ssh" || has_ssh(word));
    let ends = |end: &str| words.contains(&end);
    if has("include ") {
        return Fate::Unknown;
    }
    if has("accept") {
        let is_limited = words.iter().any(|word| *word == "saddr" || word.starts_with("iif"));
        let is_old = has("ct state") && !has("new") && !has("!=");
        let is_other =
            ["dport", "icmp", "udp", "\"lo\"", "iif lo", "iifname lo"].iter().any(|what| has(what));
        return match names_ssh {
            true if is_limited && !has("eth0") => Fate::Limited,
            true => Fate::In,
            false if words.first() == Some(&"policy") || is_old => Fate::Other,
            false if is_other && !has("!=") && !has("$") && !has("@") => Fate::Other,
            false => Fate::Unknown,
        };
    }
    // `counter packets 0 bytes 0 drop`, `tcp dport 22 reject with tcp reset`
    let is_counter =
        |word: &&&str| !matches!(**word, "counter" | "packets" | "bytes") && word.parse::<u64>().is_err();
    let plain: Vec<&str> = words.iter().filter(is_counter).copied().collect();
    match plain.as_slice() {
        ["drop" | "reject", ..] => Fate::Out,
        ["tcp", "dport", "drop" | "reject", ..] | ["tcp", "dport", "ssh", "drop" | "reject", ..]
            if names_ssh =>
        {
            Fate::Out
        }
        // What becomes of it is said by another chain.
        _ if names_ssh && (ends("goto") || ends("jump")) => Fate::Unknown,
        _ if ends("vmap") && !has("ct state") => Fate::Unknown,
        _ => Fate::Other,
    }
}

/// The same for the output of `iptables-save`.
pub(crate) fn iptables(text: &str) -> Option<(String, bool)> {
    let drops = lines(text).any(|line| line.body.trim().starts_with(":INPUT DROP"));
    let rules = lines(text).map(|line| line.body.trim());
    verdict(drops, rules.map(|rule| (rule, iptables_fate(rule))))
}

fn iptables_fate(rule: &str) -> Fate {
    let Some(rest) = rule.strip_prefix("-A INPUT ") else { return Fate::Other };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let behind = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at.saturating_add(1)).copied()
    };
    let has = |what: &str| rest.contains(what);
    let is_negated = words.contains(&"!");
    let ports = behind("--dport").or(behind("--dports"));
    let names_ssh = !is_negated && ports.is_some_and(has_ssh);
    let limits = ["-s", "--source", "-i", "--in-interface"];
    let is_limited = words.iter().any(|word| limits.contains(word)) && !has("eth0");
    // What belongs to these says nothing of whom the rule is for.
    let plain =
        ["-p", "tcp", "-m", "--dport", "--dports", "multiport", "-j", "DROP", "REJECT", "--reject-with"];
    let mut others = words.iter().filter(|word| !plain.contains(word) && Some(**word) != ports);
    match behind("-j").unwrap_or_default() {
        "ACCEPT" if names_ssh && is_limited => Fate::Limited,
        "ACCEPT" if names_ssh => Fate::In,
        "ACCEPT" if is_negated => Fate::Unknown,
        "ACCEPT" if has("ESTABLISHED") && !has("NEW") => Fate::Other,
        "ACCEPT" if ports.is_some() || ["-i lo", "icmp", "-p udp"].iter().any(|what| has(what)) => {
            Fate::Other
        }
        "DROP" | "REJECT" if !is_negated && (ports.is_none() && !has("-p ") || names_ssh) => {
            match others.all(|word| behind("--reject-with") == Some(*word)) {
                true => Fate::Out,
                false => Fate::Other,
            }
        }
        "DROP" | "REJECT" | "LOG" | "NFLOG" => Fate::Other,
        _ => Fate::Unknown,
    }
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
        let other = "table inet f {\n chain input {\n  type filter hook input priority 0;\n  policy accept;\n }\n \
                     chain forward {\n  type filter hook forward priority 0;\n  policy drop;\n }\n}\n";
        let other = started("nftables.service").file("/etc/nftables.conf", other);
        assert_eq!(other.findings(&RULE), [""; 0], "another chain drops");
        for rule in ["counter drop", "tcp dport 22 drop", "reject with icmpx type port-unreachable"] {
            let text =
                format!("table ip f {{\nchain in {{ type filter hook input priority 0\n {rule}\n}}\n}}\n");
            shut(&started("nftables.service").file("/etc/nftables.conf", text), "/etc/nftables.conf", SHUT);
        }
        let file = "/etc/sysconfig/iptables";
        let old = |rule: &str| {
            let text = format!(
                "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n{rule}\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n"
            );
            started("iptables.service").file(file, text)
        };
        shut(&old(""), file, SHUT);
        shut(&old("-A INPUT -p tcp -m tcp --dport 22 -j DROP"), file, SHUT);
        let rule = "-A INPUT -s 10.0.0.0/16 -p tcp -m tcp --dport 22 -j ACCEPT";
        shut(&old(rule), file, &format!("lets ssh in by this rule only: {rule}"));
        assert_eq!(old("-A INPUT -p tcp -m multiport --dports 22,443 -j ACCEPT").findings(&RULE), [""; 0]);
        let idle = guest().file(file, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
        assert_eq!(idle.findings(&RULE), [""; 0]);
    }
}
