//! The programs that the tests need: those that judge what refloat wrote, and those that make its guests.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

/// The Debian packages of the judges and of the guests' makers, each with a program of it that shows it is
/// there.
const PACKAGES: &[(&str, &str)] = &[
    ("e2fsprogs", "mke2fs"),
    ("dosfstools", "mkfs.vfat"),
    ("mtools", "mcopy"),
    ("gdisk", "sgdisk"),
    ("fdisk", "sfdisk"),
    ("kmod", "depmod"),
    ("cpio", "cpio"),
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("binutils", "objcopy"),
    ("zstd", "zstd"),
    ("lz4", "lz4"),
    ("xz-utils", "xz"),
    ("bzip2", "bzip2"),
    ("initramfs-tools-core", "unmkinitramfs"),
    ("busybox", "busybox"),
    ("dracut-core", "dracut"),
    ("qemu-utils", "qemu-img"),
    ("qemu-system-x86", "qemu-system-x86_64"),
    ("debootstrap", "debootstrap"),
    ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    ("seabios", "/usr/share/seabios/bios-256k.bin"),
    ("ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd"),
    ("attr", "setfattr"),
    ("strace", "strace"),
    ("hyperfine", "hyperfine"),
    ("xfsprogs", "mkfs.xfs"),
    ("user-mode-linux", "linux.uml"),
    ("btrfs-progs", "mkfs.btrfs"),
    ("exfatprogs", "mkfs.exfat"),
    ("ntfs-3g", "mkntfs"),
    ("libhivex-bin", "hivexml"),
    ("libwin-hivex-perl", "hivexregedit"),
    ("python3-hivex", "/usr/lib/python3/dist-packages/hivex/__init__.py"),
    ("jfsutils", "mkfs.jfs"),
    ("f2fs-tools", "mkfs.f2fs"),
    ("nilfs-tools", "mkfs.nilfs2"),
    ("reiserfsprogs", "mkfs.reiserfs"),
    ("ocfs2-tools", "mkfs.ocfs2"),
    ("gfs2-utils", "mkfs.gfs2"),
    ("squashfs-tools", "mksquashfs"),
    ("erofs-utils", "mkfs.erofs"),
    ("genisoimage", "genisoimage"),
    ("udftools", "mkudffs"),
    ("bcache-tools", "make-bcache"),
    ("cryptsetup-bin", "cryptsetup"),
    ("lvm2", "lvm"),
    ("mdadm", "mdadm"),
    ("grub-common", "grub-script-check"),
    ("grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img"),
    ("parted", "parted"),
    ("policycoreutils", "setfiles"),
    ("selinux-utils", "matchpathcon"),
    ("selinux-policy-default", "/etc/selinux/default/contexts/files/file_contexts"),
    ("munge", "munged"),
    ("slurmctld", "slurmctld"),
    ("slurmd", "slurmd"),
    ("slurm-client", "sbatch"),
    ("npm", "npm"),
    ("nodejs", "node"),
    ("chromium", "chromium"),
    ("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    ("libxml2-utils", "xmllint"),
    ("python3", "python3"),
    ("python3-venv", "/var/lib/dpkg/info/python3-venv.list"),
    ("python3-yaml", "/usr/lib/python3/dist-packages/yaml/__init__.py"),
];

/// Installs the packages that are missing, where this is Debian and we may; else the tests say what they
/// skip.
///
/// A second round installs what the first one had to remove: qemu-system-x86 of Debian 12 takes away the
/// qemu-utils of a newer QEMU, and with it qemu-img.
pub(crate) fn install() -> Result<()> {
    for round in 1..=2 {
        let missing: Vec<&str> =
            PACKAGES.iter().filter(|(_, file)| !is_there(file)).map(|(package, _)| *package).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if !Path::new("/usr/bin/apt-get").exists() || !is_root() {
            eprintln!("not installed, so their tests will be skipped: {}", missing.join(" "));
            return Ok(());
        }
        if round == 1 {
            crate::run("apt-get", &["update", "-q"])?;
        }
        let mut command = vec!["install", "-q", "-y", "--no-install-recommends"];
        command.extend(&missing);
        crate::run("apt-get", &command)?;
    }
    Ok(())
}

fn is_there(file: &str) -> bool {
    if file.starts_with('/') {
        return Path::new(file).exists();
    }
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(file).exists())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
