//! What is in the guest that Azure's network, names or machines do not take.

use super::{META, fault};
use crate::facts::{Agent, Driver, OsKind};
use crate::platform::{Firmware, assessment, azure};
use crate::rule::{Applies, Evidence, Place, Source};
use crate::{Finding, Guest, Result, Rule, RuleMeta, Severity};

const ON_LINUX: Applies = Applies::LINUX.on(&azure::AZURE);
const NO_NAME: Finding = Finding::NotApplicable("the host name is not known");

pub(super) static NAME_LENGTH: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.name-length",
        title: "the host name is one that a machine of Azure may have",
        cause: "A machine is called by up to 64 letters, a Windows by up to 15. The name in Azure may be another \
                one than that in the guest, which is what confuses.",
        fix: "give the machine a shorter name in Azure (emit --name)",
        source: &[assessment::NAMING],
        ..META
    },
    detect: |guest| {
        let Some(name) = guest.facts.hostname.as_ref() else { return Ok(NO_NAME) };
        let own = first(name);
        let windows = guest.facts.os.as_ref().is_some_and(|os| os.kind == OsKind::Windows);
        let most = if windows { 15 } else { 64 };
        let what = format!("{own} has {} letters, more than {most}", own.chars().count());
        Ok(fault(own.chars().count() > most, Place::DISK, what))
    },
    fix: None,
};

pub(super) static NAME_LETTERS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.name-letters",
        title: "the host name has letters, digits and hyphens alone",
        cause: "Azure refuses a machine with other characters in its name, or a hyphen at its end.",
        fix: "give the machine another name in Azure (emit --name)",
        source: &[assessment::NAMING],
        ..META
    },
    detect: |guest| {
        let Some(name) = guest.facts.hostname.as_ref() else { return Ok(NO_NAME) };
        Ok(fault(!letters(first(name)), Place::DISK, format!("{} is no name of a machine", first(name))))
    },
    fix: None,
};

pub(super) static NAME_RESERVED: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.name-reserved",
        title: "the host name is not a reserved word",
        cause: "Azure gives no address by such a name (LOGIN.., .. WINDOWS .., AZURE and others).",
        fix: "give the machine another name in Azure (emit --name)",
        source: &[assessment::NAMES],
        ..META
    },
    detect: |guest| {
        let Some(name) = guest.facts.hostname.as_ref() else { return Ok(NO_NAME) };
        Ok(fault(reserved(first(name)), Place::DISK, format!("{} is reserved", first(name))))
    },
    fix: None,
};

pub(super) static UDF: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.udf",
        title: "the kernel can read UDF",
        severity: Severity::Note,
        cause: "The agent reads what a new machine is to be from a disc of UDF. A machine that was moved is not \
                provisioned; one that is made from an image of it is.",
        fix: "install the kernel's further modules (kernel-modules-extra, linux-modules-extra) before making an \
              image of it",
        source: &[assessment::LINUX],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(lacks(guest, "udf")),
    fix: None,
};

pub(super) static VFAT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.vfat",
        title: "the kernel can read FAT",
        cause: "The EFI system partition is FAT: without the driver, whoever mounts it at boot waits and fails, \
                and no loader is updated.",
        fix: "install the kernel's further modules",
        source: &[assessment::LINUX],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(lacks(guest, "vfat")),
    fix: None,
};

pub(super) static AGENT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.agent",
        title: "an agent of Azure's or cloud-init is in the guest",
        severity: Severity::Note,
        cause: "Without one, Azure's portal cannot reset a password, run a command or install an extension.",
        fix: "install walinuxagent after the move",
        source: &[assessment::LINUX],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let there = guest.facts.agents.iter().any(|it| matches!(it, Agent::WaLinux | Agent::CloudInit));
        Ok(fault(!there, Place::DISK, "neither walinuxagent nor cloud-init"))
    },
    fix: None,
};

pub(super) static NVME: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.nvme",
        title: "the kernel that starts can use NVMe disks",
        cause: "The newest sizes attach all disks by NVMe alone: a kernel without the driver sees none there.",
        fix: "choose a size whose disks are SCSI (v5 and older), or install a kernel with the driver",
        source: &[assessment::NVME],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(lacks(guest, "nvme")),
    fix: None,
};

pub(super) static GENERATION: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.generation",
        title: "the machine starts by UEFI, as the newest sizes want it",
        severity: Severity::Note,
        cause: "Many new sizes start machines of generation 2 alone, and trusted launch, confidential machines \
                and NVMe disks are for them alone.",
        fix: "choose a size that takes generation 1, or make the machine start by UEFI before or after the move",
        source: &[assessment::GENERATION_2],
        ..META
    },
    detect: |guest| {
        let bios = guest.goal.target.firmware == Firmware::Bios;
        Ok(fault(bios, Place::Platform, "generation 1 starts by BIOS"))
    },
    fix: None,
};

pub(super) static CLUSTER: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.cluster",
        title: "the machine is no member of a cluster",
        cause: "A cluster takes its address and its disks from one machine to another: on Azure that takes a load \
                balancer and shared disks, and fencing by another agent.",
        fix: "move all members together, with shared disks, an internal load balancer and Azure's fence agent",
        source: &[assessment::NETWORK, assessment::DISKS],
        ..META
    },
    detect: |guest| {
        any_of(
            guest,
            &["/etc/corosync/corosync.conf", "/etc/cluster/cluster.conf", "/Windows/Cluster/CLUSDB"],
            "a cluster's configuration",
        )
    },
    fix: None,
};

pub(super) static FLOATING: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.floating-address",
        title: "no address floats between machines",
        cause: "VRRP needs multicast and gratuitous ARP, and Azure's networks carry neither: the address stays \
                where it was given.",
        fix: "put a load balancer in the place of keepalived",
        source: &[assessment::NETWORK],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        any_of(guest, &["/etc/keepalived/keepalived.conf", "/etc/ucarp"], "an address that floats")
    },
    fix: None,
};

pub(super) static DHCP_SERVER: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.dhcp-server",
        title: "the machine gives no addresses to others",
        cause: "Azure's networks give addresses themselves, and carry no requests to another server.",
        fix: "leave the addresses to the virtual network",
        source: &[assessment::NETWORK],
        ..META
    },
    detect: |guest| {
        any_of(
            guest,
            &["/etc/dhcp/dhcpd.conf", "/etc/kea/kea-dhcp4.conf", "/Windows/System32/dhcp/dhcp.mdb"],
            "a DHCP server's configuration",
        )
    },
    fix: None,
};

pub(super) static TUNNELS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.tunnels",
        title: "no tunnel is one of IP in IP or GRE",
        cause: "Azure's networks drop packets of IP in IP and of GRE.",
        fix: "use VXLAN, WireGuard or IPsec over UDP",
        source: &[assessment::NETWORK],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        const FOLDER: &str = "/etc/systemd/network";
        let mut evidence = Vec::new();
        for path in guest.view.glob(FOLDER, ".netdev")? {
            let text = guest.view.text(&path)?.unwrap_or_default();
            let kinds = ["Kind=gre", "Kind=gretap", "Kind=ipip", "Kind=sit"];
            let line = text.lines().position(|line| kinds.contains(&line.trim()));
            evidence
                .extend(line.map(|at| Evidence::new(Place::line(&path, at + 1), "a tunnel that is dropped")));
        }
        Ok(Finding::from_evidence(evidence))
    },
    fix: None,
};

pub(super) static HYPERVISOR: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.nested-hypervisor",
        title: "the guest runs no virtual machines",
        severity: Severity::Note,
        cause: "A hypervisor in the guest needs a size with nested virtualization, and not trusted launch on all \
                of them.",
        fix: "choose a size with nested virtualization (v3 to v6 of D and E)",
        source: &[Source::unread("Microsoft Learn", "Sizes with nested virtualization; Trusted Launch FAQ")],
        ..META
    },
    detect: |guest| {
        any_of(guest, &["/usr/sbin/libvirtd", "/Windows/System32/vmms.exe"], "a hypervisor is installed")
    },
    fix: None,
};

pub(super) static SQL: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.sql-server",
        title: "SQL Server is not on the machine, or its licence is seen to",
        severity: Severity::Note,
        cause: "A licence of SQL Server that AWS included ends with the instance. Azure bills one, or takes one of \
                yours by hybrid benefit, once the machine is registered.",
        fix: "register it by emit --sql-license, and move tempdb off a temporary disk that AWS had",
        source: &[Source::new(
            "Microsoft Learn",
            "Automate management with the Windows SQL Server IaaS Agent extension",
            "2023-10-16",
        )],
        ..META
    },
    detect: |guest| {
        any_of(
            guest,
            &["/opt/mssql/bin/sqlservr", "/Program Files/Microsoft SQL Server"],
            "SQL Server is installed",
        )
    },
    fix: None,
};

/// A host name without its domain.
pub(in crate::rules) fn first(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Whether it is letters, digits and hyphens, the last not at an end.
pub(in crate::rules) fn letters(name: &str) -> bool {
    let inner = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    inner && !name.is_empty() && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether Azure keeps the name for itself.
pub(in crate::rules) fn reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    assessment::RESERVED.contains(&name.as_str())
        || assessment::RESERVED_PARTS.iter().any(|part| name.contains(part))
        || assessment::RESERVED_STARTS.iter().any(|start| name.starts_with(start))
}

/// A fault for each of these files or folders that is there.
pub(in crate::rules) fn any_of(guest: &Guest<'_>, paths: &[&str], what: &str) -> Result<Finding> {
    let mut evidence = Vec::new();
    for path in paths {
        if guest.view.exists(path)? {
            evidence.push(Evidence::new(*path, what));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

/// A fault if the kernel that starts does not have this driver.
fn lacks(guest: &Guest<'_>, driver: &str) -> Finding {
    let Some(kernel) = guest.facts.default_kernel() else {
        return Finding::NotApplicable("which kernel starts is not known");
    };
    let there = kernel.drivers.get(driver).is_some_and(|place| *place != Driver::Absent);
    let place = kernel.modules.clone().or(kernel.image.clone()).unwrap_or_else(|| "/boot".to_owned());
    fault(!there, place, format!("{} has no driver {driver}", kernel.version))
}
