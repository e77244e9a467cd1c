//! How many disks Azure takes, how large, and of what kind.

use libdisk::volume::TableFault;

use super::{META, fault};
use crate::facts::{SignatureKind, TableKind};
use crate::platform::{Firmware, assessment, azure};
use crate::rule::{Applies, Evidence, Place, Source};
use crate::sizing::{self, DiskTier};
use crate::{Finding, Guest, Result, Rule, RuleMeta, Severity};

pub(super) static COUNT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-count",
        title: "the machine has at most 65 disks",
        severity: Severity::Blocker,
        cause: "No size of Azure's takes more than 64 data disks beside that of the system; most take far fewer, \
                two for each core on the smaller ones.",
        fix: "put several disks on one, by LVM or Storage Spaces",
        ..META
    },
    detect: |guest| {
        let count = guest.view.machine().data_disks.len() + 1;
        Ok(fault(count > assessment::DISK_COUNT, Place::DISK, format!("the machine has {count} disks")))
    },
    fix: None,
};

pub(super) static SIZE: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-size",
        title: "no disk is larger than 64 TiB",
        severity: Severity::Blocker,
        cause: "The largest managed disk is an Ultra Disk or a Premium SSD v2 of 64 TiB.",
        fix: "spread the data over several disks",
        source: &[assessment::ASSESSMENT, assessment::DISKS],
        ..META
    },
    detect: |guest| Ok(larger(guest, assessment::DISK_SIZE, 0, "64 TiB")),
    fix: None,
};

pub(super) static OS_BIOS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.os-disk-bios",
        title: "the disk of the system is at most 2 TiB",
        severity: Severity::Blocker,
        cause: "A machine of generation 1 starts from a disk of at most 2 TiB.",
        fix: "move data to a disk of its own, and the system to a smaller one",
        source: &[assessment::GENERATION_2, assessment::AGENT],
        applies: Applies::ALWAYS.on(&azure::AZURE).with(Firmware::Bios),
        ..META
    },
    detect: |guest| Ok(os_larger(guest, assessment::OS_DISK_BIOS)),
    fix: None,
};

pub(super) static OS_UEFI: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.os-disk-uefi",
        title: "the disk of the system fits a machine of generation 2",
        severity: Severity::Blocker,
        cause: "The largest disk that a machine of generation 2 starts from is somewhat smaller than 4 TiB.",
        fix: "move data to a disk of its own, and the system to a smaller one",
        source: &[assessment::GENERATION_2, assessment::OS_DISK],
        applies: Applies::ALWAYS.on(&azure::AZURE).with(Firmware::Uefi),
        ..META
    },
    detect: |guest| Ok(os_larger(guest, assessment::OS_DISK_UEFI)),
    fix: None,
};

pub(super) static UPLOAD: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-upload",
        title: "every disk can be uploaded",
        severity: Severity::Blocker,
        cause: "An upload makes disks of at most 32 TiB; larger ones are made empty and filled from within.",
        fix: "copy the data of that disk over the network, to an Ultra Disk or a Premium SSD v2",
        source: &[assessment::UPLOAD],
        ..META
    },
    detect: |guest| Ok(larger(guest, assessment::UPLOAD_SIZE, 0, "32 TiB")),
    fix: None,
};

pub(super) static LEAST: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-least",
        title: "no disk is smaller than 20 MiB",
        severity: Severity::Blocker,
        cause: "Azure takes no upload that is smaller than 20 MiB.",
        fix: "copy it into a larger disk",
        source: &[assessment::UPLOAD],
        ..META
    },
    detect: |guest| {
        let small = guest.view.machine().sizes().filter(|(_, size)| *size < assessment::UPLOAD_LEAST);
        let told = small.map(|(place, size)| Evidence::new(place, format!("{size} bytes, less than 20 MiB")));
        Ok(Finding::from_evidence(told.collect()))
    },
    fix: None,
};

pub(super) static CLASSIC: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-kind",
        title: "every data disk fits Standard and Premium SSD",
        cause: "Standard HDD, Standard SSD and Premium SSD end at 32,767 GiB. A larger disk has to be an Ultra \
                Disk or a Premium SSD v2, which not all regions and sizes have, and which cannot be the disk of \
                the system.",
        fix: "choose an Ultra Disk or a Premium SSD v2 for it, and a size and zone that take one",
        source: &[assessment::DISKS],
        ..META
    },
    detect: |guest| Ok(larger(guest, assessment::CLASSIC_DISK, 1, "32,767 GiB")),
    fix: None,
};

pub(super) static IOPS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-iops",
        title: "a disk of Azure's may have as many requests as each volume was given",
        cause: "A disk to start from is a Premium SSD of at most 7,500 requests each second, beside its bursts; an \
                Ultra Disk has 1,000 for each GiB, up to 400,000. What a volume was given is not what it uses.",
        fix: "see in the volume's metrics how many it uses; move the data to a disk of its own, or make it larger",
        source: PERFORMANCE,
        ..META
    },
    detect: |guest| Ok(unsuited(guest, "NoSuitableDiskSizeForIops")),
    fix: None,
};

pub(super) static THROUGHPUT: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-throughput",
        title: "a disk of Azure's may have the throughput that each volume was given",
        cause: "A disk to start from is a Premium SSD of at most 250 MB each second, beside its bursts; an Ultra \
                Disk has up to 10,000. What a volume was given is not what it uses.",
        fix: "see in the volume's metrics how much it uses; move the data to a disk of its own, or make it larger",
        source: PERFORMANCE,
        ..META
    },
    detect: |guest| Ok(unsuited(guest, "NoSuitableDiskSizeForThroughput")),
    fix: None,
};

pub(super) static PREMIUM: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.disk-performance",
        title: "Premium SSD has what each volume was given",
        cause: "Premium SSD ends at 20,000 requests and 900 MB each second. More has to be a Premium SSD v2 or an \
                Ultra Disk, which not all regions, zones and sizes have.",
        fix: "choose such a disk and a size and zone that take one, or less, by what the volume's metrics say",
        source: PERFORMANCE,
        ..META
    },
    detect: |guest| {
        Ok(told(guest, |tier| {
            // Of a disk that is too large for it speaks azure-vm.disk-kind.
            let small = tier.size <= assessment::CLASSIC_DISK;
            tier.beyond.filter(|_| small).map(|kind| format!("{kind} has as much, and Premium SSD has not"))
        }))
    },
    fix: None,
};

pub(super) static MBR: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.mbr-size",
        title: "no data disk above 2 TiB has a partition table of DOS",
        cause: "Such a table has sector numbers of 32 bits: what is behind 2 TiB belongs to no partition.",
        fix: "convert the table to GPT (sgdisk -g), if the space is wanted",
        source: &[assessment::DISKS],
        ..META
    },
    detect: |guest| {
        let machine = guest.view.machine();
        let data = (1..).zip(&machine.data_disks);
        let large =
            data.filter(|(_, disk)| disk.table == TableKind::Mbr && disk.size > assessment::OS_DISK_BIOS);
        let told = large.map(|(at, disk)| {
            Evidence::new(Place::disk(at), format!("a table of DOS on a disk of {} bytes", disk.size))
        });
        Ok(Finding::from_evidence(told.collect()))
    },
    fix: None,
};

pub(super) static SECTORS: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.sector-size",
        title: "every disk has sectors of 512 bytes",
        cause: "Disks that were made with sectors of 4,096 bytes fit Ultra Disks and Premium SSD v2 alone.",
        fix: "choose such a disk, with a logical sector size of 4096, or copy its files to a new disk",
        source: &[assessment::DISKS],
        ..META
    },
    detect: has_odd_sectors,
    fix: None,
};

pub(super) static SWAP: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.swap-on-os-disk",
        title: "there is no swap space on the disk of the system",
        severity: Severity::Note,
        cause: "Swap on a managed disk is slow, and its traffic counts against the disk's limits; Azure's advice \
                is the temporary disk.",
        fix: "let the agent or cloud-init make swap on the temporary disk, where the size has one",
        source: &[assessment::LINUX],
        applies: Applies::LINUX.on(&azure::AZURE),
        ..META
    },
    detect: |guest| {
        let swap = guest.view.machine().volumes_on(0).filter(|it| it.kind == Some(SignatureKind::Swap));
        let told = swap.map(|it| Evidence::new(Place::volume(&it.name), "swap space"));
        Ok(Finding::from_evidence(told.collect()))
    },
    fix: None,
};

pub(super) static LVM: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.lvm-on-os-disk",
        title: "the system is on a plain partition",
        severity: Severity::Note,
        cause: "Azure advises against LVM on the disk of the system: a rescue machine made of the same image has \
                volume groups of the same names.",
        fix: "nothing, where the machine starts; know it when the disk is looked at from another machine",
        source: &[assessment::LINUX],
        applies: Applies::LINUX.on(&azure::AZURE),
        ..META
    },
    detect: |guest| {
        let root = guest.view.machine().volumes.iter().find(|it| it.mounted_at.as_deref() == Some("/"));
        let logical = root.filter(|it| it.device.part().is_none());
        let told = logical.map(|it| Evidence::new(Place::volume(&it.name), "the root is a logical volume"));
        Ok(Finding::from_evidence(told.into_iter().collect()))
    },
    fix: None,
};

pub(super) static LETTER: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.temporary-disk-letter",
        title: "no volume of the machine is called D:",
        severity: Severity::Note,
        cause: "Azure's temporary disk takes the letter D: where it is free, else the next one. A machine that has \
                D: keeps it, and programs that expect a temporary disk there write to data. Sizes from version 6 \
                on have raw NVMe disks in its place, which have no letter until they are formatted.",
        fix: "see to it that nothing takes D: for the temporary disk; it gets another letter",
        source: &[assessment::TEMPORARY, assessment::TEMPORARY_NVME],
        applies: Applies::WINDOWS.on(&azure::AZURE),
        ..META
    },
    detect: |guest| {
        let Some(windows) = guest.facts.windows.as_ref() else {
            return Ok(Finding::NotApplicable("there is no Windows"));
        };
        let taken =
            windows.letters.iter().find(|it| it.letter.eq_ignore_ascii_case("D:") && it.volume.is_some());
        let told = taken.and_then(|it| it.volume.as_deref());
        let told = told.map(|name| Evidence::new(Place::volume(name), "is called D:"));
        Ok(Finding::from_evidence(told.into_iter().collect()))
    },
    fix: None,
};

pub(super) static PAGE_FILE: Rule = Rule {
    meta: RuleMeta {
        id: "azure-vm.page-file",
        title: "memory is paged to the disk of the system, or where Windows chooses",
        severity: Severity::Note,
        cause: "A page file on another drive needs that drive at every start; on Azure letters may move.",
        fix: "let Windows manage the page file, or put it on the temporary disk after the move",
        source: &[assessment::TEMPORARY, assessment::TEMPORARY_NVME],
        applies: Applies::WINDOWS.on(&azure::AZURE),
        ..META
    },
    detect: |guest| {
        let files = guest.facts.windows.as_ref().map_or(&[][..], |windows| &windows.page_files);
        let elsewhere = files.iter().filter(|file| !file.starts_with(['?', 'C', 'c']));
        let told = elsewhere.map(|file| Evidence::new(Place::DISK, format!("memory is paged to {file}")));
        Ok(Finding::from_evidence(told.collect()))
    },
    fix: None,
};

/// Where it is said how fast disks are.
const PERFORMANCE: &[Source] = &[assessment::DISKS, assessment::TIERS];

/// A fault for each disk of which something is to be told, with what its volume was given.
fn told(guest: &Guest<'_>, tell: impl Fn(&DiskTier) -> Option<String>) -> Finding {
    if guest.hardware.disks.iter().all(Option::is_none) {
        return Finding::NotApplicable("what the volumes were given is not known");
    }
    let (places, sizes): (Vec<Place>, Vec<u64>) = guest.view.machine().sizes().unzip();
    let tiers = sizing::tiers(&sizes, guest.hardware.disks);
    let evidence = places.into_iter().zip(&tiers).filter_map(|(place, tier)| {
        let given = tier.given.as_ref()?;
        Some(Evidence::new(place, format!("{given}: {}", tell(tier)?)))
    });
    Finding::from_evidence(evidence.collect())
}

/// A fault for each disk that Azure has not, for this reason.
fn unsuited(guest: &Guest<'_>, code: &str) -> Finding {
    told(guest, |tier| {
        tier.explanation.filter(|why| *why == code).map(|_| "no kind of disk has as much".to_owned())
    })
}

/// The disks from this one on that are larger.
pub(in crate::rules) fn has_odd_sectors(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for (place, _, faults) in guest.view.machine().tables() {
        let odd = faults.iter().find(|fault| matches!(fault, TableFault::SectorSize { .. }));
        evidence.extend(odd.map(|fault| Evidence::new(place, fault.to_string())));
    }
    Ok(Finding::from_evidence(evidence))
}

fn larger(guest: &Guest<'_>, limit: u64, from: usize, words: &str) -> Finding {
    let large = guest.view.machine().sizes().skip(from).filter(|(_, size)| *size > limit);
    let told = large.map(|(place, size)| Evidence::new(place, format!("{size} bytes, more than {words}")));
    Finding::from_evidence(told.collect())
}

fn os_larger(guest: &Guest<'_>, limit: u64) -> Finding {
    let size = guest.view.machine().size;
    fault(size > limit, Place::DISK, format!("{size} bytes, more than the {limit} that it may have"))
}
