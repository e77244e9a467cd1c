//! linux.network.vpc-resolver

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::Line;
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity, View};

/// The name server of a VPC, written down by its address in that VPC.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.network.vpc-resolver",
        title: "no name server is the one of a VPC",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "A VPC has its name server at the base of its network plus two (10.0.0.2). Where that is \
                written down, each look-up on Azure asks an address at which nobody answers, or somebody \
                else.",
        fix: "see whether the address is that of the VPC, and if so take the line out: on Azure DHCP names \
              a server that answers",
        source: &[
            Source::new("Amazon VPC user guide", "Amazon DNS server", "2026"),
            Source::new("dhclient.conf(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

/// Files with name servers.
const FILES: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/resolvconf/resolv.conf.d/head",
    "/etc/resolvconf/resolv.conf.d/base",
    "/etc/resolvconf/resolv.conf.d/tail",
    "/etc/systemd/resolved.conf",
    "/etc/dhcp/dhclient.conf",
    "/etc/dhclient.conf",
    "/etc/dhcp3/dhclient.conf",
    "/etc/network/interfaces",
    "/etc/sysconfig/network/config",
];
/// Folders of such files, and how their names end.
const FOLDERS: &[(&str, &str)] = &[
    ("/etc/netplan", ".yaml"),
    ("/etc/network/interfaces.d", ""),
    ("/etc/systemd/network", ".network"),
    ("/etc/systemd/resolved.conf.d", ".conf"),
    ("/etc/NetworkManager/system-connections", ".nmconnection"),
    ("/etc/dhcp/dhclient.conf.d", ".conf"),
];
const IFCFG: &str = "/etc/sysconfig/network-scripts";

/// What a line about name servers says.
const KEYS: &[&str] = &[
    "nameserver",
    "dns",
    "fallbackdns",
    "domain-name-servers",
    "dns-nameservers",
    "netconfig_dns_static_servers",
];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = linewise::faults(guest.view, &files(guest.view)?, |line| {
        let words = words(line);
        let is_about = words.iter().any(|word| is_key(word));
        let address = words.iter().find(|word| is_base_plus_two(word)).filter(|_| is_about)?;
        Some(format!("{address} may be the name server of a VPC"))
    })?;
    for file in guest.view.glob("/etc/netplan", ".yaml")? {
        evidence.extend(of_netplan(guest.view, &file)?);
    }
    Ok(Finding::from_evidence(evidence))
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for file in FILES {
        // what is only a link here is written anew when the machine runs
        if view.read_link(file)?.is_none() {
            out.push((*file).to_owned());
        }
    }
    for (folder, suffix) in FOLDERS.iter().filter(|(folder, _)| *folder != "/etc/netplan") {
        out.extend(view.glob(folder, suffix)?);
    }
    let cards = view.list(IFCFG)?.into_iter().filter(|name| name.starts_with("ifcfg-"));
    out.extend(cards.map(|name| format!("{IFCFG}/{name}")));
    Ok(out)
}

/// netplan has the addresses on lines of their own, below `nameservers:`.
fn of_netplan(view: &dyn View, file: &str) -> Result<Vec<Evidence>> {
    let text = view.text(file)?.unwrap_or_default();
    let (mut out, mut inside) = (Vec::new(), None);
    for line in crate::text::lines(&text) {
        let indent = line.body.len() - line.body.trim_start().len();
        if line.body.trim_start().starts_with("nameservers:") {
            inside = Some(indent);
        } else if !line.body.trim().is_empty() && inside.is_some_and(|start| indent <= start) {
            inside = None;
        }
        let address = words(&line).into_iter().find(|word| is_base_plus_two(word));
        if let (Some(_), Some(address)) = (inside, address) {
            let place = crate::rule::Place::line(file, line.number);
            out.push(Evidence::new(place, format!("{address} may be the name server of a VPC")));
        }
    }
    Ok(out)
}

/// The words of a line, whatever stands between them.
fn words<'a>(line: &Line<'a>) -> Vec<&'a str> {
    let body = line.body.trim_start();
    if body.starts_with(['#', ';']) {
        return Vec::new();
    }
    body.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
        .filter(|word| !word.is_empty())
        .collect()
}

/// `nameserver`, `DNS`, `DNS1`.
fn is_key(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    KEYS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Whether this is a private address that ends as that server's does.
fn is_base_plus_two(word: &str) -> bool {
    let Ok(address) = word.parse::<std::net::Ipv4Addr>() else { return false };
    address.is_private() && address.octets()[3] == 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_server_at_base_plus_two_is_named_wherever_it_is_written() {
        for (file, text, line) in [
            ("/etc/resolv.conf", "search ec2.internal\nnameserver 10.0.0.2\n", 2),
            ("/etc/dhcp/dhclient.conf", "timeout 300;\nsupersede domain-name-servers 172.31.0.2;\n", 2),
            ("/etc/systemd/resolved.conf", "[Resolve]\nDNS=10.1.0.2 1.1.1.1\n", 2),
            ("/etc/network/interfaces", "iface eth0 inet dhcp\n  dns-nameservers 10.0.0.2\n", 2),
            ("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nDNS1=192.168.0.2\n", 2),
            (
                "/etc/netplan/01.yaml",
                "network:\n  ethernets:\n    eth0:\n      nameservers:\n        addresses: [10.0.0.2]\n",
                5,
            ),
        ] {
            let found = Bench::debian().file(file, text).findings(&RULE);
            assert_eq!(found.len(), 1, "{file}: {found:?}");
            assert!(found[0].starts_with(&format!("{file}:{line}: ")), "{found:?}");
        }
        Bench::debian().file("/etc/resolv.conf", "nameserver 10.0.0.2\n").by_hand(&RULE);
    }

    #[test]
    fn other_servers_and_other_addresses_are_not() {
        for (file, text) in [
            ("/etc/resolv.conf", "# nameserver 10.0.0.2\nnameserver 10.0.0.20\nnameserver 8.8.8.2\n"),
            ("/etc/network/interfaces", "iface eth0 inet static\n  address 10.0.0.2\n  gateway 10.0.0.1\n"),
            ("/etc/netplan/01.yaml", "network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.2/24]\n"),
        ] {
            assert_eq!(Bench::debian().file(file, text).findings(&RULE), [""; 0], "{file}");
        }
        let made = Bench::debian().file("/run/x", "nameserver 10.0.0.2\n").link("/etc/resolv.conf", "/run/x");
        assert_eq!(made.findings(&RULE), [""; 0]);
    }
}
