//! SUSE Linux Enterprise Server.

use std::path::Path;

use anyhow::Result;

use super::{
    SERIAL_DEFAULTS, chrony, fstab, grub_cfg, hostonly, install, kernel, on_mbr, os_release, system, waagent,
};
use crate::synthetic::ec2::{MAC, unit};
use crate::synthetic::guests::ROOT_UUID;
use crate::synthetic::initrd::{Codec, Initrd};
use crate::synthetic::kernel::{EC2_INITRAMFS, HYPERV_INITRAMFS, Kernel};
use crate::synthetic::tree::Tree;
use crate::synthetic::{grub, network};

fn sles(version: &str) -> Tree {
    let mut tree = system(&os_release("sles", "suse", version, "SUSE Linux Enterprise Server"));
    // it has AppArmor
    tree.remove("/etc/selinux");
    network::wicked(&mut tree);
    tree
}

pub(super) fn sles_12(out: &Path) -> Result<()> {
    let kernel = Kernel { xz: false, lacks: &["mana"], ..kernel("4.12.14-122.225-default") };
    let release = kernel.release;
    let mut tree = sles("12.5");
    install(&mut tree, &hostonly(&kernel, Codec::Xz), ("initrd-", ""))?;
    tree.file(&format!("/boot/initrd-{release}-kdump"), hostonly(&kernel, Codec::Gzip).make()?);
    let cfg =
        grub_cfg("SLES 12-SP5", &[release], "console=tty0 console=xvc0 splash=silent quiet", ("initrd-", ""));
    tree.file("/boot/grub2/grub.cfg", cfg.replace(&format!("root=UUID={ROOT_UUID}"), "root=/dev/xvda1"));
    tree.file("/boot/grub2/grubenv", grub::environment(&[]));
    tree.file("/etc/default/grub", format!("GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"console=xvc0 splash=silent quiet\"\n{SERIAL_DEFAULTS}"));
    tree.file("/etc/sysconfig/kernel", "INITRD_MODULES=\"\"\nDOMU_INITRD_MODULES=\"xennet xenblk\"\n");
    tree.directory("/etc/dracut.conf.d");
    tree.file("/etc/fstab", "/dev/xvda1 / ext4 acl,user_xattr 1 1\n/dev/xvda2 swap swap defaults 0 0\n");
    tree.file(
        "/etc/sysconfig/network/ifcfg-eth0",
        format!("BOOTPROTO='static'\nIPADDR='10.0.0.5/24'\nLLADDR='{MAC}'\nSTARTMODE='auto'\n"),
    );
    tree.file("/etc/sysconfig/network/routes", "default 10.0.0.1 - -\n");
    tree.file(
        "/etc/udev/rules.d/70-persistent-net.rules",
        format!("SUBSYSTEM==\"net\", ACTION==\"add\", ATTR{{address}}==\"{MAC}\", NAME=\"eth0\"\n"),
    );
    tree.file("/etc/regionserverclnt.cfg", "[server]\napi = regionInfo\n[instance]\ndataProvider = /usr/bin/ec2metadata --api latest --document\n");
    tree.file("/etc/ntp.conf", "server 169.254.169.123 iburst\n");
    tree.file("/etc/ssh/sshd_config", "UsePAM yes\nListenAddress 10.0.0.5\n");
    on_mbr(out, tree)
}

pub(super) fn sles_15(out: &Path) -> Result<()> {
    let kernel = kernel("6.4.0-150600.23.60-default");
    let release = kernel.release;
    let mut tree = sles("15.6");
    let generic =
        Initrd { modules: [EC2_INITRAMFS, HYPERV_INITRAMFS].concat(), ..hostonly(&kernel, Codec::Zstd) };
    install(&mut tree, &generic, ("initrd-", ""))?;
    for (link, target) in [("vmlinuz", format!("vmlinuz-{release}")), ("initrd", format!("initrd-{release}"))]
    {
        tree.link(&format!("/boot/{link}"), &target);
    }
    tree.file(
        "/boot/grub2/grub.cfg",
        grub_cfg(
            "SLES 15-SP6",
            &[release],
            "console=tty1 console=ttyS0,115200n8 net.ifnames=0 nvme_core.io_timeout=4294967295",
            ("initrd-", ""),
        ),
    );
    tree.file("/boot/grub2/grubenv", grub::environment(&[]));
    tree.file("/etc/default/grub", format!("GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX=\"console=tty1 console=ttyS0,115200n8 net.ifnames=0\"\n{SERIAL_DEFAULTS}"));
    tree.file(
        "/etc/dracut.conf.d/07-aws-type-switch.conf",
        "add_drivers+=\" ena virtio virtio_scsi xen-blkfront xen-netfront nvme \"\n",
    );
    fstab(&mut tree);
    tree.file(
        "/etc/sysconfig/network/ifcfg-eth0",
        "BOOTPROTO='dhcp'\nMTU='9001'\nSTARTMODE='auto'\nCLOUD_NETCONFIG_MANAGE='yes'\n",
    );
    tree.file("/etc/sysconfig/network/dhcp", "DHCLIENT_WAIT_AT_BOOT=\"15\"\nDHCLIENT_SET_HOSTNAME=\"yes\"\n");
    unit(
        &mut tree,
        "cloud-netconfig",
        "Configure network interfaces from the metadata of EC2",
        "/usr/lib/cloud-netconfig/cloud-netconfig.sh",
    );
    chrony(&mut tree);
    waagent(&mut tree);
    on_mbr(out, tree)
}
