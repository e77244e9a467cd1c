//! A guest that starts by systemd-boot: kernels, initramfs and entries are on the EFI partition.

use std::path::Path;

use anyhow::Result;

use super::disk::{MIB, make_gpt};
use super::guests::{DISK_GUID, put_vfat, root};
use super::initrd::{Codec, Initrd};
use super::kernel::{EC2_INITRAMFS, Kernel};
use super::tree::Tree;
use super::{Generation, SyntheticGuest, ec2, loaders};

pub(super) static ALL: &[SyntheticGuest] = &[SyntheticGuest {
    name: "debian-systemd-boot",
    description: "Debian 13 by systemd-boot: entries on the EFI partition, no fallback loader, an encrypted volume and a unit that mounts a disk of EC2",
    generation: Generation::Gen2,
    build,
}];

const MACHINE: &str = "0123456789abcdef0123456789abcdef";
const KERNEL: Kernel<'_> = Kernel {
    release: "6.12.48+deb13-amd64",
    banner: "(debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)",
    hyperv: true,
    xz: true,
    lacks: &[],
};

fn build(out: &Path) -> Result<()> {
    let release = KERNEL.release;
    let mut tree = ec2::system(
        "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n\
         VERSION=\"13 (trixie)\"\nVERSION_CODENAME=trixie\nID=debian\n",
        &[
            ("linux-image-6.12.48+deb13-amd64", "6.12.48-1"),
            ("systemd-boot", "257.8-1"),
            ("waagent", "2.12.0.2-1"),
        ],
    );
    tree.merge(KERNEL.tree()?);
    let initrd = Initrd::tools(&KERNEL, EC2_INITRAMFS.to_vec(), Codec::Zstd).make()?;
    tree.file(&format!("/boot/initrd.img-{release}"), &initrd);
    let options = "root=/dev/nvme0n1p1 ro console=tty0 console=hvc0";
    tree.file("/etc/kernel/cmdline", format!("{options}\n"));
    tree.file("/etc/initramfs-tools/initramfs.conf", "MODULES=dep\nBUSYBOX=auto\nCOMPRESS=zstd\n");
    tree.file("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/nvme0n1p2\n");
    tree.file(
        "/etc/fstab",
        "/dev/nvme0n1p1\t/\text4\tdefaults\t0 1\nUUID=EC2A-E5B0\t/boot/efi\tvfat\tumask=0077\t0 2\n",
    );
    tree.file("/etc/crypttab", "scratch\t/dev/nvme1n1\t/dev/urandom\ttmp=ext4\n");
    tree.file(
        "/etc/systemd/system/data.mount",
        "[Unit]\nDescription=Data\n\n[Mount]\nWhat=/dev/nvme2n1\nWhere=/data\nType=ext4\n\n[Install]\nWantedBy=multi-user.target\n",
    );
    ec2::enable(&mut tree, "data.mount", "/etc/systemd/system");
    ec2::networkd_pinned(&mut tree);
    tree.program("/usr/sbin/waagent", "#!/usr/bin/python3\n");
    tree.file(
        "/etc/waagent.conf",
        "Provisioning.Agent=auto\nProvisioning.DeleteRootPassword=y\nResourceDisk.Format=n\n",
    );
    tree.directory("/boot/efi");

    let mut esp = Tree::default();
    esp.file("/EFI/systemd/systemd-bootx64.efi", loaders::systemd_boot());
    esp.file("/loader/loader.conf", format!("#timeout 3\ndefault {MACHINE}-*\n"));
    let own = format!("/{MACHINE}/{release}");
    esp.file(&format!("{own}/linux"), KERNEL.boot_image());
    esp.file(&format!("{own}/initrd.img-{release}"), initrd);
    esp.file(
        &format!("/loader/entries/{MACHINE}-{release}.conf"),
        format!(
            "# Boot Loader Specification type#1 entry\ntitle      Debian GNU/Linux 13 (trixie)\nversion    {release}\n\
             machine-id {MACHINE}\nsort-key   debian\noptions    {options}\nlinux      {own}/linux\ninitrd     {own}/initrd.img-{release}\n"
        ),
    );
    let partitions = [
        "--new=15:2048:18431",
        "--typecode=15:ef00",
        "--partition-guid=15:b1d2c3a4-000f-4ec2-8abc-0123456789ab",
        "--new=1:18432:145407",
        "--typecode=1:8304",
        "--partition-guid=1:b1d2c3a4-0001-4ec2-8abc-0123456789ab",
    ];
    make_gpt(out, 72 * MIB, DISK_GUID, &partitions)?;
    put_vfat(out, MIB, 8 * MIB, "EFI", &esp)?;
    root("ext4", 4096).put(out, 9 * MIB, 62 * MIB, &tree)
}
