//! linux.network.mtu

use libdisk::vfs::FileType;

use crate::rule::{Applies, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::{Line, comment_out};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Frames that the network of EC2 takes.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.network.mtu",
        title: "network cards send no larger frames than Azure takes",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "Within a VPC jumbo frames pass; elsewhere they do not. A larger size that is \
                set by hand makes connections hang as soon as they carry much.",
        fix: "The lines that set it become comments: DHCP and the driver know better.",
        source: &[
            Source::new("AWS EC2 user guide", "Network MTU", "2026"),
            Source::new("Microsoft Learn", "TCP/IP performance tuning for Azure VMs", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

/// Directories, and what the names of files in them begin and end with.
const DIRS: &[(&str, &str, &str)] = &[
    ("/etc/network", "interfaces", ""),
    ("/etc/network/interfaces.d", "", ""),
    ("/etc/netplan", "", ".yaml"),
    ("/etc/systemd/network", "", ".network"),
    ("/etc/systemd/network", "", ".link"),
    ("/etc/NetworkManager/system-connections", "", ".nmconnection"),
    ("/etc/sysconfig/network-scripts", "ifcfg-", ""),
    ("/etc/sysconfig/network", "ifcfg-", ""),
    ("/etc/dhcp", "dhclient", ".conf"),
];
const KEYS: [&str; 4] = ["mtu", "MTU", "MTUBytes", "interface-mtu"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let platform = guest.goal.target.platform;
    let jumbo = |line: &Line<'_>| {
        let words = || format!("{}, more than {}'s {}", line.body.trim(), platform.name, platform.mtu);
        jumbo(line, platform.mtu).map(|_| words())
    };
    Ok(Finding::from_evidence(linewise::faults(guest.view, &files(guest.view)?, jumbo)?))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (files, mtu) = (files(guest.view)?, guest.goal.target.platform.mtu);
    linewise::rewrite(stage, &files, |line| {
        jumbo(line, mtu).map(|_| comment_out(line.body, "frames of EC2"))
    })?;
    Ok(Fixed::Staged)
}

fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for (dir, start, end) in DIRS {
        for name in view.list(dir)? {
            let fits = name.starts_with(start) && name.ends_with(end) && !name.ends_with(".pre-azure");
            let path = format!("{dir}/{name}");
            // interfaces.d is a folder beside interfaces
            if fits && !is_folder(view, &path)? {
                out.push(path);
            }
        }
    }
    Ok(out)
}

fn is_folder(view: &dyn View, path: &str) -> Result<bool> {
    Ok(view.stat(path)?.is_some_and(|metadata| metadata.file_type == FileType::Directory))
}

/// The size that a line sets, if it is more than `mtu`.
fn jumbo(line: &Line<'_>, mtu: u32) -> Option<u32> {
    if line.body.trim_start().starts_with(['#', ';']) {
        return None;
    }
    let is_gap = |c: char| c.is_whitespace() || "=:;\"'".contains(c);
    let mut words = line.body.split(is_gap).filter(|word| !word.is_empty());
    words.find(|word| KEYS.contains(word))?;
    words.next()?.parse().ok().filter(|size| *size > mtu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn sizes_of_ec2_become_comments_in_the_files_of_every_tool() {
        for (path, text, line) in [
            ("/etc/network/interfaces", "iface eth0 inet dhcp\n    mtu 9001\n", 2),
            ("/etc/netplan/50.yaml", "network:\n  ethernets:\n    eth0:\n      mtu: 9001\n", 4),
            ("/etc/systemd/network/10.network", "[Link]\nMTUBytes=9001\n", 2),
            ("/etc/NetworkManager/system-connections/a.nmconnection", "[ethernet]\nmtu=9001\n", 2),
            ("/etc/sysconfig/network-scripts/ifcfg-eth0", "MTU=\"9001\"\n", 1),
            ("/etc/sysconfig/network/ifcfg-eth0", "MTU='8500'\n", 1),
            ("/etc/dhcp/dhclient.conf", "supersede interface-mtu 9001;\n", 1),
        ] {
            let bench = Bench::debian().file(path, text);
            let found = bench.findings(&RULE);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{path}:{line}: ")), "{found:?}");
            assert!(bench.mended_text(&RULE, path).contains("# refloat: frames of EC2: "));
        }
        for (path, fine) in [
            ("/etc/sysconfig/network-scripts/ifcfg-eth0", "MTU=1500\nDEVICE=eth0\n"),
            ("/etc/sysconfig/network/ifcfg-eth0", "MTU=''\n"),
            ("/etc/dhcp/dhclient.conf", "request subnet-mask, interface-mtu, ntp-servers;\n# mtu 9001\n"),
        ] {
            assert_eq!(Bench::debian().file(path, fine).findings(&RULE), [""; 0]);
        }
    }
}
