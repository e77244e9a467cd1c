//! target.firmware

use super::paravirtual;
use crate::platform::Firmware;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A disk that the firmware of the target cannot start.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "target.firmware",
        title: "the disk boots with the firmware of the target",
        pack: Pack::Target,
        phase: Phase::Layout,
        severity: Severity::Blocker,
        cause: "Azure's generation 1 starts a disk by BIOS, generation 2 by UEFI; neither can do the \
                other's.",
        fix: "None: choose the generation that the disk was made for. It is fixed when the disk is created \
              on Azure.",
        source: &[Source::new("Microsoft Learn", "Support for Generation 2 VMs on Azure", "2026-09")],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let machine = guest.view.machine();
    let firmware = guest.goal.target.firmware;
    let (here, there) = match firmware {
        Firmware::Bios => (&machine.bios, &machine.uefi),
        Firmware::Uefi => (&machine.uefi, &machine.bios),
    };
    if !here.is_empty() {
        return Ok(Finding::Ok);
    }
    if paravirtual::is_to_be_started(guest) {
        return Ok(Finding::NotApplicable("the disk never started by a firmware: see target.paravirtual"));
    }
    let mut evidence =
        vec![Evidence::new(Place::DISK, format!("nothing on it starts by {}", firmware.name()))];
    evidence.extend(there.iter().map(|line| Evidence::new(Place::DISK, line.as_str())));
    Ok(Finding::Wrong { evidence })
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let machine = guest.view.machine();
    let target = guest.goal.target;
    let other = match target.firmware {
        Firmware::Bios => target.with(Firmware::Uefi).filter(|_| !machine.uefi.is_empty()),
        Firmware::Uefi => target.with(Firmware::Bios).filter(|_| !machine.bios.is_empty()),
    };
    let bios = target.with(Firmware::Bios).map_or("a target that starts by BIOS", |target| target.id);
    Ok(Fixed::ByHand(match other {
        Some(target) => format!("the disk fits --for {}", target.id),
        None if paravirtual::is(&guest) => format!(
            "a paravirtual AMI, which has nothing that UEFI starts: with --for {bios} a disk that starts by BIOS is made of it"
        ),
        None if guest.facts.os.is_none() => {
            "no system was found on the disk: one with data only is made a VHD by refloat convert, and attached to a machine on Azure"
                .into()
        }
        None => "no boot loader was found on the disk: it boots nowhere as it is".into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::TableKind;
    use crate::platform::azure;
    use crate::rules::testing::Bench;

    #[test]
    fn the_firmware_of_the_target_must_find_a_loader() {
        assert_eq!(Bench::debian().findings(&RULE), [""; 0]);
        let gen2 = Bench::debian().target(&azure::GEN2);
        assert_eq!(
            gen2.findings(&RULE),
            ["disk: nothing on it starts by UEFI", "disk: boot code in the MBR"]
        );
        assert_eq!(gen2.by_hand(&RULE), "the disk fits --for azure-gen1");
    }

    #[test]
    fn a_hybrid_disk_fits_both_generations_and_an_empty_one_neither() {
        let hybrid = Bench::debian().machine(|machine| machine.uefi.push("EFI system partition 15".into()));
        let empty = Bench::debian().machine(|machine| machine.bios.clear());
        for target in [&azure::GEN1, &azure::GEN2] {
            assert_eq!(hybrid.clone().target(target).findings(&RULE), [""; 0]);
            let what = empty.clone().target(target).by_hand(&RULE);
            assert!(what.contains("boots nowhere"), "{what}");
        }
    }

    #[test]
    fn a_paravirtual_ami_is_named() {
        let bench = Bench::debian()
            .without("/boot/grub/grub.cfg")
            .file("/boot/grub/menu.lst", "title x\nkernel /boot/vmlinuz-6.1.0-50-amd64 ro\n")
            .machine(|machine| {
                machine.table = TableKind::None;
                machine.bios.clear();
            });
        assert_eq!(bench.findings(&RULE), [""; 0]);
        let gen2 = bench.target(&azure::GEN2);
        assert_eq!(gen2.findings(&RULE), ["disk: nothing on it starts by UEFI"]);
        assert!(gen2.by_hand(&RULE).starts_with("a paravirtual AMI"));
    }
}
