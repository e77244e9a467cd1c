//! disk.size-limit

use crate::facts::TableKind;
use crate::platform::Firmware;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A disk that is too large to boot from, or to be uploaded.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "disk.size-limit",
        title: "no disk is larger than the firmware and Azure take",
        pack: Pack::Disk,
        phase: Phase::Layout,
        severity: Severity::Blocker,
        cause: "A BIOS, and a partition table of DOS, see the first 2 TiB of a disk only; Azure's OS disks \
                and uploaded disks have limits of their own.",
        fix: "move data to a disk of its own, and the system to a smaller one, before the migration",
        source: &[
            Source::new(
                "Microsoft Learn",
                "Support for Generation 2 VMs on Azure (boot disk), and Introduction to Azure managed disks",
                "2026",
            ),
            Source::new("Microsoft Learn", "Upload a VHD to Azure", "2026-09-02"),
        ],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: None,
};

/// A DOS partition table has sector numbers of 32 bits, and so has what a BIOS loads a boot loader by.
const BIOS: u64 = 2 << 40;

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let machine = guest.view.machine();
    let target = guest.goal.target;
    let (limit, why) = if target.firmware == Firmware::Bios || machine.table == TableKind::Mbr {
        (BIOS, "2 TiB, all that a BIOS sees")
    } else if let Some(limit) = target.platform.os_disk {
        (limit.bytes, limit.words)
    } else {
        return Ok(Finding::NotApplicable("the target has no limit"));
    };
    let what = format!("{} bytes, more than {why}", machine.size);
    let evidence = (machine.size > limit).then(|| Evidence::new(Place::DISK, what));
    let data = target.platform.data_disk.into_iter().flat_map(|limit| {
        let larger = machine.sizes().skip(1).filter(move |(_, size)| *size > limit.bytes);
        larger.map(move |(place, size)| {
            Evidence::new(place, format!("{size} bytes, more than {}", limit.words))
        })
    });
    Ok(Finding::from_evidence(evidence.into_iter().chain(data).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DataDisk;
    use crate::platform::azure;
    use crate::rules::testing::Bench;

    #[test]
    fn a_disk_above_the_limit_is_told() {
        let of_size = |size: u64| Bench::debian().machine(|machine| machine.size = size);
        assert_eq!(of_size(BIOS).findings(&RULE), [""; 0]);
        assert_eq!(of_size(BIOS + 1).findings(&RULE).len(), 1);
        of_size(BIOS + 1).by_hand(&RULE);
        let gpt = |size| of_size(size).target(&azure::GEN2).machine(|machine| machine.table = TableKind::Gpt);
        let largest = azure::AZURE.os_disk.unwrap().bytes;
        assert_eq!(gpt(largest).findings(&RULE), [""; 0]);
        assert_eq!(gpt(largest + 1).findings(&RULE).len(), 1);
        let largest_data = azure::AZURE.data_disk.unwrap().bytes;
        let data = |size| {
            let disk = DataDisk { size, ..DataDisk::default() };
            Bench::debian().machine(|machine| machine.data_disks = vec![DataDisk::default(), disk])
        };
        assert_eq!(data(largest_data).findings(&RULE), [""; 0]);
        let found = data(largest_data + 512).findings(&RULE);
        assert!(found.len() == 1 && found[0].starts_with("disk 3: "), "{found:?}");
    }
}
