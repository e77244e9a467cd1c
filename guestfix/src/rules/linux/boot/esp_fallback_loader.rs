//! linux.esp.fallback-loader

use crate::facts::{Machine, Volume};
use crate::platform::Firmware;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// An EFI system partition that only starts with boot entries that stay behind in EC2's firmware.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.esp.fallback-loader",
        title: "the EFI partition has a loader where firmware without boot entries looks",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "Boot entries are in the firmware's variables, which do not move with the disk. A new \
                machine of generation 2 starts \\EFI\\BOOT\\BOOTX64.EFI or nothing.",
        fix: "The distribution's own loader is copied there from its directory on the same partition: shim \
              with the GRUB it starts, GRUB, or systemd-boot. Nothing is changed, so signatures stay good, \
              and GRUB reads the configuration it was built to read.",
        source: &[
            Source::new("UEFI Specification 2.10", "3.5.1.1", "2026"),
            Source::new("Azure/AzMigrate-Hydration 4337598c", "verify_uefi_bootloader_files", "2026"),
        ],
        applies: Applies::LINUX.with(Firmware::Uefi),
    },
    detect,
    fix: Some(fix),
};

/// What one machine calls its loaders.
struct Names {
    fallback: &'static str,
    shim: &'static str,
    grub: &'static str,
    mok_manager: &'static str,
    systemd_boot: &'static str,
}

const X64: Names = Names {
    fallback: "BOOTX64.EFI",
    shim: "shimx64.efi",
    grub: "grubx64.efi",
    mok_manager: "mmx64.efi",
    systemd_boot: "systemd-bootx64.efi",
};
const AA64: Names = Names {
    fallback: "BOOTAA64.EFI",
    shim: "shimaa64.efi",
    grub: "grubaa64.efi",
    mok_manager: "mmaa64.efi",
    systemd_boot: "systemd-bootaa64.efi",
};

/// Room for a directory and what the largest clusters waste on the few files that are copied.
const SLACK: u64 = 256 << 10;

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for esp in partitions(guest.view.machine()) {
        let Some(root) = &esp.mounted_at else {
            let what = "nothing can be read from the EFI system partition";
            evidence.push(Evidence::new(Place::volume(&esp.name), what));
            continue;
        };
        let fallback = find(guest.view, root, &["EFI", "BOOT", names(guest).fallback])?;
        if fallback.is_some() {
            return Ok(Finding::Ok);
        }
        let what = format!("there is no EFI/BOOT/{}", names(guest).fallback);
        evidence.push(Evidence::new(root.as_str(), what));
    }
    if evidence.is_empty() {
        return Ok(Finding::NotApplicable("there is no EFI system partition: see target.firmware"));
    }
    Ok(Finding::Wrong { evidence })
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let mut found = None;
    for esp in partitions(guest.view.machine()) {
        let Some(root) = &esp.mounted_at else { continue };
        let copies = copies(&guest, root)?;
        if !copies.is_empty() {
            found = Some((esp.clone(), copies));
            break;
        }
    }
    let Some((esp, copies)) = found else {
        return Ok(Fixed::ByHand(
            "install the boot loader for removable media in the running machine: grub-install --removable, or bootctl install".into(),
        ));
    };
    let mut need = SLACK;
    for (from, _) in &copies {
        need = need.saturating_add(guest.view.stat(from)?.map_or(0, |metadata| metadata.size));
    }
    if let Some(free) = esp.free.filter(|free| *free < need) {
        let what = "make room on the EFI system partition";
        return Ok(Fixed::ByHand(format!("{what}: it has {free} bytes free, and the copies need {need}")));
    }
    for (from, to) in copies {
        stage.keep(&from, &to)?;
    }
    Ok(Fixed::Staged)
}

/// The EFI system partitions; [`Tree`](crate::Tree) mounts the first even if fstab does not.
fn partitions(machine: &Machine) -> impl Iterator<Item = &Volume> {
    machine.volumes.iter().filter(|volume| volume.type_name.as_deref() == Some("EFI system"))
}

fn names(guest: &Guest<'_>) -> &'static Names {
    match guest.facts.os.as_ref().and_then(|os| os.arch) {
        Some("aarch64") => &AA64,
        _ => &X64,
    }
}

/// What to copy, and where to, on the partition mounted at `root`: the first vendor's loaders, the guest's
/// own before others, and systemd-boot where there is no GRUB.
fn copies(guest: &Guest<'_>, root: &str) -> Result<Vec<(String, String)>> {
    let (view, names) = (guest.view, names(guest));
    let Some(efi) = find(view, root, &["EFI"])? else { return Ok(Vec::new()) };
    let boot = find(view, &efi, &["BOOT"])?.unwrap_or_else(|| join(&efi, "BOOT"));
    let own = guest.facts.os.as_ref().map_or("", |os| os.id.as_str());
    let mut vendors = view.list(&efi)?;
    vendors.retain(|vendor| !vendor.eq_ignore_ascii_case("BOOT"));
    vendors.sort_by_key(|vendor| !vendor.eq_ignore_ascii_case(own));
    for vendor in vendors {
        let dir = join(&efi, &vendor);
        let Some(grub) = find(view, &dir, &[names.grub])? else { continue };
        let Some(shim) = find(view, &dir, &[names.shim])? else {
            return Ok(vec![(grub, join(&boot, names.fallback))]);
        };
        // shim starts the GRUB beside it, and its own tool for keys; its fbx64.efi would only write boot
        // entries.
        let mut copies = vec![(shim, join(&boot, names.fallback)), (grub, join(&boot, names.grub))];
        let tool = find(view, &dir, &[names.mok_manager])?;
        copies.extend(tool.map(|tool| (tool, join(&boot, names.mok_manager))));
        return Ok(copies);
    }
    let alone = find(view, &efi, &["systemd", names.systemd_boot])?;
    Ok(alone.map(|loader| (loader, join(&boot, names.fallback))).into_iter().collect())
}

/// The path of `names`, one below the other, in whatever case they are written there, as on FAT.
fn find(view: &dyn View, dir: &str, names: &[&str]) -> Result<Option<String>> {
    let mut path = dir.to_owned();
    for name in names {
        let Some(known) = view.list(&path)?.into_iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        path = join(&path, &known);
    }
    Ok(Some(path))
}

fn join(dir: &str, name: &str) -> String {
    format!("{}/{name}", dir.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::azure;
    use crate::rules::testing::Bench;

    /// A Debian whose EFI system partition is at /boot/efi, as Tree mounts it whether fstab does or not.
    fn uefi() -> Bench {
        Bench::debian().target(&azure::GEN2).machine(|machine| {
            machine.uefi.push("EFI system partition 15".into());
            let mut esp = machine.volumes[0].clone();
            esp.name = "p15".into();
            esp.number = 15;
            esp.type_name = Some("EFI system".into());
            esp.mounted_at = Some("/boot/efi".into());
            machine.volumes.push(esp);
        })
    }

    #[test]
    fn shim_is_copied_with_the_grub_it_starts() {
        let bench = uefi()
            .file("/boot/efi/EFI/debian/shimx64.efi", "shim")
            .file("/boot/efi/EFI/debian/grubx64.efi", "grub")
            .file("/boot/efi/EFI/debian/mmx64.efi", "mm")
            .file("/boot/efi/EFI/debian/grub.cfg", "configfile $prefix/grub.cfg");
        assert_eq!(bench.findings(&RULE), ["/boot/efi: there is no EFI/BOOT/BOOTX64.EFI"]);
        bench.mended(&RULE, |view| {
            let text = |name: &str| view.text(&format!("/boot/efi/EFI/{name}")).unwrap();
            assert_eq!(text("BOOT/BOOTX64.EFI").as_deref(), Some("shim"));
            assert_eq!(text("BOOT/grubx64.efi").as_deref(), Some("grub"));
            assert_eq!(text("BOOT/mmx64.efi").as_deref(), Some("mm"));
            assert_eq!(text("debian/grub.cfg").as_deref(), Some("configfile $prefix/grub.cfg"));
        });
    }

    #[test]
    fn the_guests_own_loader_goes_before_others() {
        let bench = uefi()
            .file("/boot/efi/EFI/Alien/grubx64.efi", "alien")
            .file("/boot/efi/EFI/debian/grubx64.efi", "grub");
        bench.mended(&RULE, |view| {
            assert_eq!(view.text("/boot/efi/EFI/BOOT/BOOTX64.EFI").unwrap().as_deref(), Some("grub"));
        });
    }

    #[test]
    fn systemd_boot_is_copied_where_there_is_no_grub() {
        let bench = uefi().file("/boot/efi/EFI/systemd/systemd-bootx64.efi", "systemd-boot");
        let fallback = |bench: &Bench| bench.mended_text(&RULE, "/boot/efi/EFI/BOOT/BOOTX64.EFI");
        assert_eq!(fallback(&bench), "systemd-boot");
        assert_eq!(fallback(&bench.file("/boot/efi/EFI/debian/grubx64.efi", "grub")), "grub");
    }

    #[test]
    fn a_fallback_in_any_case_will_do_and_none_to_copy_is_left_to_the_user() {
        let fine = uefi().file("/boot/efi/EFI/boot/bootx64.efi", "shim");
        assert_eq!(fine.findings(&RULE), [""; 0]);
        let gone = uefi().file("/boot/efi/EFI/debian/grub.cfg", "");
        assert_eq!(gone.findings(&RULE).len(), 1);
        gone.by_hand(&RULE);
        let empty = uefi();
        assert_eq!(empty.findings(&RULE).len(), 1);
        empty.by_hand(&RULE);
    }

    #[test]
    fn a_partition_that_cannot_be_read_is_no_reason_for_silence() {
        let bench = uefi().machine(|machine| machine.volumes[2].mounted_at = None);
        let found = bench.findings(&RULE);
        assert_eq!(found, ["p15: nothing can be read from the EFI system partition"]);
        bench.by_hand(&RULE);
    }

    #[test]
    fn a_full_partition_is_not_written_to() {
        let bench = uefi()
            .file("/boot/efi/EFI/debian/grubx64.efi", "grub")
            .machine(|machine| machine.volumes[2].free = Some(4096));
        let what = bench.by_hand(&RULE);
        assert!(what.contains("4096 bytes free"), "{what}");
    }
}
