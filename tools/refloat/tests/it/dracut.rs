//! Guests as the RPM families lay them out, with images that dracut built: checked, fixed, converted, and
//! booted.

use std::fs;
use std::path::{Path, PathBuf};

use testimages::judge::{self, KernelMount};
use testimages::real::OnXfs;
use testimages::{lab, real};

use crate::migration::{boot, came_to_login, manifest_of_xfs, only_planned_changes, wrong};
use crate::program::refloat;

const BIOS: &str = "azure-gen1";
const UEFI: &str = "azure-gen2";

/// What is wrong with each of them.
const FAULTS: &[&str] = &[
    "linux.initramfs.hyperv",
    "linux.initramfs.drop-in",
    "linux.fstab.device-names",
    "linux.fstab.optional",
    "linux.grub.stale-arguments",
    "linux.network.mac-pinned",
    "linux.cloud-init",
];

/// What is wrong with LVM.
const OF_LVM: &[&str] = &["linux.initramfs.lvm", "linux.lvm.filters"];

/// Compressors of the images, the suffix of the image's name, and how its data begins (Linux,
/// lib/decompress.c).
const COMPRESSORS: &[(&str, &[u8])] =
    &[("", &[0x28, 0xb5, 0x2f, 0xfd]), ("-gzip", &[0x1f, 0x8b, 8]), ("-lz4", &[2, 0x21, 0x4c, 0x18])];

#[test]
fn a_root_on_lvm_is_found_by_the_images_of_dracut() {
    let Some(guest) = real::dracut_lvm() else { return };
    let migration = Migration::of(guest, BIOS, &[FAULTS, OF_LVM].concat());
    migration.images_are_mended(COMPRESSORS);
    let Some(qemu) = lab::qemu() else { return };
    let stopped = boot(migration.folder(), "aws.raw", BIOS, Some(&qemu), 1);
    assert_eq!((&stopped["verdict"], &stopped["hop"]), (&"stopped".into(), &"root".into()), "{stopped}");
    came_to_login(&boot(migration.folder(), "azure.vhd", BIOS, Some(&qemu), 0));
    if !long() {
        return;
    }
    for (suffix, _) in &COMPRESSORS[1..] {
        migration.start_by_itself(suffix);
        came_to_login(&boot(migration.folder(), "azure.vhd", BIOS, Some(&qemu), 0));
    }
}

#[test]
fn a_root_on_xfs_with_shared_extents_is_found_by_uuid() {
    let Some(guest) = real::dracut_xfs() else { return };
    let migration = Migration::of(guest, BIOS, &[FAULTS, &["linux.grub.root-device"]].concat());
    migration.images_are_mended(&[("", COMPRESSORS[1].1)]);
    let Some(qemu) = lab::qemu() else { return };
    came_to_login(&boot(migration.folder(), "azure.vhd", BIOS, Some(&qemu), 0));
    if long() {
        let stopped = boot(migration.folder(), "aws.raw", BIOS, Some(&qemu), 1);
        assert_eq!((&stopped["verdict"], &stopped["hop"]), (&"stopped".into(), &"root".into()), "{stopped}");
    }
}

#[test]
fn a_root_on_lvm_starts_by_uefi() {
    let Some(guest) = real::dracut_lvm_uefi() else { return };
    let faults = [FAULTS, OF_LVM, &["linux.esp.fallback-loader"]].concat();
    let migration = Migration::of(guest, UEFI, &faults);
    migration.images_are_mended(&COMPRESSORS[..1]);
    let raw = migration.folder().join("azure.raw");
    judge::qemu_img_convert((&migration.vhd(), "vpc"), (&raw, "raw"), "");
    judge::sgdisk_verify(&raw);
    judge::fsck_vfat(&raw, real::DEBIAN_UEFI_ESP);
    if !judge::need_all(&["qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd"]) {
        return;
    }
    let stopped = boot(migration.folder(), "aws.raw", UEFI, None, 1);
    assert_eq!((&stopped["verdict"], &stopped["hop"]), (&"stopped".into(), &"firmware".into()), "{stopped}");
    came_to_login(&boot(migration.folder(), "azure.vhd", UEFI, None, 0));
}

/// Whether to boot the same guest a second way, too.
fn long() -> bool {
    let long = testimages::length::long();
    if !long {
        judge::skip("REFLOAT_LONG=1, as each boot takes minutes");
    }
    long
}

/// A guest (aws.raw) and what became of it (azure.vhd), in a folder of their own.
struct Migration {
    folder: tempfile::TempDir,
    guest: OnXfs,
}

impl Migration {
    /// Checks and migrates a guest: the faults are found, the plan is kept, the file systems are sound.
    #[track_caller]
    fn of(guest: OnXfs, target: &str, faults: &[&str]) -> Self {
        let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
        let migration = Self { folder, guest };
        let (folder, source) = (migration.folder(), &migration.guest.image);
        std::os::unix::fs::symlink(source, folder.join("aws.raw")).unwrap();
        let before = judge::sha256(source);

        let wrong = wrong(folder, "aws.raw", target);
        for fault in faults {
            assert!(wrong.iter().any(|rule| rule == fault), "{fault} is not among {wrong:?}");
        }
        refloat(folder, &format!("migrate aws.raw azure.vhd --for {target} --plan plan.json"), 0);
        assert_eq!(judge::sha256(source), before, "the source never changes");

        let mounts = &migration.guest.mounts;
        for (_, range) in mounts {
            judge::xfs_repair(&migration.vhd(), range.clone());
        }
        let after = manifest_of_xfs(&migration.vhd(), mounts);
        only_planned_changes(folder, &manifest_of_xfs(source, mounts), &after);
        migration
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn vhd(&self) -> PathBuf {
        self.folder().join("azure.vhd")
    }

    /// The file system that the kernels are on, and the directory in it.
    fn boot(&self, image: &Path, options: &str) -> (KernelMount, PathBuf) {
        let (point, range) = self.guest.mounts.last().unwrap();
        let mount = KernelMount::with_options(image, range.clone(), options);
        let directory = mount.path().join(if *point == "/" { "boot" } else { "" });
        (mount, directory)
    }

    /// Each image of the guest has the drivers, by dracut's own `lsinitrd` and by `modprobe`; it is
    /// compressed as it was, and what comes before that, the early microcode, is what it was.
    fn images_are_mended(&self, images: &[(&str, &[u8])]) {
        if !judge::need_all(&["lsinitrd", "modprobe", "cpio", "gzip", "lz4", "zstd"]) {
            return;
        }
        let (_old, before) = self.boot(&self.guest.image, "ro,norecovery,nouuid");
        let (_new, after) = self.boot(&self.vhd(), "ro,norecovery,nouuid");
        let release = release(&after);
        for (suffix, magic) in images {
            let name = format!("initramfs-{release}{suffix}.img");
            let (old, new) = (fs::read(before.join(&name)).unwrap(), fs::read(after.join(&name)).unwrap());
            let early = old.windows(magic.len()).position(|bytes| bytes == *magic).unwrap();
            assert!(early > 2048, "{name} has no microcode");
            assert!(new[..early] == old[..early] && new[early..].starts_with(magic), "{name}");

            let tree = tempfile::tempdir().unwrap();
            judge::run(
                judge::tool("lsinitrd").arg("--unpack").arg(after.join(&name)).current_dir(tree.path()),
            );
            let mut modprobe = judge::tool("modprobe");
            modprobe.args(["-C", "/dev/null", "-S", &release, "-D", "-d"]).arg(tree.path());
            // what stands for the disk of Azure
            let order = judge::run(modprobe.arg("vmbus:d96361baa104294db60572e2ffb1dc7f")).stdout;
            let order = String::from_utf8(order).unwrap();
            assert!(order.lines().next().unwrap().contains("hv_vmbus.ko"), "{name}: {order}");
            assert!(order.lines().last().unwrap().contains("hv_storvsc.ko"), "{name}: {order}");
        }
    }

    /// Has the entry whose name ends with `suffix` start by itself, as `grub2-set-default` does it.
    fn start_by_itself(&self, suffix: &str) {
        let (_mount, directory) = self.boot(&self.vhd(), "rw,nouuid");
        let entries = fs::read_dir(directory.join("loader/entries")).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let entry = names.find(|name| name.ends_with(&format!("{suffix}.conf"))).unwrap();
        let saved = format!("saved_entry={}", entry.trim_end_matches(".conf"));
        let mut editor = judge::tool("grub-editenv");
        judge::run(editor.arg(directory.join("grub2/grubenv")).args(["set", &saved]));
    }
}

/// The version of the one kernel in a directory.
fn release(boot: &Path) -> String {
    let names = fs::read_dir(boot).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut releases = names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned));
    releases.next().unwrap()
}
