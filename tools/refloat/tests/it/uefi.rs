//! Guests that start by UEFI: a real one, checked, fixed, converted, and booted by OVMF; and phonies for the
//! rest.

use std::fs;
use std::path::Path;

use testimages::judge::{self, KernelMount};
use testimages::{real, synthetic};

use crate::migration::{boot, came_to_login, wrong};
use crate::program::refloat;

/// What would stop it, one after the other.
const FAULTS: &[&str] = &[
    "linux.esp.fallback-loader",
    "linux.fstab.device-names",
    "linux.grub.root-device",
    "linux.initramfs.hyperv",
];

/// The loaders that a firmware without boot entries finds, each with its original.
const LOADERS: &[(&str, &str)] = &[
    ("EFI/BOOT/BOOTX64.EFI", "EFI/debian/shimx64.efi"),
    ("EFI/BOOT/grubx64.efi", "EFI/debian/grubx64.efi"),
    ("EFI/BOOT/mmx64.efi", "EFI/debian/mmx64.efi"),
];

#[test]
fn a_debian_that_only_its_old_firmware_starts_is_given_a_loader_and_boots() {
    let Some(image) = real::debian_uefi() else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    std::os::unix::fs::symlink(&image, folder.join("aws.raw")).unwrap();
    let before = judge::sha256(&image);

    let wrong = wrong(folder, "aws.raw", "azure-gen2");
    for fault in FAULTS {
        assert!(wrong.iter().any(|rule| rule == fault), "{fault} is not among {wrong:?}");
    }
    refloat(folder, "migrate aws.raw azure.vhd --for azure-gen2", 0);
    assert_eq!(judge::sha256(&image), before, "the source never changes");

    let raw = folder.join("azure.raw");
    judge::qemu_img_convert((&folder.join("azure.vhd"), "vpc"), (&raw, "raw"), "");
    judge::sgdisk_verify(&raw);
    judge::fsck_vfat(&raw, real::DEBIAN_UEFI_ESP);
    judge::e2fsck_clean(&raw, real::DEBIAN_UEFI_ROOT.start);
    let (old, new) = (judge::cut(&image, real::DEBIAN_UEFI_ESP), judge::cut(&raw, real::DEBIAN_UEFI_ESP));
    for (loader, original) in LOADERS {
        assert!(read(new.path(), loader) == read(old.path(), original), "{loader}");
    }
    assert_eq!(read(new.path(), "EFI/debian/grub.cfg"), read(old.path(), "EFI/debian/grub.cfg"));

    if !judge::need_all(&["qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd"]) {
        return;
    }
    let broken = boot(folder, "aws.raw", "azure-gen2", None, 1);
    assert_eq!((&broken["verdict"], &broken["hop"]), (&"stopped".into(), &"firmware".into()), "{broken}");
    came_to_login(&boot(folder, "azure.vhd", "azure-gen2", None, 0));
}

#[test]
fn the_efi_partition_is_found_when_fstab_does_not_mount_it() {
    if !judge::need_all(&["mtype"]) || !judge::need_kernel_mounts() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::named("debian-gpt-efi").copy_into(folder.path()) else { return };
    let mount = KernelMount::read_write(&image, 17 << 20..95 << 20);
    let fstab = mount.path().join("etc/fstab");
    let text = fs::read_to_string(&fstab).unwrap();
    let rest: Vec<_> = text.split_inclusive('\n').filter(|line| !line.contains("/boot/efi")).collect();
    assert_ne!(rest.concat(), text);
    fs::write(&fstab, rest.concat()).unwrap();
    drop(mount);

    let line = "debian-gpt-efi.raw --for azure-gen2";
    assert!(
        wrong(folder.path(), "debian-gpt-efi.raw", "azure-gen2")
            .contains(&"linux.esp.fallback-loader".into())
    );
    refloat(folder.path(), &format!("plan {line} -o plan.json"), 0);
    refloat(folder.path(), "apply plan.json --in-place", 0);
    let range = 1 << 20..17 << 20;
    judge::fsck_vfat(&image, range.clone());
    let esp = judge::cut(&image, range);
    for (loader, original) in LOADERS {
        assert!(read(esp.path(), loader) == read(esp.path(), original), "{loader}");
    }
}

#[test]
fn a_hybrid_disk_is_for_both_generations() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_) = synthetic::named("ubuntu-gpt-hybrid").copy_into(folder.path()) else { return };
    for target in ["azure-gen1", "azure-gen2"] {
        let wrong = wrong(folder.path(), "ubuntu-gpt-hybrid.raw", target);
        for rule in ["target.firmware", "linux.esp.fallback-loader"] {
            assert!(!wrong.iter().any(|name| name == rule), "{target}: {wrong:?}");
        }
        refloat(folder.path(), &format!("migrate ubuntu-gpt-hybrid.raw {target}.vhd --for {target}"), 0);
        refloat(folder.path(), &format!("verify {target}.vhd"), 0);
    }
}

/// A file of a FAT file system, as mtools reads it.
fn read(volume: &Path, path: &str) -> Vec<u8> {
    judge::run(judge::tool("mtype").arg("-i").arg(volume).arg(format!("::{path}"))).stdout
}
