//! Real guests, which boot: built once by debootstrap, and kept in the [cache].

mod dracut;
mod pv;
mod two_disks;

pub use dracut::{OnXfs, dracut_lvm, dracut_lvm_uefi, dracut_xfs};
pub use pv::{DEBIAN_PV_ROOT, debian_pv};
pub use two_disks::{TWO_DISKS_BOOT, TWO_DISKS_PHYSICAL, TWO_DISKS_ROOT, two_disks};

use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{cache, judge};

/// Recipes are shell scripts, put together from these parts.
pub(crate) const CHROOT: &str = include_str!("chroot.sh");
const TREE: &str = include_str!("tree.sh");
const GAP: &str = include_str!("gap.sh");
const BIOS: &str = include_str!("bios.sh");
const UEFI: &str = include_str!("uefi.sh");
const EC2: &str = include_str!("ec2.sh");
const DEBIAN: &str = include_str!("debian.sh");
const BUSY: &str = include_str!("busy.sh");

const TOOLS: &[&str] =
    &["debootstrap", "mke2fs", "sfdisk", "findmnt", "zstd", "sgdisk", "mkfs.vfat", "mmd", "mcopy"];

/// The password of root in every real guest.
pub const PASSWORD: &str = "refloat";

/// Where the root file system of [`debian`] is on its disk, in bytes.
pub const DEBIAN_ROOT: Range<u64> = 1 << 20..2 << 30;

/// Where the EFI system partition of [`debian_uefi`] is on its disk, in bytes.
pub const DEBIAN_UEFI_ESP: Range<u64> = 1 << 20..127 << 20;

/// Where the root file system of [`debian_uefi`] is on its disk, in bytes.
pub const DEBIAN_UEFI_ROOT: Range<u64> = 128 << 20..2047 << 20;

/// Debian 12 with kernel, GRUB and systemd on an MBR disk of 2 GiB, dressed as an EC2 instance: it stops on
/// Azure with `ALERT! /dev/xvda1 does not exist`. A raw image; copy it, or put an overlay on it, before you
/// write to it.
///
/// The first call takes some minutes and a Debian mirror. `None`, after a visible skip, without root and its
/// tools.
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn debian() -> Option<PathBuf> {
    guest("debian.raw", &[GAP, BIOS])
}

/// The same Debian on a GPT disk with shim and GRUB on its EFI partition, and nothing at `\EFI\BOOT`: no
/// firmware finds it that has not the boot entry of the old one. Devices are NVMe's by name, which would stop
/// it next.
///
/// All else is as with [`debian`]; the two share the longest part of the first call.
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn debian_uefi() -> Option<PathBuf> {
    guest("debian-uefi.raw", &[UEFI])
}

/// A snapshot of [`debian`] taken while its root file system was mounted and several processes worked on it:
/// the journal is dirty, and files are open that have no name any more.
///
/// All else is as with [`debian`].
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn debian_busy() -> Option<PathBuf> {
    judge::need_all(&["mkfs.xfs"]).then_some(())?;
    let source = debian()?;
    let recipe = [CHROOT, BIOS, BUSY].concat();
    let built =
        cache::cached("debian-busy.raw", &[recipe.as_bytes(), source.as_os_str().as_bytes()], |out| {
            build(&recipe, &out.join("debian-busy.raw"), source.as_os_str())
        });
    Some(built.unwrap_or_else(|error| panic!("{error:?}")))
}

#[track_caller]
fn guest(name: &str, parts: &[&str]) -> Option<PathBuf> {
    let able = judge::need_all(TOOLS) && judge::need_kernel_mounts();
    able.then(|| {
        let recipe = [&[CHROOT], parts, &[EC2, DEBIAN]].concat().concat();
        let built = cache::cached(name, &[recipe.as_bytes(), tree().as_bytes()], |out| {
            build(&recipe, &out.join(name), tar()?.as_os_str())
        });
        built.unwrap_or_else(|error| panic!("{error:?}"))
    })
}

/// The files of a Debian, which guests are made of.
fn tar() -> Result<PathBuf> {
    let tree = tree();
    cache::cached("debian.tar.zst", &[tree.as_bytes()], |out| {
        build(&tree, &out.join("debian.tar.zst"), mirror().as_ref())
    })
}

fn tree() -> String {
    [CHROOT, TREE].concat()
}

/// Makes the file `out` of `source` by `recipe`.
fn build(recipe: &str, out: &Path, source: &OsStr) -> Result<()> {
    let work = tempfile::tempdir_in(cache::directory())?;
    let status =
        Command::new("sh").args(["-c", recipe, "recipe"]).arg(work.path()).arg(out).arg(source).status()?;
    ensure!(status.success(), "the recipe of {} ended with {status}", out.display());
    Ok(())
}

/// The Debian mirror this machine itself uses, or the one everybody can.
fn mirror() -> String {
    let parts =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let files = [PathBuf::from("/etc/apt/sources.list")].into_iter().chain(parts);
    let texts: Vec<_> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let found =
        words.find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"));
    found.unwrap_or("http://deb.debian.org/debian").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether to go on: debootstrap takes minutes.
    fn long() -> bool {
        let long = crate::length::long();
        if !long {
            judge::skip("REFLOAT_LONG=1, as debootstrap takes minutes");
        }
        long
    }

    /// Its root device by name in every place, and an initramfs without anything of Hyper-V.
    fn expects_amazons_devices(image: &Path, root: Range<u64>, device: &str, instance_store: &str) {
        judge::e2fsck_clean(image, root.start);
        let mount = judge::KernelMount::read_only(image, root);
        let read = |path: &str| fs::read_to_string(mount.path().join(path)).unwrap();
        assert!(read("boot/grub/grub.cfg").contains(&format!("root={device} ro")));
        assert!(read("etc/fstab").contains(device) && read("etc/fstab").contains(instance_store));
        let initrd = fs::read_dir(mount.path().join("boot")).unwrap().flatten().map(|entry| entry.path());
        let initrd = initrd.into_iter().find(|path| path.to_string_lossy().contains("initrd.img-")).unwrap();
        let listed = judge::run(judge::tool("lsinitramfs").arg(initrd));
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(names.contains("/nvme.ko") && names.contains("/ext4.ko"), "{names}");
        assert!(!names.contains("/hv_"), "{names}");
    }

    #[test]
    fn the_real_guest_expects_amazons_devices() {
        if !long() {
            return;
        }
        let Some(image) = debian() else { return };
        expects_amazons_devices(&image, DEBIAN_ROOT, "/dev/xvda1", "/dev/xvdb");
    }

    #[test]
    fn the_uefi_guest_has_no_loader_that_firmware_finds_unasked() {
        if !long() {
            return;
        }
        let Some(image) = debian_uefi() else { return };
        expects_amazons_devices(&image, DEBIAN_UEFI_ROOT, "/dev/nvme0n1p1", "/dev/nvme1n1");
        judge::sgdisk_verify(&image);
        judge::fsck_vfat(&image, DEBIAN_UEFI_ESP);
        let esp = judge::cut(&image, DEBIAN_UEFI_ESP);
        let listed = judge::run(judge::tool("mdir").args(["-b", "-/", "-i"]).arg(esp.path()).arg("::"));
        let names = String::from_utf8_lossy(&listed.stdout).to_lowercase();
        for loader in ["shimx64.efi", "grubx64.efi", "grub.cfg"] {
            assert!(names.contains(&format!("/efi/debian/{loader}")), "{names}");
        }
        assert!(!names.contains("/efi/boot"), "{names}");
    }
}
