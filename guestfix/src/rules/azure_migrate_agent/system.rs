//! Which operating systems it moves.

use super::super::azure_vm::system::{build, is_for_arm64, is_of_32_bits, is_server};
use super::{META, fault};
use crate::facts::{Loader, Os, OsKind};
use crate::inspect::compare_versions;
use crate::platform::assessment::{self, agent};
use crate::platform::{Firmware, aws, azure};
use crate::rule::{Applies, Evidence, Place};
use crate::{Finding, Guest, Rule, RuleMeta};

const ON_LINUX: Applies = Applies::LINUX.on(&azure::AZURE);
const ON_WINDOWS: Applies = Applies::WINDOWS.on(&azure::AZURE);
const NO_SYSTEM: Finding = Finding::NotApplicable("the operating system is not known");
const BOTH: &[crate::rule::Source] = &[assessment::AGENT, assessment::REPLICATION];

pub(super) static WINDOWS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.windows-version",
        title: "the Windows is one that the agent runs on",
        source: BOTH,
        applies: ON_WINDOWS,
        ..META
    },
    detect: |guest| {
        let Some(build) = build(guest) else { return Ok(NO_SYSTEM) };
        // Of Server 2008 R2 see the service pack.
        let known = agent::WINDOWS.contains(&build) || build == 7600;
        Ok(fault(!known, Place::DISK, format!("the build {build} is not on its list")))
    },
    fix: None,
};

pub(super) static SERVICE_PACK: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.windows-service-pack",
        title: "a Windows 7 or Server 2008 R2 has its service pack 1",
        source: BOTH,
        applies: ON_WINDOWS,
        ..META
    },
    detect: |guest| {
        Ok(fault(build(guest) == Some(7600), Place::DISK, "the build 7600 is without service pack 1"))
    },
    fix: None,
};

pub(super) static BITS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.architecture-bits",
        title: "the operating system is one of 64 bits",
        ..META
    },
    detect: is_of_32_bits,
    fix: None,
};

pub(super) static ARM: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.architecture-arm64",
        title: "the operating system runs on x86-64 processors",
        ..META
    },
    detect: is_for_arm64,
    fix: None,
};

pub(super) static DISTRIBUTION: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.linux-distribution",
        title: "the distribution is one that the agent runs on",
        source: BOTH,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let Some(os) = guest.facts.os.as_ref() else { return Ok(NO_SYSTEM) };
        let known = agent::LINUX.iter().any(|(id, _)| *id == os.id);
        Ok(fault(!known, Place::DISK, format!("{} is not on its list", os.pretty_name)))
    },
    fix: None,
};

pub(super) static VERSION: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.linux-version",
        title: "the version of the distribution is one that the agent runs on",
        source: BOTH,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(of_version(guest, &agent::LINUX, "is not on its list")),
    fix: None,
};

pub(super) static UEFI_2008: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.uefi-windows-2008",
        title: "no Windows Server 2008 or 2008 R2 starts by UEFI",
        source: BOTH,
        applies: ON_WINDOWS.with(Firmware::Uefi),
        ..META
    },
    detect: |guest| {
        let old = build(guest).is_some_and(|build| assessment::NO_UEFI.contains(&build));
        Ok(fault(old, Place::DISK, "it is to start by UEFI"))
    },
    fix: None,
};

pub(super) static UEFI_SYSTEM: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.uefi-system",
        title: "a system that starts by UEFI is one that it moves so",
        source: &[assessment::UEFI_SYSTEMS],
        applies: META.applies.with(Firmware::Uefi),
        ..META
    },
    detect: |guest| {
        let Some(os) = guest.facts.os.as_ref() else { return Ok(NO_SYSTEM) };
        if os.kind == OsKind::Windows {
            let first = if is_server(guest) { agent::UEFI_SERVER } else { agent::UEFI_CLIENT };
            let old = build(guest).is_some_and(|build| build < first);
            return Ok(fault(old, Place::DISK, format!("{} is not moved by UEFI", os.pretty_name)));
        }
        if !agent::UEFI_LINUX.iter().any(|(id, _)| *id == os.id) {
            return Ok(fault(true, Place::DISK, format!("{} is not moved by UEFI", os.pretty_name)));
        }
        Ok(of_version(guest, &agent::UEFI_LINUX, "is not moved by UEFI"))
    },
    fix: None,
};

pub(super) static CLOUD_KERNEL: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.aws-kernel",
        title: "the kernel that starts is not one that is built for AWS",
        cause: "The agent has a driver for each kernel on a list, and Ubuntu's kernels for AWS are not on it: the \
                list has the generic ones and those for Azure.",
        source: &[assessment::REPLICATION],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(of_kernel(guest, &["-aws"], "is built for AWS")),
    fix: None,
};

pub(super) static FOREIGN_KERNEL: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.foreign-kernel",
        title: "the kernel that starts is the distribution's own",
        cause: "The agent has drivers for the kernels of the distributions alone.",
        source: &[assessment::REPLICATION],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        Ok(of_kernel(
            guest,
            &["elrepo", "xanmod", "liquorix", "zabbly", "-custom"],
            "is not the distribution's",
        ))
    },
    fix: None,
};

pub(super) static PARAVIRTUAL: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.paravirtual",
        title: "the machine is not a paravirtual AMI",
        cause: "Azure Migrate does not find paravirtual machines, and its agent does not move them.",
        source: &[assessment::DISCOVERY],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let legacy = guest.facts.boot.loader == Loader::GrubLegacy;
        let loader = if legacy { Loader::GrubLegacy } else { Loader::None };
        let is = guest.view.machine().is_paravirtual(loader);
        Ok(fault(is, Place::DISK, "no firmware starts it, and EC2's PV-GRUB did"))
    },
    fix: None,
};

pub(super) static XEN_DRIVERS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.xen-drivers",
        title: "no drivers or tools of Xen are installed",
        source: BOTH,
        ..META
    },
    detect: |guest| {
        let mut evidence = Vec::new();
        if let Some(windows) = guest.facts.windows.as_ref() {
            let xen = windows.services.iter().filter(|it| {
                let known = aws::windows::DRIVERS.iter().any(|name| name.eq_ignore_ascii_case(&it.name));
                known && it.name.to_ascii_lowercase().starts_with("xen") && it.has_file
            });
            evidence.extend(xen.map(|it| Evidence::new(Place::DISK, format!("the driver {}", it.name))));
        }
        for path in ["/usr/sbin/xe-daemon", "/usr/sbin/xe-linux-distribution"] {
            if guest.view.exists(path)? {
                evidence.push(Evidence::new(path, "a tool of XenServer"));
            }
        }
        Ok(Finding::from_evidence(evidence))
    },
    fix: None,
};

/// A fault where the distribution is on the list, and its version is not.
fn of_version(guest: &Guest<'_>, list: &[(&str, &[(&str, &str)])], what: &str) -> Finding {
    let Some(Os { id, version, pretty_name, .. }) = guest.facts.os.as_ref() else { return NO_SYSTEM };
    let Some((_, ranges)) = list.iter().find(|(known, _)| known == id) else {
        return Finding::NotApplicable("the distribution is not on the list");
    };
    let Some(version) = version else {
        return Finding::unknown(Place::DISK, "the version of the distribution is not known");
    };
    let within = |(from, to): &(&str, &str)| {
        !compare_versions(version, from).is_lt() && !compare_versions(version, to).is_gt()
    };
    fault(!ranges.iter().any(within), Place::DISK, format!("{pretty_name} {what}"))
}

/// A fault where the kernel that starts has one of these in its version.
fn of_kernel(guest: &Guest<'_>, parts: &[&str], what: &str) -> Finding {
    let Some(kernel) = guest.facts.default_kernel() else {
        return Finding::NotApplicable("which kernel starts is not known");
    };
    let is = parts.iter().any(|part| kernel.version.contains(part));
    let place = kernel.image.clone().unwrap_or_else(|| "/boot".to_owned());
    fault(is, place, format!("{} {what}", kernel.version))
}
