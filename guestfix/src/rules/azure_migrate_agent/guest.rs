//! What in a guest its agent does not copy, or needs.

use super::super::azure_vm::guest::{any_of, first, letters, reserved};
use super::super::{linux, windows};
use super::{META, fault};
use crate::platform::assessment::{self, agent};
use crate::platform::azure;
use crate::rule::{Applies, Evidence, Place};
use crate::{Finding, Guest, Result, Rule, RuleMeta, Severity};

const ON_LINUX: Applies = Applies::LINUX.on(&azure::AZURE);
const ON_WINDOWS: Applies = Applies::WINDOWS.on(&azure::AZURE);
const NO_NAME: Finding = Finding::NotApplicable("the host name is not known");
const REPLICATION: &[crate::rule::Source] = &[assessment::REPLICATION];

pub(super) static NFS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.nfs",
        title: "no file system is mounted from an NFS server",
        severity: Severity::Warning,
        cause: "What is on the server is not copied, and has to be reached from Azure.",
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(mounts(guest, &["nfs", "nfs4", "efs"])),
    fix: None,
};

pub(super) static SMB: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.smb",
        title: "no file system is mounted from an SMB server",
        severity: Severity::Warning,
        cause: "What is on the server is not copied, and has to be reached from Azure.",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(mounts(guest, &["cifs", "smb3", "smbfs"])),
    fix: None,
};

pub(super) static ISCSI: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.iscsi",
        title: "no disk comes from an iSCSI target",
        severity: Severity::Warning,
        cause: "Disks that the guest itself attaches by iSCSI are not copied; the two documents disagree about \
                whether the machine is.",
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let mut evidence = Vec::new();
        for folder in ["/etc/iscsi/nodes", "/var/lib/iscsi/nodes"] {
            let names = guest.view.list(folder)?;
            evidence.extend(names.first().map(|name| Evidence::new(folder, format!("the target {name}"))));
        }
        Ok(Finding::from_evidence(evidence))
    },
    fix: None,
};

pub(super) static MULTIPATH: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.multipath",
        title: "disks have one path",
        severity: Severity::Warning,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| any_of(guest, &["/etc/multipath.conf"], "multipath is configured"),
    fix: None,
};

/// Where bonds and teams are configured: a file, or a folder and the end of its files' names, and what shows one.
const TEAMED: [(&str, &str, &[&str]); 6] = [
    ("/etc/network", "interfaces", &["bond-slaves", "bond-mode", "bond_mode"]),
    ("/etc/network/interfaces.d", "", &["bond-slaves", "bond-mode"]),
    ("/etc/netplan", ".yaml", &["bonds:"]),
    ("/etc/systemd/network", ".netdev", &["Kind=bond", "Kind=team"]),
    ("/etc/NetworkManager/system-connections", "", &["type=bond", "type=team"]),
    (
        "/etc/sysconfig/network-scripts",
        "",
        &["BONDING_MASTER=yes", "TYPE=Bond", "DEVICETYPE=Team", "BONDING_OPTS"],
    ),
];

pub(super) static TEAMS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.teamed-cards",
        title: "no network cards are bonded or teamed",
        severity: Severity::Warning,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let mut evidence = Vec::new();
        for (folder, end, marks) in TEAMED {
            for path in guest.view.glob(folder, end)? {
                let text = guest.view.text(&path)?.unwrap_or_default();
                let bonded = |line: &str| {
                    let line = line.trim();
                    !line.starts_with('#') && marks.iter().any(|mark| line.contains(mark))
                };
                let line = text.lines().position(bonded);
                evidence.extend(line.map(|at| Evidence::new(Place::line(&path, at + 1), "cards are bonded")));
            }
        }
        Ok(Finding::from_evidence(evidence))
    },
    fix: None,
};

pub(super) static IPV6: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.ipv6",
        title: "no card has an address of IPv6 of its own",
        severity: Severity::Warning,
        ..META
    },
    detect: |guest| {
        let mut evidence = Vec::new();
        if let Some(windows) = guest.facts.windows.as_ref() {
            let six = windows.addresses.iter().flat_map(|card| &card.addresses).filter(|it| it.contains(':'));
            evidence.extend(six.map(|it| Evidence::new(Place::DISK, format!("the address {it}"))));
        }
        const MARKS: [(&str, &str, &[&str]); 3] = [
            ("/etc/network", "interfaces", &["inet6 static"]),
            ("/etc/sysconfig/network-scripts", "", &["IPV6ADDR="]),
            ("/etc/NetworkManager/system-connections", "", &["address1=2", "address1=fd"]),
        ];
        for (folder, end, marks) in MARKS {
            for path in guest.view.glob(folder, end)? {
                let text = guest.view.text(&path)?.unwrap_or_default();
                let line = text.lines().position(|line| marks.iter().any(|mark| line.contains(mark)));
                evidence
                    .extend(line.map(|at| Evidence::new(Place::line(&path, at + 1), "an address of IPv6")));
            }
        }
        Ok(Finding::from_evidence(evidence))
    },
    fix: None,
};

pub(super) static NAME_LENGTH: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.name-length",
        title: "the name of the machine has at most 63 letters",
        ..META
    },
    detect: |guest| {
        named(guest, |name| {
            let count = name.chars().count();
            (count > agent::NAME).then(|| format!("{name} has {count} letters"))
        })
    },
    fix: None,
};

pub(super) static NAME_LETTERS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.name-letters",
        title: "the name of the machine has letters, digits and hyphens alone",
        ..META
    },
    detect: |guest| named(guest, |name| (!letters(name)).then(|| format!("{name} is no such name"))),
    fix: None,
};

pub(super) static NAME_RESERVED: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.name-reserved",
        title: "the name of the machine is not a reserved word",
        source: &[assessment::AGENT, assessment::NAMES],
        ..META
    },
    detect: |guest| named(guest, |name| reserved(name).then(|| format!("{name} is reserved"))),
    fix: None,
};

pub(super) static SSHD: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.sshd",
        title: "sshd starts at boot, so that the machine is reached",
        severity: Severity::Warning,
        cause: "The document asks for sshd at boot. refloat mends it by linux.sshd.",
        fix: "refloat plan enables it, unless it is masked",
        applies: ON_LINUX,
        ..META
    },
    detect: linux::network::sshd::RULE.detect,
    fix: None,
};

pub(super) static RDP: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.rdp",
        title: "Remote Desktop is on, so that the machine is reached",
        severity: Severity::Warning,
        cause: "The document asks for it before the migration. refloat mends it by windows.network.rdp.",
        fix: "refloat plan turns it on in every control set",
        applies: ON_WINDOWS,
        ..META
    },
    detect: windows::network::rdp::RULE.detect,
    fix: None,
};

pub(super) static SAN: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.san-policy",
        title: "data disks come online by themselves (OnlineAll)",
        severity: Severity::Warning,
        cause: "The document asks for it before the migration. refloat mends it by windows.system.san-policy.",
        fix: "refloat plan sets it in every control set",
        applies: ON_WINDOWS,
        ..META
    },
    detect: windows::system::san_policy::RULE.detect,
    fix: None,
};

/// A fault for each line of fstab with one of these kinds.
fn mounts(guest: &Guest<'_>, kinds: &[&str]) -> Finding {
    let of = guest.facts.fstab.iter().filter(|it| kinds.contains(&it.kind.as_str()));
    let told = of.map(|it| {
        Evidence::new(
            Place::line("/etc/fstab", it.line),
            format!("{} is mounted from {}", it.target, it.spec),
        )
    });
    Finding::from_evidence(told.collect())
}

/// What is wrong with the host name, without its domain.
fn named(guest: &Guest<'_>, wrong: impl FnOnce(&str) -> Option<String>) -> Result<Finding> {
    let Some(name) = guest.facts.hostname.as_ref() else { return Ok(NO_NAME) };
    let what = wrong(first(name));
    Ok(fault(what.is_some(), Place::DISK, what.unwrap_or_default()))
}
