//! Which disks and volumes it copies.

use super::super::azure_vm::disks::has_odd_sectors;
use super::{META, fault};
use crate::device::Device;
use crate::facts::{SignatureKind, Volume};
use crate::platform::assessment::{self, agent};
use crate::platform::{Firmware, azure};
use crate::rule::{Applies, Evidence, Place};
use crate::{Finding, Guest, Rule, RuleMeta, Severity};

const ON_LINUX: Applies = Applies::LINUX.on(&azure::AZURE);
const BY_UEFI: Applies = META.applies.with(Firmware::Uefi);
const BOTH: &[crate::rule::Source] = &[assessment::AGENT, assessment::REPLICATION];
const REPLICATION: &[crate::rule::Source] = &[assessment::REPLICATION];

pub(super) static OS_BIOS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.os-disk-bios",
        title: "the disk of a system that starts by BIOS is at most 2 TiB",
        source: BOTH,
        applies: META.applies.with(Firmware::Bios),
        ..META
    },
    detect: |guest| Ok(os_larger(guest, agent::OS_DISK[0])),
    fix: None,
};

pub(super) static OS_UEFI: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.os-disk-uefi",
        title: "the disk of a system that starts by UEFI is not larger than the tool takes",
        source: BOTH,
        applies: BY_UEFI,
        ..META
    },
    detect: |guest| Ok(os_larger(guest, agent::OS_DISK[1])),
    fix: None,
};

pub(super) static DATA: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.data-disk-size",
        title: "no data disk is larger than 32,767 GiB",
        source: BOTH,
        ..META
    },
    detect: |guest| {
        let large = guest.view.machine().sizes().skip(1).filter(|(_, size)| *size > agent::DATA_DISK);
        let told = large.map(|(place, size)| Evidence::new(place, format!("{size} bytes")));
        Ok(Finding::from_evidence(told.collect()))
    },
    fix: None,
};

pub(super) static LEAST: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.disk-least",
        title: "every disk is larger than 1 GiB",
        source: REPLICATION,
        ..META
    },
    detect: |guest| {
        let small = guest.view.machine().sizes().filter(|(_, size)| *size <= agent::LEAST);
        let told = small.map(|(place, size)| Evidence::new(place, format!("{size} bytes")));
        Ok(Finding::from_evidence(told.collect()))
    },
    fix: None,
};

pub(super) static COUNT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.disk-count",
        title: "the machine has at most 63 data disks",
        severity: Severity::Warning,
        cause: "One table of the document says 63 disks for each machine, another one 64.",
        ..META
    },
    detect: |guest| {
        let count = guest.view.machine().data_disks.len();
        Ok(fault(count > agent::DATA_DISKS, Place::DISK, format!("the machine has {count} data disks")))
    },
    fix: None,
};

pub(super) static SECTORS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.sector-size",
        title: "every disk has logical sectors of 512 bytes",
        source: REPLICATION,
        ..META
    },
    detect: has_odd_sectors,
    fix: None,
};

pub(super) static PARTITIONS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.uefi-partitions",
        title: "a disk that starts by UEFI has at most 4 partitions",
        applies: BY_UEFI,
        ..META
    },
    detect: |guest| {
        let count = guest.view.machine().volumes_on(0).filter(|it| it.number > 0).count();
        Ok(fault(count > agent::PARTITIONS, Place::DISK, format!("the disk has {count} partitions")))
    },
    fix: None,
};

pub(super) static NTFS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.uefi-ntfs",
        title: "the volumes of a disk that starts by UEFI are NTFS",
        severity: Severity::Note,
        cause: "The document says so of all machines that start by UEFI; it lists Linux distributions that do as \
                well, so it cannot be meant of these.",
        applies: BY_UEFI,
        ..META
    },
    detect: |guest| {
        let other = |it: &&Volume| {
            it.number > 0
                && it.kind.is_some_and(|kind| kind != SignatureKind::Ntfs && kind != SignatureKind::Vfat)
        };
        Ok(each(guest.view.machine().volumes_on(0).filter(other)))
    },
    fix: None,
};

pub(super) static LUKS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.luks",
        title: "no volume is encrypted by LUKS",
        source: BOTH,
        ..META
    },
    detect: |guest| Ok(of_kinds(guest, &[SignatureKind::Luks])),
    fix: None,
};

pub(super) static BITLOCKER: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.bitlocker",
        title: "no volume is encrypted by BitLocker",
        source: BOTH,
        ..META
    },
    detect: |guest| Ok(of_kinds(guest, &[SignatureKind::BitLocker])),
    fix: None,
};

pub(super) static BOOT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.boot-disk",
        title: "the system boots from the disk that it is on",
        source: BOTH,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let (Some(root), Some(boot)) = (mounted(guest, "/"), mounted(guest, "/boot")) else {
            return Ok(Finding::NotApplicable("/boot is no volume of its own"));
        };
        let (root, disks) = (root.device.disks(), boot.device.disks());
        Ok(fault(root != disks, Place::volume(&boot.name), "/boot is on another disk than the system"))
    },
    fix: None,
};

pub(super) static FOLDERS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.system-folders",
        title: "/, /boot, /usr, /usr/local, /var and /etc are on the disk of the system",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let mut evidence = Vec::new();
        for point in ["/", "/boot", "/usr", "/usr/local", "/var", "/etc"] {
            let volume = mounted(guest, point).filter(|it| it.device.disks().iter().any(|disk| *disk != 0));
            evidence.extend(
                volume
                    .map(|it| Evidence::new(Place::volume(&it.name), format!("{point} is on another disk"))),
            );
        }
        Ok(Finding::from_evidence(evidence))
    },
    fix: None,
};

pub(super) static ROOT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.root-file-system",
        title: "the root is ext3, ext4, XFS or btrfs",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let root = mounted(guest, "/");
        let odd = root.filter(|it| !it.kind_name().is_some_and(|kind| agent::FILE_SYSTEMS.contains(&kind)));
        Ok(each(odd.into_iter()))
    },
    fix: None,
};

pub(super) static KINDS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.file-systems",
        title: "every file system of a Linux is one that the tool knows",
        severity: Severity::Warning,
        source: BOTH,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        Ok(of_kinds(
            guest,
            &[
                SignatureKind::Reiserfs,
                SignatureKind::Reiser4,
                SignatureKind::Jfs,
                SignatureKind::F2fs,
                SignatureKind::Nilfs2,
                SignatureKind::Bcachefs,
                SignatureKind::Zfs,
                SignatureKind::Vxfs,
                SignatureKind::Stratis,
                SignatureKind::Vdo,
                SignatureKind::Bcache,
                SignatureKind::OracleAsm,
            ],
        ))
    },
    fix: None,
};

pub(super) static BTRFS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.btrfs-devices",
        title: "a btrfs is on one device",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let all: Vec<&Volume> =
            guest.view.machine().volumes.iter().filter(|it| it.kind == Some(SignatureKind::Btrfs)).collect();
        let twice =
            |it: &&&Volume| it.uuid.is_some() && all.iter().filter(|other| other.uuid == it.uuid).count() > 1;
        Ok(each(all.iter().filter(twice).copied()))
    },
    fix: None,
};

pub(super) static DYNAMIC: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.dynamic-disk",
        title: "the disk of a Windows is a basic one",
        source: REPLICATION,
        ..META
    },
    detect: |guest| {
        let on_first = guest.view.machine().volumes_on(0);
        Ok(each(on_first.filter(|it| it.kind == Some(SignatureKind::DynamicDisk))))
    },
    fix: None,
};

pub(super) static SPACES: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.storage-spaces",
        title: "no disk is in a pool of Storage Spaces",
        source: REPLICATION,
        ..META
    },
    detect: |guest| Ok(of_kinds(guest, &[SignatureKind::StorageSpaces])),
    fix: None,
};

pub(super) static THIN: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.lvm-thin",
        title: "no logical volume is a thin one",
        severity: Severity::Note,
        cause: "Thin volumes are moved by newer releases of the tool alone (update rollup 61 and later).",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let thin = |it: &&Volume| match &it.device {
            Device::Logical(logical) => logical.refused.as_ref().is_some_and(|why| why.contains("thin")),
            Device::Range(_) => false,
        };
        let by_reason = |it: &&Volume| it.unreadable.as_ref().is_some_and(|why| why.contains("thin"));
        Ok(each(guest.view.machine().volumes.iter().filter(|it| thin(it) || by_reason(it))))
    },
    fix: None,
};

pub(super) static NAMES: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.volume-names",
        title: "no two volumes have names that differ in case alone",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let all = &guest.view.machine().volumes;
        let alike = |it: &&Volume| {
            let same = |other: &&Volume| other.name != it.name && other.name.eq_ignore_ascii_case(&it.name);
            all.iter().any(|other| same(&other))
        };
        Ok(each(all.iter().filter(alike)))
    },
    fix: None,
};

pub(super) static SHARED: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.shared-disk",
        title: "no disk is shared by the members of a cluster",
        source: BOTH,
        ..META
    },
    detect: |guest| Ok(of_kinds(guest, &[SignatureKind::Gfs, SignatureKind::Gfs2, SignatureKind::Ocfs2])),
    fix: None,
};

pub(super) static FREE: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.root-free-space",
        title: "2 GiB are free on the root",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| Ok(free(guest, "/", agent::FREE[0])),
    fix: None,
};

pub(super) static FREE_FOLDER: Rule = Rule {
    meta: RuleMeta {
        id: "azure-migrate-agent.install-free-space",
        title: "250 MiB are free where the agent is installed",
        source: REPLICATION,
        applies: ON_LINUX,
        ..META
    },
    detect: |guest| {
        let point = ["/usr/local", "/usr", "/"].into_iter().find(|point| mounted(guest, point).is_some());
        Ok(free(guest, point.unwrap_or("/"), agent::FREE[1]))
    },
    fix: None,
};

fn mounted<'a>(guest: &'a Guest<'_>, point: &str) -> Option<&'a Volume> {
    guest.view.machine().volumes.iter().find(|it| it.mounted_at.as_deref() == Some(point))
}

fn free(guest: &Guest<'_>, point: &str, least: u64) -> Finding {
    let Some(volume) = mounted(guest, point) else {
        return Finding::NotApplicable("which volume that is is not known");
    };
    let Some(free) = volume.free else {
        return Finding::unknown(Place::volume(&volume.name), "how much is free on it is not known");
    };
    fault(free < least, Place::volume(&volume.name), format!("{free} bytes are free on {point}, of {least}"))
}

fn os_larger(guest: &Guest<'_>, limit: u64) -> Finding {
    let size = guest.view.machine().size;
    fault(size > limit, Place::DISK, format!("{size} bytes, more than {limit}"))
}

/// A fault for each volume, with what is on it.
fn each<'a>(volumes: impl Iterator<Item = &'a Volume>) -> Finding {
    let told =
        volumes.map(|it| Evidence::new(Place::volume(&it.name), it.kind_name().unwrap_or("nothing known")));
    Finding::from_evidence(told.collect())
}

fn of_kinds(guest: &Guest<'_>, kinds: &[SignatureKind]) -> Finding {
    let is = |it: &&Volume| it.kind.is_some_and(|kind| kinds.contains(&kind));
    each(guest.view.machine().volumes.iter().filter(is))
}
