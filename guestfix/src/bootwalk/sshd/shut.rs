//! What keeps connections from the server: a firewall of the guest's own, and what `rc.local` does.

use super::super::login::Door;
use crate::firewall::{self, Door as Firewall};
use crate::services::RC_LOCAL;
use crate::text::lines;
use crate::{Guest, Result, network};

/// What SLES runs where others have rc.local.
const BOOT_LOCAL: &str = "/etc/init.d/boot.local";

/// Why no connection comes in; `at_22` is whether that is where the server listens.
pub(super) fn by(guest: &Guest<'_>, at_22: bool) -> Result<Option<Door>> {
    let (view, platform) = (guest.view, guest.goal.target.platform);
    let mut unsure = None;
    for door in if at_22 { firewall::doors(view, platform)? } else { Vec::new() } {
        match door {
            Firewall::Shut(found) => {
                let why = format!("a firewall {}", found.what);
                return Ok(Some(Door::stuck(found.place.to_string(), why)));
            }
            Firewall::Unknown(found) => {
                let why = format!("of a firewall, {}", found.what);
                unsure = unsure.or(Some(Door::Unsure { place: found.place.to_string(), why }));
            }
            // linux.firewall warns of these.
            Firewall::Limited(_) | Firewall::Unread(_) => {}
        }
    }
    if unsure.is_some() {
        return Ok(unsure);
    }
    let card = network::card_name(view, platform)?;
    for script in RC_LOCAL.into_iter().chain([BOOT_LOCAL]) {
        let is_run = view.stat(script)?.is_some_and(|node| node.mode & 0o111 != 0);
        let text = view.text(script)?.filter(|_| is_run).unwrap_or_default();
        if let Some((line, command)) = shutting(&text, &card, at_22) {
            let why = format!("whether anybody reaches sshd after this cannot be told: {command}");
            return Ok(Some(Door::Unsure { place: format!("{script}:{line}"), why }));
        }
    }
    Ok(None)
}

/// The number and the text of the first line by which a script may shut the server out.
fn shutting<'t>(text: &'t str, card: &str, at_22: bool) -> Option<(usize, &'t str)> {
    let mut rules = String::new();
    let mut variables: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut first = None;
    for line in lines(text) {
        if line.body.split_whitespace().next() == Some("exit") && !line.body.starts_with([' ', '\t']) {
            break;
        }
        if line.body.trim_start().starts_with('#') {
            continue;
        }
        for command in line.body.split([';', '&', '|']) {
            let words: Vec<&str> = command.split_whitespace().collect();
            if shuts(&words) {
                return Some((line.number, line.body.trim()));
            }
            match words.as_slice() {
                ["for", name, "in", values @ ..] => variables.push((*name, values.to_vec())),
                [assigned] => {
                    variables.extend(assigned.split_once('=').map(|(name, value)| (name, vec![value])))
                }
                _ => {}
            }
            if let Some(rule) = rule(&words) {
                if rule.contains("DROP") || rule.contains("REJECT") {
                    first = first.or(Some((line.number, line.body.trim())));
                }
                for rule in replaced(&rule, &variables) {
                    rules += &rule;
                    rules.push('\n');
                }
            }
        }
    }
    first.filter(|_| at_22 && firewall::commands_shut(&rules, card))
}

/// A rule with what its first known variable stands for: for each value of a loop one.
fn replaced(rule: &str, variables: &[(&str, Vec<&str>)]) -> Vec<String> {
    for (name, values) in variables.iter().rev() {
        for written in [format!("${{{name}}}"), format!("${name}")] {
            if rule.split([' ', ',']).any(|word| word == written) {
                return values.iter().map(|value| rule.replace(&written, value.trim_matches('"'))).collect();
            }
        }
    }
    vec![rule.to_owned()]
}

/// What a command of iptables changes, without the program.
fn rule(words: &[&str]) -> Option<String> {
    let is_filter = |word: &&str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        matches!(name, "iptables" | "iptables-nft" | "iptables-legacy")
            || name.starts_with('$') && name.to_ascii_lowercase().contains("ipt")
    };
    let at = words.iter().position(is_filter)?;
    Some(words.get(at.saturating_add(1)..)?.join(" "))
}

/// Whether a command sets the card down, stops the server, or has nft drop what comes in.
fn shuts(words: &[&str]) -> bool {
    let has = |word: &str| words.contains(&word);
    let runs = |name: &str| words.iter().any(|word| word.rsplit('/').next() == Some(name));
    let names_card = words.iter().any(|word| *word == "eth0" || *word == "-a" || word.contains('$'));
    let stops = ["stop", "disable", "mask"].into_iter().any(has)
        && words.iter().any(|word| matches!(*word, "ssh" | "sshd" | "ssh.service" | "sshd.service"));
    runs("nft") && words.windows(2).any(|pair| pair == ["policy", "drop"])
        || (runs("ip") || runs("ifconfig")) && has("down") && names_card
        || runs("ifdown") && names_card
        || stops
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::debian;
    use super::*;

    const RC_LOCAL: &str = "/etc/rc.local";
    const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";

    fn found(bench: &crate::rules::testing::Bench) -> Option<String> {
        bench.guest(|guest| {
            by(guest, true).unwrap().map(|door| match door {
                Door::Stuck { place, why } => format!("{place}: {why}"),
                Door::Unsure { place, why } => format!("{place} unsure: {why}"),
                _ => panic!("neither"),
            })
        })
    }

    #[test]
    fn a_script_at_the_end_of_the_start_may_shut_the_door() {
        let with = |command: &str| debian().program(RC_LOCAL, format!("#!/bin/sh\n{command}\nexit 0\n"));
        for command in [
            "iptables -P INPUT DROP",
            "/sbin/iptables -A INPUT -j REJECT",
            "ip link set eth0 down",
            "systemctl stop ssh",
            "true && ifdown eth0",
            "iptables -P INPUT DROP\niptables -A INPUT -p tcp --dport 443 -j ACCEPT",
            "iptables -A INPUT -p tcp --dport 22 -j DROP",
            "$IPT -P INPUT DROP",
        ] {
            let found = found(&with(command));
            assert!(found.is_some_and(|found| found.starts_with("/etc/rc.local:2 unsure:")), "{command}");
        }
        for command in [
            "# iptables -P INPUT DROP",
            "iptables -t nat -A POSTROUTING -j MASQUERADE",
            "iptables -A INPUT -p tcp --dport 25 -j DROP",
            "systemctl stop apache2",
            "iptables -P INPUT DROP\niptables -A INPUT -p tcp --dport 22 -j ACCEPT",
            "$IPT -P INPUT DROP\nfor p in 22 80; do $IPT -A INPUT -p tcp --dport $p -j ACCEPT; done",
            "SSH=22\niptables -P INPUT DROP\niptables -A INPUT -p tcp --dport ${SSH} -j ACCEPT",
            "ip link set docker0 down",
            "exit 0\niptables -P INPUT DROP",
            "touch /var/lock/x",
        ] {
            assert_eq!(found(&with(command)), None, "{command}");
        }
        let not_run = debian().file(RC_LOCAL, "iptables -P INPUT DROP\n");
        assert_eq!(found(&not_run), None);
    }

    #[test]
    fn a_firewall_shuts_the_door_where_it_drops_port_22() {
        let nft = |rules: &str| {
            let text = format!(
                "table ip f {{\n chain i {{\n  type filter hook input priority 0; policy drop;\n  {rules}\n }}\n}}\n"
            );
            debian().link(&format!("{WANTS}/nftables.service"), "/x").file("/etc/nftables.conf", text)
        };
        let shut = nft("tcp dport 443 accept");
        assert_eq!(found(&shut).as_deref(), Some("/etc/nftables.conf: a firewall lets no ssh in"));
        assert!(shut.guest(|guest| by(guest, false).unwrap().is_none()), "sshd is at another port");
        let unknown = found(&nft("tcp dport $open accept")).unwrap();
        assert!(
            unknown.starts_with("/etc/nftables.conf unsure: of a firewall, whether it lets ssh in"),
            "{unknown}"
        );
        for open in ["tcp dport 22 accept", "ip saddr 10.0.0.0/8 accept"] {
            assert_eq!(found(&nft(open)), None, "{open}");
        }
    }
}
