//! Red Hat Enterprise Linux, and what is built from its sources.

use std::path::Path;

use anyhow::Result;

use super::{
    FINE_ARGUMENTS, MACHINE, RED_HAT_ARGUMENTS, RED_HAT_INITRD, SERIAL_DEFAULTS, bls, blscfg, chrony, esp,
    fstab, grub_cfg, hostonly, ifcfg, install, kernel, on_gpt, on_mbr, os_release, system, waagent,
};
use crate::synthetic::disk::{Ext, MIB, make_mbr, place_synthetic_grub, place_synthetic_stage1};
use crate::synthetic::ec2::MAC;
use crate::synthetic::guests::{BOOT_UUID, DISK_ID, ROOT_UUID, root};
use crate::synthetic::initrd::{Codec, Initrd, PROGRAM};
use crate::synthetic::kernel::{EC2_INITRAMFS, HYPERV_INITRAMFS, Kernel};
use crate::synthetic::tree::Tree;
use crate::synthetic::{ec2, grub, loaders, network, selinux};

pub(super) fn rhel_6(out: &Path) -> Result<()> {
    let kernel = Kernel { xz: false, lacks: &["mana", "mlx5_core"], ..kernel("2.6.32-431.el6.x86_64") };
    let mut tree = system(&os_release("rhel", "fedora", "6.5", "Red Hat Enterprise Linux Server"));
    for other in ["/usr/lib/systemd", "/etc/systemd", "/usr/sbin/init"] {
        tree.remove(other);
    }
    tree.program("/usr/sbin/init", PROGRAM);
    tree.file("/etc/init/rcS.conf", "start on startup\n");
    tree.link("/etc/rc3.d/S55sshd", "../init.d/sshd");
    tree.file("/etc/inittab", "id:3:initdefault:\n");
    // a getty for whatever console the kernel has
    tree.file(
        "/etc/init/serial.conf",
        "start on fedora.serial-console-available DEV=* and stopped rc RUNLEVEL=[2345]\n",
    );
    install(&mut tree, &hostonly(&kernel, Codec::Gzip), RED_HAT_INITRD)?;
    let release = kernel.release;
    tree.file(
        "/boot/grub/grub.conf",
        format!(
            "default=0\ntimeout=0\nhiddenmenu\ntitle Red Hat Enterprise Linux Server ({release})\n\troot (hd0,0)\n\t\
             kernel /boot/vmlinuz-{release} ro root=/dev/xvda1 console=hvc0 crashkernel=auto rhgb quiet\n\tinitrd /boot/initramfs-{release}.img\n"
        ),
    );
    tree.link("/boot/grub/menu.lst", "./grub.conf");
    tree.file("/boot/grub/device.map", "(hd0)     /dev/xvda\n");
    tree.file("/etc/dracut.conf", "# add_drivers+=\"\"\n");
    tree.file("/etc/modprobe.conf", "alias eth0 xen_netfront\nalias scsi_hostadapter xen_blkfront\n");
    tree.file("/etc/fstab", "/dev/xvda1 / ext4 defaults 1 1\n/dev/xvdb /mnt ext3 defaults,nofail 0 0\n");
    tree.file("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=ip-192-168-1-10\n");
    network::network_scripts(&mut tree);
    ifcfg(&mut tree, "eth0", &format!("HWADDR={MAC}\nNM_CONTROLLED=no\n"));
    tree.file(
        "/usr/lib/udev/rules.d/75-persistent-net-generator.rules",
        "# names cards by their addresses\n",
    );
    tree.file("/boot/grub/stage2", loaders::stage2());
    make_mbr(out, 64 * MIB, DISK_ID, "start=2048, type=83, bootable")?;
    place_synthetic_stage1(out)?;
    root("ext4", 4096).put(out, MIB, 63 * MIB, &selinux::labelled(&tree)?)
}

pub(super) fn rhel_7(out: &Path) -> Result<()> {
    let kernel = Kernel { lacks: &["mana"], ..kernel("3.10.0-1160.el7.x86_64") };
    let release = kernel.release;
    let mut tree = system(&os_release("rhel", "fedora", "7.9", "Red Hat Enterprise Linux Server"));
    install(&mut tree, &hostonly(&kernel, Codec::Gzip), RED_HAT_INITRD)?;
    tree.file(&format!("/boot/initramfs-{release}kdump.img"), hostonly(&kernel, Codec::Gzip).make()?);
    let arguments = format!("{RED_HAT_ARGUMENTS} crashkernel=auto rhgb quiet LANG=en_US.UTF-8");
    tree.file(
        "/boot/grub2/grub.cfg",
        grub_cfg("Red Hat Enterprise Linux Server", &[release], &arguments, RED_HAT_INITRD),
    );
    tree.file("/boot/grub2/grubenv", grub::environment(&[]));
    tree.file("/boot/grub2/device.map", "# by anaconda\n(hd0)      /dev/xvda\n");
    tree.file(
        "/etc/default/grub",
        format!(
            "GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX=\"{arguments}\"\nGRUB_TIMEOUT=1\nGRUB_TERMINAL=console\n"
        ),
    );
    tree.file("/etc/dracut.conf", "# PUT YOUR CONFIG HERE\n");
    tree.file("/etc/dracut.conf.d/ec2.conf", "hostonly=\"yes\"\nadd_drivers+=\" nvme ena xen-blkfront \"\nomit_drivers+=\" floppy hv_vmbus hv_storvsc hv_netvsc \"\n");
    fstab(&mut tree);
    network::network_manager(&mut tree);
    ifcfg(&mut tree, "eth0", &format!("HWADDR=\"{MAC}\"\nUSERCTL=yes\nMTU=9001\n"));
    ifcfg(&mut tree, "ens5", "");
    tree.file("/etc/sysconfig/network", "NETWORKING=yes\nNOZEROCONF=yes\nGATEWAYDEV=ens5\n");
    tree.file("/etc/resolv.conf", "search eu-west-1.compute.internal\nnameserver 169.254.169.253\n");
    chrony(&mut tree);
    tree.file(
        "/etc/yum.repos.d/redhat-rhui.repo",
        "[rhui-REGION-rhel-server-releases]\nname=Red Hat Enterprise Linux Server 7\n\
         mirrorlist=https://rhui2-cds01.REGION.aws.ce.redhat.com/pulp/mirror/rhui.REGION/content\nenabled=1\n",
    );
    ec2::ssm_agent(&mut tree);
    ec2::cloud_init(&mut tree);
    tree.secret("/root/.aws/credentials", "[default]\naws_access_key_id = synthetic\n");
    on_mbr(out, tree)
}

pub(super) fn rhel_8(out: &Path) -> Result<()> {
    let kernel = kernel("4.18.0-553.el8_10.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("rhel", "fedora", "8.10", "Red Hat Enterprise Linux"));
    install(&mut tree, &hostonly(&kernel, Codec::Gzip), RED_HAT_INITRD)?;
    // the image of the rescue entry has another name than its modules
    let rescue =
        Initrd { modules: [EC2_INITRAMFS, HYPERV_INITRAMFS].concat(), ..hostonly(&kernel, Codec::Gzip) };
    tree.file(&format!("/boot/initramfs-0-rescue-{MACHINE}.img"), rescue.make()?);
    tree.file(&format!("/boot/vmlinuz-0-rescue-{MACHINE}"), kernel.boot_image());
    let arguments = "console=ttyS0,115200n8 console=tty0 net.ifnames=0 rd.blacklist=nouveau nvme_core.io_timeout=4294967295 crashkernel=auto";
    let kernelopts = format!("root=/dev/xvda2 ro {arguments}");
    bls(&mut tree, release, "", "$kernelopts $tuned_params");
    bls(&mut tree, &format!("0-rescue-{MACHINE}"), "", "$kernelopts");
    tree.file("/boot/grub2/grub.cfg", blscfg(Some(&kernelopts)).replace(ROOT_UUID, BOOT_UUID));
    loaders::grub_modules(&mut tree, "/boot/grub2/i386-pc");
    let saved = format!("saved_entry={MACHINE}-{release}");
    tree.file(
        "/boot/grub2/grubenv",
        grub::environment(&[&saved, &format!("kernelopts={kernelopts}"), "boot_success=0"]),
    );
    tree.file("/etc/default/grub", format!("GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX=\"{arguments}\"\n{SERIAL_DEFAULTS}"));
    tree.directory("/etc/dracut.conf.d");
    tree.file(
        "/etc/fstab",
        format!("/dev/xvda2\t/\text4\tdefaults\t0 0\nUUID={BOOT_UUID}\t/boot\text4\tdefaults\t0 0\n"),
    );
    network::network_manager(&mut tree);
    ifcfg(&mut tree, "eth0", "PERSISTENT_DHCLIENT=yes\n");
    tree.file("/etc/lvm/lvm.conf", "devices {\n\tdir = \"/dev\"\n\t# the data volumes, and nothing else\n\tglobal_filter = [ \"a|^/dev/xvd[f-p]$|\", \"r|.*|\" ]\n}\n");
    tree.file(
        "/etc/multipath.conf",
        "blacklist {\n\tdevice {\n\t\tvendor \"NVME\"\n\t\tproduct \"Amazon Elastic Block Store\"\n\t}\n}\n",
    );
    chrony(&mut tree);
    firewalld(
        &mut tree,
        "internal",
        "<rule family=\"ipv4\"><source address=\"10.0.0.0/16\"/><service name=\"ssh\"/><accept/></rule>",
    );
    let mut tree = selinux::labelled(&tree)?;
    let boot = tree.split_off("/boot");
    make_mbr(out, 96 * MIB, DISK_ID, "start=2048, size=65536, type=83, bootable\nstart=67584, type=83")?;
    place_synthetic_grub(out, 512, "(,msdos1)/grub2")?;
    Ext { uuid: BOOT_UUID, ..root("ext4", 4096) }.put(out, MIB, 32 * MIB, &boot)?;
    root("ext4", 4096).put(out, 33 * MIB, 63 * MIB, &tree)
}

pub(super) fn rhel_9(out: &Path) -> Result<()> {
    let kernel = kernel("5.14.0-503.el9_5.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("rhel", "fedora", "9.5", "Red Hat Enterprise Linux"));
    install(&mut tree, &hostonly(&kernel, Codec::Xz), RED_HAT_INITRD)?;
    let options = format!("root=/dev/nvme0n1p1 ro {RED_HAT_ARGUMENTS}");
    bls(&mut tree, release, "/boot", &format!("{options} $tuned_params"));
    tree.file("/etc/kernel/cmdline", format!("{options}\n"));
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file(
        "/boot/grub2/grubenv",
        grub::environment(&[&format!("saved_entry={MACHINE}-{release}"), "tuned_params=skew_tick=1"]),
    );
    tree.file("/etc/default/grub", format!("GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX=\"{RED_HAT_ARGUMENTS}\"\n{SERIAL_DEFAULTS}"));
    tree.file("/usr/lib/dracut/dracut.conf.d/01-dist.conf", "hostonly=\"yes\"\nhostonly_cmdline=\"no\"\n");
    tree.file("/etc/fstab", "/dev/nvme0n1p1\t/\text4\tdefaults\t0 0\nUUID=EC2A-E5B0\t/boot/efi\tvfat\tumask=0077\t0 2\n/dev/vgdata/data\t/data\text4\tdefaults,nofail\t0 0\n");
    tree.directory("/boot/efi");
    network::network_manager(&mut tree);
    tree.secret(
        "/etc/NetworkManager/system-connections/cloud-init-ens5.nmconnection",
        format!("[connection]\nid=cloud-init ens5\ntype=ethernet\ninterface-name=ens5\n\n[ethernet]\nmac-address={MAC}\nmtu=9001\n\n[ipv4]\nmethod=auto\n"),
    );
    tree.file(
        "/etc/lvm/devices/system.devices",
        "# LVM uses devices listed in this file.\nVERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=nvme.1d0f-766f6c30-416d617a6f6e-00000001 \
         DEVNAME=/dev/nvme1n1 PVID=abcdefghijklmnopqrstuvwxyz012345\n",
    );
    chrony(&mut tree);
    ec2::cloud_init(&mut tree);
    tree.remove("/etc/systemd/system/multi-user.target.wants/sshd.service");
    on_gpt(out, &tree, &esp("redhat"))
}

pub(super) fn rhel_10_already_fine(out: &Path) -> Result<()> {
    let kernel = kernel("6.12.0-55.el10_0.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("rhel", "fedora", "10.0", "Red Hat Enterprise Linux"));
    let generic =
        Initrd { modules: [EC2_INITRAMFS, HYPERV_INITRAMFS].concat(), ..hostonly(&kernel, Codec::Zstd) };
    install(&mut tree, &generic, RED_HAT_INITRD)?;
    let options = format!("root=UUID={ROOT_UUID} ro {FINE_ARGUMENTS}");
    bls(&mut tree, release, "/boot", &options);
    tree.file("/etc/kernel/cmdline", format!("{options}\n"));
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file(
        "/boot/grub2/grubenv",
        grub::environment(&[&format!("saved_entry={MACHINE}-{release}"), "boot_success=1"]),
    );
    tree.file("/etc/default/grub", format!("GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX=\"{FINE_ARGUMENTS}\"\n{SERIAL_DEFAULTS}"));
    tree.file("/etc/dracut.conf.d/azure.conf", "add_drivers+=\" hv_vmbus hv_storvsc hv_netvsc \"\n");
    fstab(&mut tree);
    network::network_manager(&mut tree);
    tree.file(
        "/etc/udev/rules.d/68-azure-sriov-nm-unmanaged.rules",
        "SUBSYSTEM==\"net\", DRIVERS==\"hv_pci\", ACTION!=\"remove\", ENV{NM_UNMANAGED}=\"1\"\n",
    );
    tree.secret(
        "/etc/NetworkManager/system-connections/eth0.nmconnection",
        "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n",
    );
    tree.file("/etc/multipath.conf", "defaults {\n\tfind_multipaths yes\n}\n");
    tree.file("/etc/lvm/lvm.conf", "devices {\n\tdir = \"/dev\"\n\t# filter = [ \"a|.*|\" ]\n}\n");
    tree.file(
        "/etc/lvm/devices/system.devices",
        "IDTYPE=sys_wwid IDNAME=naa.60022480abcdef DEVNAME=/dev/sda3 PVID=abc PART=3\n",
    );
    tree.file(
        "/etc/chrony.conf",
        "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2\nmakestep 1.0 -1\n",
    );
    waagent(&mut tree);
    firewalld(&mut tree, "public", "<service name=\"ssh\"/>");
    on_gpt(out, &tree, &esp("redhat"))
}

/// firewalld, whose default zone lets this in.
fn firewalld(tree: &mut Tree, zone: &str, lets: &str) {
    ec2::unit(
        tree,
        "firewalld",
        "firewalld - dynamic firewall daemon",
        "/usr/sbin/firewalld --nofork --nopid",
    );
    tree.file(
        "/etc/firewalld/firewalld.conf",
        format!("# firewalld config file\nDefaultZone={zone}\nCleanupOnExit=yes\n"),
    );
    tree.file(
        &format!("/usr/lib/firewalld/zones/{zone}.xml"),
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<zone>\n  <short>{zone}</short>\n  {lets}\n  <service name=\"dhcpv6-client\"/>\n</zone>\n"),
    );
}

pub(super) fn rocky_9_two_kernels(out: &Path) -> Result<()> {
    let newest = Kernel { hyperv: false, ..kernel("6.1.0-custom.el9.x86_64") };
    let older = kernel("5.14.0-427.el9_4.x86_64");
    let mut tree = system(&os_release("rocky", "rhel centos fedora", "9.4", "Rocky Linux"));
    let generic = [EC2_INITRAMFS, HYPERV_INITRAMFS].concat();
    for kernel in [&newest, &older] {
        let initrd = Initrd { modules: generic.clone(), ..hostonly(kernel, Codec::Gzip) };
        install(&mut tree, &initrd, RED_HAT_INITRD)?;
        bls(&mut tree, kernel.release, "/boot", &format!("root=UUID={ROOT_UUID} ro {FINE_ARGUMENTS}"));
    }
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file(
        "/boot/grub2/grubenv",
        grub::environment(&[&format!("saved_entry={MACHINE}-{}", newest.release)]),
    );
    tree.file("/etc/default/grub", format!("GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX=\"{FINE_ARGUMENTS}\"\n{SERIAL_DEFAULTS}"));
    fstab(&mut tree);
    network::network_manager(&mut tree);
    ifcfg(&mut tree, "eth0", "");
    tree.file(
        "/etc/yum.repos.d/rocky.repo",
        "[baseos]\nmirrorlist=https://mirrors.rockylinux.org/mirrorlist?arch=$basearch\n",
    );
    waagent(&mut tree);
    on_mbr(out, tree)
}
