//! Amazon Linux.

use std::path::Path;

use anyhow::Result;

use super::{
    AMAZON_ARGUMENTS, MACHINE, RED_HAT_INITRD, SERIAL_DEFAULTS, bls, blscfg, esp, fstab, grub_cfg, hostonly,
    ifcfg, install, kernel, on_gpt_with_xfs, on_mbr, os_release, system,
};
use crate::synthetic::ec2::unit;
use crate::synthetic::guests::ROOT_UUID;
use crate::synthetic::initrd::Codec;
use crate::synthetic::kernel::Kernel;
use crate::synthetic::{ec2, grub, network, selinux};

pub(super) fn amzn_2(out: &Path) -> Result<()> {
    let kernel = Kernel { xz: false, lacks: &["mana"], ..kernel("5.10.223-212.873.amzn2.x86_64") };
    let release = kernel.release;
    let mut tree = system(&os_release("amzn", "centos rhel fedora", "2", "Amazon Linux"));
    selinux::policy(&mut tree, "disabled");
    install(&mut tree, &hostonly(&kernel, Codec::Gzip), RED_HAT_INITRD)?;
    tree.file(
        "/boot/grub2/grub.cfg",
        grub_cfg(
            "Amazon Linux",
            &[release],
            &format!("{AMAZON_ARGUMENTS} xen_nopvspin=1 clocksource=xen intel_idle.max_cstate=1"),
            RED_HAT_INITRD,
        ),
    );
    tree.file("/boot/grub2/grubenv", grub::environment(&[]));
    tree.file("/etc/default/grub", format!("GRUB_CMDLINE_LINUX_DEFAULT=\"{AMAZON_ARGUMENTS}\"\nGRUB_TIMEOUT=0\nGRUB_DISABLE_RECOVERY=\"true\"\n"));
    tree.directory("/etc/dracut.conf.d");
    fstab(&mut tree);
    network::network_scripts(&mut tree);
    ifcfg(&mut tree, "eth0", "USERCTL=yes\nPEERDNS=yes\nDHCPV6C=yes\nPERSISTENT_DHCLIENT=yes\nEC2SYNC=yes\n");
    for rules in [
        "53-ec2-network-interfaces",
        "75-persistent-net-generator",
        "51-ec2-hvm-devices",
        "52-ec2-vcpu",
        "70-ec2-nvme-devices",
        "60-cdrom_id",
    ] {
        tree.file(&format!("/etc/udev/rules.d/{rules}.rules"), "# Copyright Amazon: for EC2 only\n");
    }
    unit(&mut tree, "elastic-network-interfaces", "Set up elastic network interfaces", "/usr/sbin/ec2ifscan");
    tree.file("/etc/dhcp/dhclient.conf", "timeout 300;\nsupersede interface-mtu 9001;\n");
    tree.file("/etc/chrony.conf", "# Use the Amazon Time Sync Service\nconfdir /etc/chrony.d\nsourcedir /run/chrony.d\nmakestep 1.0 3\n");
    tree.file(
        "/etc/chrony.d/link-local.sources",
        "server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4\n",
    );
    ec2::ssm_agent(&mut tree);
    unit(&mut tree, "hibinit-agent", "Initial hibernation setup", "/usr/bin/hibinit-agent");
    unit(&mut tree, "cfn-hup", "AWS CloudFormation helper", "/opt/aws/bin/cfn-hup");
    tree.program("/opt/aws/bin/eic_run_authorized_keys", "#!/bin/sh\nexit 0\n");
    tree.file(
        "/etc/ssh/sshd_config",
        "UsePAM yes\nAuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\nAuthorizedKeysCommandUser ec2-instance-connect\n",
    );
    ec2::cloud_init(&mut tree);
    tree.file("/etc/yum.repos.d/amzn2-core.repo", "[amzn2-core]\nmirrorlist=$awsproto://$amazonlinux.$awsregion.$awsdomain/$releasever/core/$target/mirror.list\n");
    on_mbr(out, tree)
}

pub(super) fn amzn_2023(out: &Path) -> Result<()> {
    let kernel =
        Kernel { lacks: &["pci-hyperv", "pci-hyperv-intf"], ..kernel("6.1.119-129.201.amzn2023.x86_64") };
    let release = kernel.release;
    let mut tree = system(&os_release("amzn", "fedora", "2023", "Amazon Linux"));
    selinux::policy(&mut tree, "permissive");
    install(&mut tree, &hostonly(&kernel, Codec::Zstd), RED_HAT_INITRD)?;
    let options = "root=PARTUUID=b1d2c3a4-0001-4ec2-8abc-0123456789ab ro console=tty0 console=ttyS0,115200n8 nvme_core.io_timeout=4294967295 \
                   rd.emergency=poweroff rd.shell=0 selinux=1 security=selinux quiet";
    bls(&mut tree, release, "/boot", options);
    tree.file("/etc/kernel/cmdline", format!("{options}\n"));
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file("/boot/grub2/grubenv", grub::environment(&[&format!("saved_entry={MACHINE}-{release}")]));
    tree.file("/etc/default/grub", format!("GRUB_ENABLE_BLSCFG=true\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX_DEFAULT=\"{}\"\n{SERIAL_DEFAULTS}", options.split_once(" ro ").map_or("", |(_, rest)| rest)));
    tree.file(
        "/usr/lib/dracut/dracut.conf.d/10-ec2.conf",
        "# dracut-config-ec2\nadd_drivers+=\" nvme ena xen-blkfront xen-netfront \"\n",
    );
    tree.file("/etc/fstab", format!("UUID={ROOT_UUID}\t/\txfs\tdefaults,noatime\t1 1\nUUID=EC2A-E5B0\t/boot/efi\tvfat\tdefaults,noatime,uid=0,gid=0,umask=0077,shortname=winnt,x-systemd.automount\t0 2\n"));
    tree.directory("/boot/efi");
    tree.file(
        "/usr/lib/systemd/network/80-ec2.network",
        "[Match]\nDriver=ena ixgbevf vif\n\n[Link]\nMTUBytes=9001\n\n[Network]\nDHCP=yes\n",
    );
    network::networkd_enabled(&mut tree);
    tree.file(
        "/usr/lib/udev/rules.d/99-vpc-policy-routes.rules",
        "SUBSYSTEM==\"net\", ACTION==\"add\", ENV{ID_NET_DRIVER}==\"ena\", TAG+=\"systemd\"\n",
    );
    unit(
        &mut tree,
        "set-hostname-imds",
        "Set the hostname from the metadata service",
        "/usr/bin/set-hostname-imds",
    );
    for rules in ["51-ec2-ena-ptp-device", "70-ec2-nvme-devices"] {
        tree.file(&format!("/usr/lib/udev/rules.d/{rules}.rules"), "# amazon-ec2-utils\n");
    }
    tree.file("/etc/chrony.conf", "sourcedir /etc/chrony.d\nmakestep 1.0 3\n");
    tree.file("/etc/chrony.d/link-local.sources", "server 169.254.169.123 prefer iburst\n");
    ec2::ssm_agent(&mut tree);
    ec2::cloud_init(&mut tree);
    tree.file("/etc/yum.repos.d/amazonlinux.repo", "[amazonlinux]\nmirrorlist=https://cdn.amazonlinux.com/al2023/core/mirrors/$releasever/$basearch/mirror.list\n");
    on_gpt_with_xfs(out, &tree, &esp("amzn"))
}
