//! Whether Azure has a size for the machine: by the type of instance that it ran on.

use super::{META, fault};
use crate::instance::Instance;
use crate::platform::assessment;
use crate::rule::Place;
use crate::sizing::Wishes;
use crate::{Finding, Guest, Result, Rule, RuleMeta, Severity, sizing};

pub(super) static CORES: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.cores",
        title: "Azure has a size with as many processors",
        severity: Severity::Blocker,
        cause: "A machine that has more virtual processors than the largest size of Azure's finds no place.",
        fix: "choose fewer processors, by what the machine uses of them",
        ..META
    },
    detect: |guest| {
        of(guest, |it| {
            let most = sizing::sizes().iter().map(|size| size.vcpus).max().unwrap_or(0);
            fault(
                it.vcpus > most,
                Place::Platform,
                format!("{} has {}, and Azure at most {most}", it.kind, it.vcpus),
            )
        })
    },
    fix: None,
};

pub(super) static MEMORY: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.memory",
        title: "Azure has a size with as much memory",
        severity: Severity::Blocker,
        cause: "A machine that has more memory than the largest size of Azure's finds no place.",
        fix: "choose less memory, by what the machine uses of it",
        ..META
    },
    detect: |guest| {
        of(guest, |it| {
            let most = sizing::sizes().iter().map(|size| size.memory_mib).max().unwrap_or(0);
            let what = format!("{} has {} MiB, and Azure at most {most}", it.kind, it.memory_mib);
            fault(it.memory_mib > most, Place::Platform, what)
        })
    },
    fix: None,
};

pub(super) static CARDS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.network-cards",
        title: "the machine may have at most 32 network cards",
        severity: Severity::Blocker,
        cause: "The assessment refuses more than 32 cards; most sizes take 2 to 8, and a machine with more than \
                its size takes loses some.",
        fix: "put the addresses of several cards on one",
        ..META
    },
    detect: |guest| {
        of(guest, |it| {
            let what = format!("{} may have {} cards", it.kind, it.cards);
            fault(it.cards > assessment::CARDS, Place::Platform, what)
        })
    },
    fix: None,
};

pub(super) static EXISTS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.size",
        title: "a size of Azure's has the processors and the memory of the instance",
        severity: Severity::Blocker,
        cause: "Without a size that has both, the machine gets less than it had; one of another generation, or with \
                too few disks, does not take it at all.",
        fix: "choose by what the machine uses: its metrics say how much; or start it by UEFI",
        ..META
    },
    detect: |guest| {
        of(guest, |it| {
            let sizes = guest.hardware.sizes();
            let disks = guest.view.machine().sizes().count();
            let wishes = Wishes::of(guest.goal.target.firmware, guest.facts.starts_from_nvme(), disks);
            let why = sizing::why_none(it, wishes, sizes);
            fault(why.is_some(), Place::Platform, why.unwrap_or_default())
        })
    },
    fix: None,
};

pub(super) static GPU: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.accelerators",
        title: "the instance has no accelerators",
        cause: "Sizes with accelerators (N) are in some regions only, need a quota, and other drivers than those \
                of EC2.",
        fix: "ask for quota of an N size, and install its driver after the move",
        ..META
    },
    detect: |guest| {
        of(guest, |it| {
            fault(it.gpus > 0, Place::Platform, format!("{} has {} accelerators", it.kind, it.gpus))
        })
    },
    fix: None,
};

pub(super) static LOCAL_DISKS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.local-disks",
        title: "the instance has no disks of its host",
        cause: "What is on an instance store is in no snapshot, and Azure's local disks begin empty at every \
                start on another host.",
        fix: "copy what is wanted to a volume before the snapshot, and choose a size with a d if a scratch disk is",
        ..META
    },
    detect: |guest| {
        of(guest, |it| {
            fault(it.local_gb > 0, Place::Platform, format!("{} has {} GB of them", it.kind, it.local_gb))
        })
    },
    fix: None,
};

pub(super) static METAL: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.bare-metal",
        title: "the instance is a virtual machine",
        cause: "Azure has no sizes that are whole hosts, but for those of BareMetal Infrastructure and Azure \
                VMware Solution. A hypervisor in the guest needs a size with nested virtualization.",
        fix: "see why the machine is a whole host: for a licence take a dedicated host, for a hypervisor a size \
              with nested virtualization",
        ..META
    },
    detect: |guest| of(guest, |it| fault(it.metal, Place::Platform, format!("{} is a whole host", it.kind))),
    fix: None,
};

pub(super) static DEFENDER: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.defender-size",
        title: "the machine is large enough for Defender for Servers",
        severity: Severity::Note,
        cause: "Defender for Servers wants 2 processors and 1 GB of memory.",
        fix: "choose a size with 2 processors if Defender is wanted",
        ..META
    },
    detect: |guest| {
        of(guest, |it| {
            let small = it.vcpus < 2 || it.memory_mib < 1024;
            fault(
                small,
                Place::Platform,
                format!("{}: {} processors, {} MiB", it.kind, it.vcpus, it.memory_mib),
            )
        })
    },
    fix: None,
};

/// What is said of the instance, where it is known.
fn of(guest: &Guest<'_>, say: impl FnOnce(&Instance) -> Finding) -> Result<Finding> {
    Ok(guest.hardware.instance.map_or(Finding::NotApplicable("the type of the instance is not known"), say))
}
