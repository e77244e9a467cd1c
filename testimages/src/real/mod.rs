//! Real guests, which boot: built once by debootstrap, and kept in the [cache](crate::cache).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::{cache, judge};

const RECIPE: &str = include_str!("debian.sh");

/// The password of root in every real guest.
pub const PASSWORD: &str = "refloat";

/// Debian 12 with kernel, GRUB and systemd on an MBR disk of 2 GiB, dressed as an EC2 instance: it stops on Azure with
/// `ALERT! /dev/xvda1 does not exist`. A raw image; copy it, or put an overlay on it, before you write to it.
///
/// The first call takes some minutes and a Debian mirror. `None`, after a visible skip, without root and its tools.
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn debian() -> Option<PathBuf> {
    let tools =
        judge::need_all(&["debootstrap", "mke2fs", "sfdisk", "findmnt"]) && judge::need_kernel_mounts();
    tools.then(|| {
        let built = cache::cached("debian.raw", &[RECIPE.as_bytes()], |out| {
            let work = tempfile::tempdir_in(cache::directory())?;
            let mut shell = Command::new("sh");
            shell
                .arg("-c")
                .arg(RECIPE)
                .arg("debian.sh")
                .arg(work.path())
                .arg(out.join("debian.raw"))
                .arg(mirror());
            let status = shell.status()?;
            ensure!(status.success(), "the recipe ended with {status}");
            Ok(())
        });
        built.unwrap_or_else(|error| panic!("{error:?}"))
    })
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

    #[test]
    fn the_real_guest_expects_amazons_devices() {
        if std::env::var_os("REFLOAT_LONG").is_none() {
            judge::skip("REFLOAT_LONG=1, as debootstrap takes minutes");
            return;
        }
        let Some(image) = debian() else { return };
        judge::e2fsck_clean(&image, 1 << 20);
        let mount = judge::KernelMount::read_only(&image, 1 << 20..2 << 30);
        let read = |path: &str| fs::read_to_string(mount.path().join(path)).unwrap();
        assert!(read("boot/grub/grub.cfg").contains("root=/dev/xvda1 ro"));
        assert!(read("etc/fstab").contains("/dev/xvdb"));
        let initrd = fs::read_dir(mount.path().join("boot")).unwrap().flatten().map(|entry| entry.path());
        let initrd = initrd.into_iter().find(|path| path.to_string_lossy().contains("initrd.img-")).unwrap();
        let listed = judge::run(judge::tool("lsinitramfs").arg(initrd));
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(names.contains("/nvme.ko") && names.contains("/ext4.ko"), "{names}");
        assert!(!names.contains("hv_storvsc") && !names.contains("sd_mod"), "{names}");
    }
}
