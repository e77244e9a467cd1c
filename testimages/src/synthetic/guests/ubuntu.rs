//! Ubuntu as its makers build it for AWS.

use std::path::Path;

use anyhow::Result;

use super::super::disk::{Ext, MIB, make_gpt, place_synthetic_grub};
use super::super::initrd::{Codec, Initrd};
use super::super::kernel::{EC2_INITRAMFS, Kernel};
use super::super::tree::Tree;
use super::super::{ec2, grub, loaders};
use super::debian::{BOOKWORM, DEBIAN_INITRD};
use super::{DISK_GUID, ROOT_UUID, put_vfat, root};

/// The identifier of the root's partition.
const ROOT_PARTUUID: &str = "b1d2c3a4-0001-4ec2-8abc-0123456789ab";

pub(super) fn gpt_hybrid(out: &Path) -> Result<()> {
    let kernel = Kernel {
        release: "6.2.0-1018-aws",
        banner: "(buildd@lcy02-amd64-001) #18~22.04.1-Ubuntu SMP",
        lacks: &[],
        ..BOOKWORM
    };
    let older = Kernel { release: "6.2.0-1017-aws", ..kernel };
    let mut tree = ec2::system(
        "PRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\n\
         VERSION=\"22.04.4 LTS (Jammy Jellyfish)\"\nVERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=jammy\n",
        &[
            ("linux-image-6.2.0-1018-aws", "6.2.0-1018.18~22.04.1"),
            ("grub-pc", "2.06-2ubuntu7.2"),
            ("grub-efi-amd64-signed", "1.187.6"),
            ("shim-signed", "1.51.3"),
            ("cloud-init", "23.4.4"),
            ("netplan.io", "0.106.1"),
            ("chrony", "4.2-2ubuntu2"),
        ],
    );
    for kernel in [kernel, older] {
        tree.merge(kernel.tree()?);
        let initrd = Initrd::tools(&kernel, EC2_INITRAMFS.to_vec(), Codec::Zstd);
        tree.file(&format!("/boot/initrd.img-{}", kernel.release), initrd.make()?);
        tree.remove(&format!("/boot/System.map-{}", kernel.release));
    }
    for (link, release) in [("", kernel.release), (".old", older.release)] {
        tree.link(&format!("/boot/vmlinuz{link}"), &format!("vmlinuz-{release}"));
        tree.link(&format!("/boot/initrd.img{link}"), &format!("initrd.img-{release}"));
    }
    let arguments = "console=tty1 console=ttyS0 nvme_core.io_timeout=4294967295";
    let grub = grub::Grub {
        name: "Ubuntu",
        releases: &[kernel.release, older.release],
        root: "PARTUUID=b1d2c3a4-0001-4ec2-8abc-0123456789ab",
        boot_uuid: ROOT_UUID,
        boot: "/boot",
        arguments,
        table: "part_gpt",
        initrdless: Some(ROOT_PARTUUID),
        initrd: DEBIAN_INITRD,
    };
    tree.file("/boot/grub/grub.cfg", grub.configuration());
    loaders::grub_modules(&mut tree, "/boot/grub/i386-pc");
    tree.file("/boot/grub/grubenv", grub::environment(&["initrdfail=2"]));
    tree.file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_TIMEOUT_STYLE=hidden\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX=\"\"\n");
    tree.file(
        "/etc/default/grub.d/40-force-partuuid.cfg",
        format!("# Force boot by PARTUUID, without an initramfs\nGRUB_FORCE_PARTUUID={ROOT_PARTUUID}\n"),
    );
    tree.file(
        "/etc/default/grub.d/50-cloudimg-settings.cfg",
        format!("GRUB_RECORDFAIL_TIMEOUT=0\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"{arguments}\"\nGRUB_TERMINAL=console\n"),
    );
    tree.file(
        "/etc/fstab",
        "LABEL=cloudimg-rootfs\t/\text4\tdiscard,errors=remount-ro\t0 1\nLABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1\n\
         /dev/nvme1n1\t/mnt\tauto\tdefaults,nofail,x-systemd.requires=cloud-init.service,comment=cloudconfig\t0\t2\n",
    );
    tree.directory("/boot/efi");
    ec2::netplan_pinned(&mut tree);
    ec2::cloud_init(&mut tree);
    ec2::chrony(&mut tree);
    ec2::ssm_snap(&mut tree);
    ec2::instance_connect(&mut tree);
    ec2::hibernation_agent(&mut tree);
    tree.file(
        "/etc/apt/sources.list",
        "deb http://eu-west-1.ec2.archive.ubuntu.com/ubuntu/ jammy main restricted universe\n",
    );

    let size = 96 * MIB;
    // As on Ubuntu's own images: the root is partition 1, and last on the disk.
    let partitions = [
        "--new=14:2048:4095",
        "--typecode=14:ef02",
        "--partition-guid=14:b1d2c3a4-000e-4ec2-8abc-0123456789ab",
        "--new=15:4096:36863",
        "--typecode=15:ef00",
        "--partition-guid=15:b1d2c3a4-000f-4ec2-8abc-0123456789ab",
        "--new=1:36864:194559",
        "--typecode=1:8300",
        "--partition-guid=1:b1d2c3a4-0001-4ec2-8abc-0123456789ab",
    ];
    make_gpt(out, size, DISK_GUID, &partitions)?;
    place_synthetic_grub(out, MIB, "(,gpt1)/boot/grub")?;
    let stub = format!(
        "search.fs_uuid {ROOT_UUID} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
    );
    let mut esp = Tree::default();
    for program in
        ["BOOT/BOOTX64.EFI", "BOOT/fbx64.efi", "BOOT/mmx64.efi", "ubuntu/shimx64.efi", "ubuntu/mmx64.efi"]
    {
        esp.file(&format!("/EFI/{program}"), loaders::shim());
    }
    esp.file("/EFI/ubuntu/grubx64.efi", loaders::grub_efi("/EFI/ubuntu", &[]));
    esp.file("/EFI/ubuntu/BOOTX64.CSV", "shimx64.efi,ubuntu,,This is the boot entry for ubuntu\n");
    esp.file("/EFI/ubuntu/grub.cfg", stub);
    put_vfat(out, 2 * MIB, 16 * MIB, "UEFI", &esp)?;
    Ext { label: "cloudimg-rootfs", ..root("ext4", 4096) }.put(out, 18 * MIB, 77 * MIB, &tree)
}
