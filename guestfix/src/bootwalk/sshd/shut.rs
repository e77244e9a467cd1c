//! What keeps connections from the server: a firewall of the guest's own, and what is run at the start or
//! later.

use super::super::login::Door;
use crate::firewall::{self, Door as Firewall};
use crate::text::lines;
use crate::{Guest, Result, network, packaged, runs};

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
    for run in runs::all(view)? {
        let by_itself = if run.is_local() { shutting(&run.text) } else { None };
        let by_rules = if at_22 { firewall::shut(view, &run.text, &card)? } else { None };
        let mut found =
            by_itself.into_iter().chain(by_rules).min().map(|(line, what)| (run.place(line), what));
        for script in run.inner.iter().filter(|_| at_22) {
            let by_rules = firewall::shut(view, script.text(), &card)?;
            found = found.or(by_rules.map(|(_, what)| (run.file.clone(), what)));
        }
        if let Some((place, command)) = found
            && !packaged::is_of_package(view, &run.file)?
        {
            let why = format!("whether anybody reaches sshd after this cannot be told: {command}");
            return Ok(Some(Door::Unsure { place, why }));
        }
    }
    Ok(None)
}

/// The number and the text of the first line by which the script at the end of the start may shut the server
/// out. Of what is run elsewhere this is told where that is looked at.
fn shutting(text: &str) -> Option<(usize, &str)> {
    for line in lines(text) {
        if line.body.split_whitespace().next() == Some("exit") && !line.body.starts_with([' ', '\t']) {
            break;
        }
        if line.body.trim_start().starts_with('#') {
            continue;
        }
        for command in line.body.split([';', '&', '|']) {
            if shuts(&command.split_whitespace().collect::<Vec<_>>()) {
                return Some((line.number, line.body.trim()));
            }
        }
    }
    None
}

/// Whether a command sets the card down, or stops the server.
fn shuts(words: &[&str]) -> bool {
    let has = |word: &str| words.contains(&word);
    let runs = |name: &str| words.iter().any(|word| word.rsplit('/').next() == Some(name));
    let names_card = words.iter().any(|word| *word == "eth0" || *word == "-a" || word.contains('$'));
    let stops = ["stop", "disable", "mask"].into_iter().any(has)
        && words.iter().any(|word| matches!(*word, "ssh" | "sshd" | "ssh.service" | "sshd.service"));
    (runs("ip") || runs("ifconfig")) && has("down") && names_card || runs("ifdown") && names_card || stops
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

    /// One text at each of the places where something is run.
    #[test]
    fn what_is_run_elsewhere_or_later_may_shut_the_door() {
        const DROP: &str = "/usr/sbin/iptables -P INPUT DROP";
        let script = |text: &str| format!("#!/bin/sh\n{text}\n");
        let unit = |lines: &str| {
            debian()
                .file("/etc/systemd/system/fw.service", format!("[Service]\nType=oneshot\n{lines}\n"))
                .link(&format!("{WANTS}/fw.service"), "../fw.service")
        };
        let cron = |text: &str| {
            let cron = "/lib/systemd/system/cron.service";
            let bench = debian().file(cron, "[Service]\nExecStart=/usr/sbin/cron\n");
            bench.link(&format!("{WANTS}/cron.service"), cron).file("/etc/cron.d/x", format!("{text}\n"))
        };
        let interfaces = |text: &str| {
            let all = debian().text("/etc/network/interfaces");
            debian().file("/etc/network/interfaces", format!("{all}\n    {text}\n"))
        };
        let udev = |text: &str| debian().file("/etc/udev/rules.d/99-n.rules", format!("{text}\n"));
        let by_name = "IPT=/usr/sbin/iptables\n$IPT -P INPUT DROP\n$IPT -A INPUT -i lo -j ACCEPT\n\
                       $IPT -A INPUT -p tcp --dport 80 -j ACCEPT";
        let later = unit(&format!("ExecStart={DROP}")).without(&format!("{WANTS}/fw.service"));
        let later = later
            .file("/etc/systemd/system/fw.timer", "[Timer]\nOnCalendar=hourly\n")
            .link("/etc/systemd/system/timers.target.wants/fw.timer", "../fw.timer");
        let table = "nft add table inet f\nnft add chain inet f i '{ type filter hook input priority 0 ; policy drop ; }'";
        for (what, bench) in [
            ("unit", unit(&format!("ExecStart={DROP}"))),
            ("timer", later),
            ("script", unit("ExecStart=/opt/fw.sh").program("/opt/fw.sh", script(by_name))),
            ("nft", unit("ExecStart=/opt/fw.sh").program("/opt/fw.sh", script(table))),
            (
                "script of a script",
                unit("ExecStart=/opt/a")
                    .program("/opt/a", script("/opt/b up"))
                    .program("/opt/b", script(DROP)),
            ),
            ("cron", cron(&format!("*/5 * * * * root {DROP}"))),
            ("cron.daily", cron("").program("/etc/cron.daily/fw", script(DROP))),
            ("if-up.d", debian().program("/etc/network/if-up.d/a", script("iptables -I INPUT -j DROP"))),
            (
                "if-up.d of a card",
                debian().program(
                    "/etc/network/if-up.d/a",
                    script("[ \"$IFACE\" = eth0 ] && iptables -A INPUT -p tcp --dport 22 -j DROP"),
                ),
            ),
            ("up", interfaces("up iptables -P INPUT DROP")),
            ("dhclient", debian().file("/etc/dhcp/dhclient-exit-hooks.d/fw", format!("{DROP}\n"))),
            ("dispatcher", debian().program("/etc/NetworkManager/dispatcher.d/9-fw", script(DROP))),
            ("udev", udev(&format!(r#"SUBSYSTEM=="net", ACTION=="add", KERNEL=="eth0", RUN+="{DROP}""#))),
        ] {
            assert!(
                found(&bench).is_some_and(|found| found.contains(" unsure: ")),
                "{what}: {:?}",
                found(&bench)
            );
        }
        let file = "table inet f {\n chain i {\n  type filter hook input priority 0; policy drop;\n iif lo accept\n }\n}\n";
        let loads = unit("ExecStart=/usr/sbin/nft -f /etc/fw.nft").file("/etc/fw.nft", file);
        assert_eq!(found(&loads).as_deref(), Some("/etc/fw.nft: a firewall lets no ssh in"));
        let ssh = "iptables -A INPUT -p tcp --dport 22 -j ACCEPT";
        for (what, bench) in [
            ("unit", unit(&format!("ExecStart={DROP}\nExecStart=/sbin/{ssh}"))),
            ("stop", unit(&format!("ExecStart=/sbin/{ssh}\nExecStop={DROP}"))),
            ("not on this machine", unit(&format!("ExecStart={DROP}\n[Unit]\nConditionVirtualization=xen"))),
            ("not started", unit(&format!("ExecStart={DROP}")).without(&format!("{WANTS}/fw.service"))),
            ("cron of a user", cron(&format!("*/5 * * * * bob {DROP}"))),
            ("cron", cron("*/5 * * * * root iptables -F; iptables -P INPUT ACCEPT")),
            ("up", interfaces(&format!("up iptables -P INPUT DROP; {ssh}"))),
            ("down", interfaces("down iptables -P INPUT DROP")),
            ("udev", udev(&format!(r#"SUBSYSTEM=="net", KERNEL=="docker0", RUN+="{DROP}""#))),
        ] {
            assert_eq!(found(&bench), None, "{what}");
        }
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
