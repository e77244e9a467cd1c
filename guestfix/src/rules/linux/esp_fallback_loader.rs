//! linux.esp.fallback-loader

use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, Target, View};

/// An EFI system partition that only starts with boot entries that stay behind in EC2's firmware.
pub(in crate::rules) struct EspFallbackLoader;

static META: RuleMeta = RuleMeta {
    id: "linux.esp.fallback-loader",
    title: "the EFI partition has a loader where firmware without boot entries looks",
    phase: Phase::Boot,
    severity: Severity::Blocker,
    cause: "Boot entries are in the firmware's variables, which do not move with the disk. A new machine of generation 2 starts \
            \\EFI\\BOOT\\BOOTX64.EFI or nothing.",
    fix: "The distribution's own loader is copied there from its directory on the same partition: shim with the GRUB it starts, or GRUB. \
          Nothing is changed, so signatures stay good.",
    source: "UEFI Specification 2.10, 3.5.1.1; Azure/AzMigrate-Hydration 4337598c, verify_uefi_bootloader_files, 2026",
};

/// Where the EFI system partition may be in the tree.
const MOUNT_POINTS: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

/// What one machine calls its loaders.
struct Names {
    fallback: &'static str,
    shim: &'static str,
    grub: &'static str,
    mok_manager: &'static str,
}

const X64: Names =
    Names { fallback: "BOOTX64.EFI", shim: "shimx64.efi", grub: "grubx64.efi", mok_manager: "mmx64.efi" };
const AA64: Names =
    Names { fallback: "BOOTAA64.EFI", shim: "shimaa64.efi", grub: "grubaa64.efi", mok_manager: "mmaa64.efi" };

impl Rule for EspFallbackLoader {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        if guest.goal.target != Target::AzureGen2 {
            return Ok(Finding::NotApplicable("generation 1 starts by BIOS"));
        }
        let Some(efi) = efi_dir(guest.view)? else {
            return Ok(Finding::NotApplicable("no EFI system partition is mounted"));
        };
        if let Some(boot) = child(guest.view, &efi, "BOOT")?
            && child(guest.view, &boot, names(guest).fallback)?.is_some()
        {
            return Ok(Finding::Ok);
        }
        let what = format!("there is no BOOT/{}", names(guest).fallback);
        Ok(Finding::Wrong { evidence: vec![Evidence::new(efi, what)] })
    }

    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
        let guest = stage.guest()?;
        let names = names(&guest);
        let mut copies = Vec::new();
        if let Some(efi) = efi_dir(guest.view)? {
            let boot = child(guest.view, &efi, "BOOT")?.unwrap_or_else(|| format!("{efi}/BOOT"));
            for vendor in guest.view.list(&efi)? {
                let dir = format!("{efi}/{vendor}");
                let find = |name: &str| child(guest.view, &dir, name);
                let (shim, grub) = (find(names.shim)?, find(names.grub)?);
                let Some(grub) = grub.filter(|_| !vendor.eq_ignore_ascii_case("BOOT")) else { continue };
                match shim {
                    // shim starts the GRUB beside it, and its own tool for keys
                    Some(shim) => {
                        copies.push((shim, format!("{boot}/{}", names.fallback)));
                        copies.push((grub, format!("{boot}/{}", names.grub)));
                        copies.extend(
                            find(names.mok_manager)?
                                .map(|tool| (tool, format!("{boot}/{}", names.mok_manager))),
                        );
                    }
                    None => copies.push((grub, format!("{boot}/{}", names.fallback))),
                }
                break;
            }
        }
        if copies.is_empty() {
            return Ok(Fixed::ByHand(
                "install GRUB for removable media in the running machine: grub-install --removable".into(),
            ));
        }
        for (from, to) in copies {
            stage.keep(&from, &to)?;
        }
        Ok(Fixed::Staged)
    }
}

fn names(guest: &Guest<'_>) -> &'static Names {
    match guest.facts.os.as_ref().and_then(|os| os.arch) {
        Some("aarch64") => &AA64,
        _ => &X64,
    }
}

fn efi_dir(view: &dyn View) -> Result<Option<String>> {
    for point in MOUNT_POINTS {
        if let Some(efi) = child(view, point, "EFI")? {
            return Ok(Some(efi));
        }
    }
    Ok(None)
}

/// The path of a name in a directory, in whatever case it is written there, as on FAT.
fn child(view: &dyn View, dir: &str, name: &str) -> Result<Option<String>> {
    let found = view.list(dir)?.into_iter().find(|known| known.eq_ignore_ascii_case(name));
    Ok(found.map(|known| format!("{dir}/{known}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    fn uefi() -> Bench {
        Bench::debian().target(Target::AzureGen2)
    }

    #[test]
    fn shim_is_copied_with_the_grub_it_starts() {
        let bench = uefi()
            .file("/boot/efi/EFI/debian/shimx64.efi", "shim")
            .file("/boot/efi/EFI/debian/grubx64.efi", "grub")
            .file("/boot/efi/EFI/debian/mmx64.efi", "mm");
        assert_eq!(bench.findings(&EspFallbackLoader), ["/boot/efi/EFI: there is no BOOT/BOOTX64.EFI"]);
        bench.mended(&EspFallbackLoader, |view| {
            let text = |name: &str| view.text(&format!("/boot/efi/EFI/BOOT/{name}")).unwrap();
            assert_eq!(text("BOOTX64.EFI").as_deref(), Some("shim"));
            assert_eq!(text("grubx64.efi").as_deref(), Some("grub"));
            assert_eq!(text("mmx64.efi").as_deref(), Some("mm"));
        });
    }

    #[test]
    fn a_fallback_in_any_case_will_do_and_none_to_copy_is_left_to_the_user() {
        let fine = uefi().file("/boot/efi/EFI/boot/bootx64.efi", "shim");
        assert_eq!(fine.findings(&EspFallbackLoader), [""; 0]);
        let gone = uefi().file("/boot/efi/EFI/debian/grub.cfg", "");
        assert_eq!(gone.findings(&EspFallbackLoader).len(), 1);
        gone.by_hand(&EspFallbackLoader);
        let alone = uefi().file("/boot/efi/EFI/x/grubx64.efi", "grub");
        alone.mended(&EspFallbackLoader, |view| {
            assert_eq!(view.text("/boot/efi/EFI/BOOT/BOOTX64.EFI").unwrap().as_deref(), Some("grub"));
        });
    }
}
