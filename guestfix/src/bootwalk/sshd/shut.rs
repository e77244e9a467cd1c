//! What keeps connections from the server: a firewall of the guest's own, and what `rc.local` does.

use super::super::login::Door;
use crate::rules::linux::network::firewall;
use crate::text::lines;
use crate::{Guest, Result};

/// What an init of old, or systemd's rc-local.service, runs at the end of the start.
const SCRIPTS: &[&str] = &["/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/boot.local"];

/// Why no connection comes in.
pub(super) fn by(guest: &Guest<'_>) -> Result<Option<Door>> {
    if let Some(found) = firewall::surely_shut(guest.view)? {
        return Ok(Some(Door::stuck(found.place.to_string(), format!("a firewall {}", found.what))));
    }
    for script in SCRIPTS {
        let is_run = guest.view.stat(script)?.is_some_and(|node| node.mode & 0o111 != 0);
        let text = guest.view.text(script)?.filter(|_| is_run).unwrap_or_default();
        if let Some(line) = lines(&text).find(|line| shuts(line.body)) {
            let why = format!("whether anybody reaches sshd after this cannot be told: {}", line.body.trim());
            return Ok(Some(Door::Unsure { place: format!("{script}:{}", line.number), why }));
        }
    }
    Ok(None)
}

/// Whether a command drops what comes in, sets a card down, or stops the server.
fn shuts(command: &str) -> bool {
    let words: Vec<&str> = command.split(|c: char| c.is_whitespace() || ";&|".contains(c)).collect();
    if command.trim_start().starts_with('#') {
        return false;
    }
    let has = |word: &str| words.contains(&word);
    let runs = |name: &str| words.iter().any(|word| word.rsplit('/').next() == Some(name));
    let drops = has("INPUT") && (has("DROP") || has("REJECT"));
    let one_port =
        words.iter().any(|word| matches!(*word, "-s" | "--source" | "--dport" | "--dports" | "-p"));
    let filters = ["iptables", "iptables-nft", "iptables-legacy"].into_iter().any(runs);
    let stops = ["stop", "disable", "mask"].into_iter().any(has)
        && words.iter().any(|word| matches!(*word, "ssh" | "sshd" | "ssh.service" | "sshd.service"));
    filters && drops && !one_port
        || runs("nft") && words.windows(2).any(|pair| pair == ["policy", "drop"])
        || (runs("ip") || runs("ifconfig")) && has("down")
        || runs("ifdown")
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
            by(guest).unwrap().map(|door| match door {
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
        ] {
            let found = found(&with(command));
            assert!(found.is_some_and(|found| found.starts_with("/etc/rc.local:2 unsure:")), "{command}");
        }
        for command in [
            "# iptables -P INPUT DROP",
            "iptables -t nat -A POSTROUTING -j MASQUERADE",
            "iptables -A INPUT -p tcp --dport 25 -j DROP",
            "systemctl stop apache2",
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
        for open in [
            "tcp dport 22 accept",
            "jump others",
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
        let ufw = debian().file("/etc/ufw/ufw.conf", "ENABLED=yes\n");
        assert_eq!(found(&ufw).as_deref(), Some("/etc/ufw/ufw.conf: a firewall lets no ssh in"));
    }
}
