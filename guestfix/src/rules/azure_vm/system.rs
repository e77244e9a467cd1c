//! Which operating systems Azure takes, and which Microsoft and their vendors support there.

use super::{META, fault};
use crate::facts::{Os, OsKind};
use crate::inspect::compare_versions;
use crate::platform::{Firmware, assessment, azure};
use crate::report::{Listing, Support};
use crate::rule::{Applies, Place};
use crate::{Finding, Guest, Result, Rule, RuleMeta, Severity};

const NO_SYSTEM: Finding = Finding::NotApplicable("the operating system is not known");
const ON_LINUX: Applies = Applies::LINUX.on(&azure::AZURE);
const ON_WINDOWS: Applies = Applies::WINDOWS.on(&azure::AZURE);

pub(super) static KNOWN: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.os-known",
        title: "the operating system is one that is known",
        severity: Severity::Blocker,
        cause: "Of a system that it does not know, Azure's assessment says that its readiness is unknown.",
        fix: "find out what the disk holds: refloat inspect shows its volumes",
        ..META
    },
    detect: |guest| {
        let unnamed = guest.facts.os.as_ref().is_none_or(|os| os.id == "linux");
        Ok(fault(unnamed, Place::DISK, "the operating system does not say which it is"))
    },
    fix: None,
};

pub(super) static BITS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.architecture-bits",
        title: "the operating system is one of 64 bits",
        severity: Severity::Blocker,
        cause: "Azure supports no guest of 32 bits; its assessment says not ready.",
        fix: "install a system of 64 bits, and move the data",
        ..META
    },
    detect: is_of_32_bits,
    fix: None,
};

pub(super) static ARM: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.architecture-arm64",
        title: "the operating system runs on x86-64 processors",
        cause: "An arm64 system starts on the sizes with Arm processors alone (Dpsv6, Epsv6 and their like), by \
                generation 2 alone, and refloat has not looked at how it starts.",
        fix: "choose a size whose name has a p, and make the disk with the architecture Arm64",
        source: &[assessment::GENERATION_2],
        ..META
    },
    detect: is_for_arm64,
    fix: None,
};

pub(super) static BOOT_TYPE: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.boot-type",
        title: "the system starts by the firmware of the target",
        severity: Severity::Blocker,
        cause: "Windows Server 2008 and 2008 R2 do not start by UEFI on Azure.",
        fix: "make the machine start by BIOS, or move what it does to a newer Windows",
        applies: ON_WINDOWS.with(Firmware::Uefi),
        ..META
    },
    detect: |guest| {
        let old = build(guest).is_some_and(|build| assessment::NO_UEFI.contains(&build));
        Ok(fault(old, Place::DISK, "a Windows Server 2008 or 2008 R2 that is to start by UEFI"))
    },
    fix: None,
};

pub(super) static BOOT_TYPE_KNOWN: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.boot-type-known",
        title: "the disk shows whether it starts by BIOS or UEFI",
        cause: "Azure's assessment needs the kind of firmware to choose a generation.",
        fix: "see what target.firmware and target.paravirtual say of the disk",
        ..META
    },
    detect: |guest| {
        let starts = guest.view.machine().starts();
        Ok(fault(!starts, Place::DISK, "neither boot code nor an EFI system partition"))
    },
    fix: None,
};

pub(super) static SERVER: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.windows-server",
        title: "the Windows Server is one that the assessment calls ready",
        cause: "Azure's assessment calls Server 2008 to 2022 ready, and others conditionally ready at best: they \
                are older, or channels that are supported for months.",
        fix: "move what it does to a newer Windows Server",
        applies: ON_WINDOWS,
        ..META
    },
    detect: |guest| {
        let Some(build) = build(guest).filter(|_| is_server(guest)) else {
            return Ok(Finding::NotApplicable("it is no Windows Server"));
        };
        let known = assessment::SERVERS.contains(&build) || assessment::NEWER_SERVERS.contains(&build);
        Ok(fault(!known, Place::DISK, format!("the build {build} is not on the list")))
    },
    fix: None,
};

pub(super) static CLIENT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.windows-client",
        title: "the Windows is a server",
        cause: "A Windows for desktops may run on Azure with multi-tenant hosting rights alone; the assessment \
                calls it conditionally ready.",
        fix: "see to the licence (multi-tenant hosting rights), or use Azure Virtual Desktop",
        applies: ON_WINDOWS,
        ..META
    },
    detect: |guest| {
        let Some(os) = guest.facts.os.as_ref() else { return Ok(NO_SYSTEM) };
        Ok(fault(!is_server(guest), Place::DISK, format!("{} is no server", os.pretty_name)))
    },
    fix: None,
};

pub(super) static WINDOWS_ENDED: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.windows-support",
        title: "Microsoft supports the Windows",
        cause: "A Windows whose support has ended gets no updates, on Azure as elsewhere; extended updates of \
                Server 2012 and 2012 R2 ended on 2026-10-13.",
        fix: "plan to move what it does to a newer Windows",
        source: &[assessment::ASSESSMENT, assessment::LIFE_CYCLES],
        applies: ON_WINDOWS,
        ..META
    },
    detect: |guest| Ok(unlisted(guest, |_| true)),
    fix: None,
};

pub(super) static DISTRIBUTION: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.linux-endorsed",
        title: "Microsoft endorses the distribution",
        cause: "Azure's assessment calls a distribution that is not endorsed conditionally ready: it may start, \
                and its vendor does not stand behind it on Azure.",
        fix: "ask the vendor, or plan to move to a distribution that is endorsed",
        source: &[assessment::ASSESSMENT, assessment::ENDORSED],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(unlisted(guest, |os| !Support::knows(&os.id))),
    fix: None,
};

pub(super) static VERSION: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.linux-version",
        title: "Microsoft endorses the version of the distribution",
        cause: "The distribution is endorsed, and this version of it is not, or no longer.",
        fix: "upgrade to a version that is endorsed",
        source: &[assessment::ASSESSMENT, assessment::ENDORSED],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(unlisted(guest, |os| Support::knows(&os.id))),
    fix: None,
};

pub(super) static ENDED: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.linux-support",
        title: "the vendor supports the release",
        cause: "A release whose support has ended gets no updates unless they are bought.",
        fix: "upgrade, or buy the vendor's extended support",
        source: &[assessment::LIFE_CYCLES],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let Some(os) = guest.facts.os.as_ref() else { return Ok(NO_SYSTEM) };
        let ends = assessment::ENDS.iter().filter(|(id, ..)| *id == os.id);
        let Some((_, first, oldest)) = ends.clone().next() else {
            return Ok(Finding::NotApplicable("when its vendor ends its support is not known"));
        };
        let Some(version) = os.version.as_deref() else {
            return Ok(Finding::unknown(Place::DISK, "the version of the distribution is not known"));
        };
        let of = |start: &str| version == start || version.starts_with(&format!("{start}."));
        let name = &os.pretty_name;
        Ok(match ends.clone().find(|(_, start, _)| of(start)) {
            Some((.., day)) => fault(true, Place::DISK, format!("support of {name} ended on {day}")),
            None => {
                let older = compare_versions(version, first).is_lt();
                fault(older, Place::DISK, format!("support of {name} ended before {oldest}"))
            }
        })
    },
    fix: None,
};

pub(super) static AMAZON: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.amazon-linux",
        title: "the system is not Amazon Linux",
        cause: "Azure Migrate says that Amazon Linux cannot be migrated. It starts on Azure where the boot pack \
                says so, and neither Amazon nor Microsoft supports it there.",
        fix: "plan to move to a distribution that is endorsed: AlmaLinux, Rocky Linux or RHEL are the nearest",
        source: &[crate::rule::Source::new(
            "Microsoft Learn",
            "Discover, assess, and migrate Amazon Web Services (AWS) EC2 instances to Azure",
            "2025-02-07",
        )],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let amazon = guest.facts.os.as_ref().is_some_and(|os| os.id == "amzn");
        Ok(fault(amazon, Place::DISK, "Amazon Linux"))
    },
    fix: None,
};

pub(super) static KERNEL: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.kernel-version",
        title: "the kernel is 3.8 or newer, or one of Red Hat's that has its drivers",
        cause: "Older kernels have no drivers for Hyper-V, or early ones with known faults.",
        fix: "install a newer kernel, and check again",
        source: &[assessment::LINUX],
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let Some(kernel) = guest.facts.default_kernel() else {
            return Ok(Finding::NotApplicable("which kernel starts is not known"));
        };
        let least = match kernel.version.contains(".el6") {
            true => assessment::KERNEL_OF_RED_HAT,
            false => assessment::KERNEL,
        };
        let old = compare_versions(&kernel.version, least).is_lt();
        let place = kernel.image.clone().unwrap_or_else(|| "/boot".to_owned());
        Ok(fault(old, place, format!("{} is older than {least}", kernel.version)))
    },
    fix: None,
};

pub(in crate::rules) fn is_of_32_bits(guest: &Guest<'_>) -> Result<Finding> {
    let narrow = arch(guest).is_some_and(|arch| matches!(arch, "i386" | "x86"));
    Ok(fault(narrow, Place::DISK, "the programs are of 32 bits"))
}

pub(in crate::rules) fn is_for_arm64(guest: &Guest<'_>) -> Result<Finding> {
    Ok(fault(arch(guest) == Some("aarch64"), Place::DISK, "the programs are for arm64"))
}

pub(in crate::rules) fn arch(guest: &Guest<'_>) -> Option<&'static str> {
    guest.facts.os.as_ref().and_then(|os| os.arch)
}

pub(in crate::rules) fn build(guest: &Guest<'_>) -> Option<u32> {
    guest.facts.windows.as_ref().and_then(|windows| windows.build)
}

pub(in crate::rules) fn is_server(guest: &Guest<'_>) -> bool {
    guest.facts.windows.as_ref().is_some_and(|windows| windows.is_server())
}

/// A fault where the system is not on the list of its vendor and of a kind that is asked for.
fn unlisted(guest: &Guest<'_>, of: impl FnOnce(&Os) -> bool) -> Finding {
    let Some(os) = guest.facts.os.as_ref() else { return NO_SYSTEM };
    if os.kind == OsKind::Windows && !is_server(guest) {
        return Finding::NotApplicable("see azure-vm.windows-client");
    }
    let support = Support::of(Some(os), guest.goal.target.platform);
    fault(support.answer == Listing::NotListed && of(os), Place::DISK, support.why)
}
