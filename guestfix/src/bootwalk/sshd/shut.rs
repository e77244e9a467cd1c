//! What keeps connections from the server: a firewall of the guest's own, and what `rc.local` does.

use super::super::login::Door;
use crate::rules::linux::network::firewall;
use crate::text::lines;
use crate::{Result, View};

/// What an init of old, or systemd's rc-local.service, runs at the end of the start.
const SCRIPTS: &[&str] = &["/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/boot.local"];

/// Why no connection comes in; `at_22` is whether that is where the server listens.
pub(super) fn by(view: &dyn View, at_22: bool) -> Result<Option<Door>> {
    if at_22 && let Some(found) = firewall::surely_shut(view)? {
        return Ok(Some(Door::stuck(found.place.to_string(), format!("a firewall {}", found.what))));
    }
    for script in SCRIPTS {
        let is_run = view.stat(script)?.is_some_and(|node| node.mode & 0o111 != 0);
        let text = view.text(script)?.filter(|_| is_run).unwrap_or_default();
        if let Some((line, command)) = shutting(&text, at_22) {
            let why = format!("whether anybody reaches sshd after this cannot be told: {command}");
            return Ok(Some(Door::Unsure { place: format!("{script}:{line}"), why }));
        }
    }
    Ok(None)
}

/// The number and the text of the first line by which a script may shut the server out.
fn shutting(text: &str, at_22: bool) -> Option<(usize, &str)> {
    let mut rules = String::new();
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
            if let Some(rule) = rule(&words) {
                if rule.contains("DROP") || rule.contains("REJECT") {
                    first = first.or(Some((line.number, line.body.trim())));
                }
                rules += &rule;
                rules.push('\n');
            }
        }
    }
    first.filter(|_| at_22 && firewall::iptables(&rules).is_some())
}

/// What a command of iptables adds, as `iptables-save` writes it.
fn rule(words: &[&str]) -> Option<String> {
    let is_filter = |word: &&str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        matches!(name, "iptables" | "iptables-nft" | "iptables-legacy")
            || name.starts_with('$') && name.to_ascii_lowercase().contains("ipt")
    };
    let at = words.iter().position(is_filter)?;
    let mut rest = words.get(at.saturating_add(1)..)?;
    while let ["-w", more @ ..] | ["-t", "filter", more @ ..] = rest {
        rest = more;
    }
    match rest {
        ["-P" | "--policy", "INPUT", policy] => Some(format!(":INPUT {policy}")),
        ["-A" | "--append" | "-I" | "--insert", "INPUT", more @ ..] => {
            let is_number = |word: &&&str| word.parse::<u32>().is_ok();
            let more = if more.first().filter(is_number).is_some() { more.get(1..)? } else { more };
            Some(format!("-A INPUT {}", more.join(" ")))
        }
        _ => None,
    }
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
            by(guest.view, true).unwrap().map(|door| match door {
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
    fn a_firewall_that_surely_drops_port_22_shuts_the_door() {
        let nft = |rules: &str| {
            let text = format!(
                "table inet filter {{\n chain input {{\n  type filter hook input priority 0; policy drop;\n  {rules}\n }}\n}}\n"
            );
            debian().link(&format!("{WANTS}/nftables.service"), "/x").file("/etc/nftables.conf", text)
        };
        assert_eq!(
            found(&nft("tcp dport 443 accept")).as_deref(),
            Some("/etc/nftables.conf: a firewall lets no ssh in")
        );
        for shut in [
            "ct state vmap { established : accept, invalid : drop }\niif lo accept",
            "tcp dport {\n 80,\n 443\n} accept # 22",
        ] {
            assert!(found(&nft(shut)).is_some(), "{shut}");
        }
        for open in [
            "tcp dport 22 accept",
            "tcp dport {\n 22,\n 443\n} accept",
            "ct state new,established accept",
            "iif != lo accept",
            "jump others\n}\nchain others {\nct state new accept",
            "ip saddr 10.0.0.0/8 accept",
            "tcp dport $open accept",
            "accept",
        ] {
            assert_eq!(found(&nft(open)), None, "{open}");
        }
        let old = |rules: &str| {
            let text = format!("*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n{rules}COMMIT\n");
            debian()
                .link(&format!("{WANTS}/netfilter-persistent.service"), "/x")
                .file("/etc/iptables/rules.v4", text)
        };
        let related = "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n";
        assert!(found(&old(related)).is_some());
        assert_eq!(found(&old("-A INPUT -s 10.0.0.0/16 -j ACCEPT\n")), None);
        assert_eq!(found(&old("-A INPUT -j own\n")), None);
        assert_eq!(found(&old("-A INPUT -p tcp --dport 22 -j ACCEPT\n")), None);
        assert_eq!(found(&old("-A INPUT -m state --state NEW,ESTABLISHED -j ACCEPT\n")), None);
        let ufw = debian().file("/etc/ufw/ufw.conf", "ENABLED=yes\n");
        assert_eq!(found(&ufw), None, "nothing starts it");
        let ufw = ufw.link(&format!("{WANTS}/ufw.service"), "/x");
        assert_eq!(found(&ufw).as_deref(), Some("/etc/ufw/ufw.conf: a firewall lets no ssh in"));
        let own = ufw.file("/etc/ufw/before.rules", "-A ufw-before-input -p tcp --dport 22 -j ACCEPT\n");
        assert_eq!(found(&own), None);
        let other_port = nft("tcp dport 443 accept");
        assert!(other_port.guest(|guest| by(guest.view, false).unwrap().is_none()));
    }
}
