//! The phony guests of the RPM families: Red Hat, Amazon, SUSE, Fedora. dracut, Boot Loader Specification, and the networks of
//! each.

use std::path::Path;

use anyhow::Result;

use super::disk::{MIB, make_gpt, make_mbr, place_phony_grub};
use super::ec2::{MAC, any_system, enable, unit};
use super::guests::{BOOT_UUID, DISK_GUID, DISK_ID, ROOT_UUID, portable_executable, put_vfat, root};
use super::initrd::{Codec, Initrd, PROGRAM};
use super::kernel::{EC2_INITRAMFS, HYPERV_INITRAMFS, Kernel};
use super::tree::Tree;
use super::{Generation, PhonyGuest, disk, ec2, grub};

pub(super) static ALL: &[PhonyGuest] = &[
    PhonyGuest {
        name: "rhel-6",
        description: "Red Hat Enterprise Linux 6: GRUB before version 2, Upstart, a kernel of 2.6.32",
        generation: Generation::Gen1,
        build: rhel_6,
    },
    PhonyGuest {
        name: "rhel-7",
        description: "Red Hat Enterprise Linux 7 from RHUI: ifcfg of one card, kdump, drivers of Hyper-V left out by dracut",
        generation: Generation::Gen1,
        build: rhel_7,
    },
    PhonyGuest {
        name: "rhel-8",
        description: "Red Hat Enterprise Linux 8: entries that share kernelopts in grubenv, /boot of its own, a rescue entry",
        generation: Generation::Gen1,
        build: rhel_8,
    },
    PhonyGuest {
        name: "rhel-9",
        description: "Red Hat Enterprise Linux 9 by UEFI: a stub on the EFI partition, LVM's devices file, a NetworkManager profile of one card",
        generation: Generation::Gen2,
        build: rhel_9,
    },
    PhonyGuest {
        name: "rhel-10-already-fine",
        description: "Red Hat Enterprise Linux 10 that nothing stops from booting on Azure",
        generation: Generation::Gen2,
        build: rhel_10_already_fine,
    },
    PhonyGuest {
        name: "rocky-9-two-kernels",
        description: "Rocky Linux 9 whose default kernel was built without Hyper-V, with another that has it",
        generation: Generation::Gen1,
        build: rocky_9_two_kernels,
    },
    PhonyGuest {
        name: "amzn-2",
        description: "Amazon Linux 2: ec2-net-utils, rules of udev for EC2, Amazon's agents and clock",
        generation: Generation::Gen1,
        build: amzn_2,
    },
    PhonyGuest {
        name: "amzn-2023",
        description: "Amazon Linux 2023: networkd for Amazon's cards only, a kernel without pci-hyperv, Boot Loader Specification",
        generation: Generation::Gen2,
        build: amzn_2023,
    },
    PhonyGuest {
        name: "sles-12",
        description: "SUSE Linux Enterprise Server 12, once a guest of Xen: wicked with a fixed address, SUSE's servers inside AWS",
        generation: Generation::Gen1,
        build: sles_12,
    },
    PhonyGuest {
        name: "sles-15",
        description: "SUSE Linux Enterprise Server 15: wicked by DHCP with jumbo frames, cloud-netconfig for EC2",
        generation: Generation::Gen1,
        build: sles_15,
    },
    PhonyGuest {
        name: "fedora-43",
        description: "Fedora 43 Cloud: a menu that hides itself, a quiet boot, fapolicyd, AIDE",
        generation: Generation::Gen2,
        build: fedora_43,
    },
    PhonyGuest {
        name: "fedora-coreos",
        description: "Fedora CoreOS, an ostree system: it is not changed by its files",
        generation: Generation::Gen2,
        build: fedora_coreos,
    },
];

const MACHINE: &str = "0123456789abcdef0123456789abcdef";
/// What cloud images of Red Hat for EC2 boot with.
const RED_HAT_ARGUMENTS: &str =
    "console=tty0 console=ttyS0,115200n8 net.ifnames=0 rd.blacklist=nouveau nvme_core.io_timeout=4294967295";
const AMAZON_ARGUMENTS: &str = "console=tty0 console=ttyS0,115200n8 net.ifnames=0 biosdevname=0 nvme_core.io_timeout=4294967295 \
                                rd.emergency=poweroff rd.shell=0";
const FINE_ARGUMENTS: &str = "console=tty0 console=ttyS0,115200n8 crashkernel=1G-4G:192M,4G-64G:256M";
const RED_HAT_INITRD: (&str, &str) = ("initramfs-", ".img");
const SERIAL_DEFAULTS: &str =
    "GRUB_TIMEOUT=5\nGRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"serial --speed=115200\"\n";

fn kernel<'a>(release: &'a str) -> Kernel<'a> {
    Kernel {
        release,
        banner: "(mockbuild@builder) #1 SMP PREEMPT_DYNAMIC",
        hyperv: true,
        xz: true,
        lacks: &[],
    }
}

fn os_release(id: &str, like: &str, version: &str, name: &str) -> String {
    format!(
        "NAME=\"{name}\"\nVERSION_ID=\"{version}\"\nID=\"{id}\"\nID_LIKE=\"{like}\"\nPRETTY_NAME=\"{name} {version}\"\n"
    )
}

/// A system with sshd, NetworkManager's service aside: who configures the network differs.
fn system(os_release: &str) -> Tree {
    let mut tree = any_system(os_release);
    tree.file("/var/lib/rpm/rpmdb.sqlite", "SQLite format 3\0a phony");
    tree.file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
    unit(&mut tree, "sshd", "OpenSSH server daemon", "/usr/sbin/sshd -D");
    tree
}

/// A kernel, and its initramfs by dracut.
fn install(tree: &mut Tree, initrd: &Initrd<'_>, name: (&str, &str)) -> Result<()> {
    tree.merge(initrd.kernel.tree()?);
    tree.file(&format!("/boot/{}{}{}", name.0, initrd.kernel.release, name.1), initrd.make()?);
    Ok(())
}

/// An initramfs as dracut makes one on EC2 for the machine it runs on.
fn hostonly<'a>(kernel: &'a Kernel<'a>, codec: Codec) -> Initrd<'a> {
    Initrd { microcode: true, dracut: true, ..Initrd::tools(kernel, EC2_INITRAMFS.to_vec(), codec) }
}

/// One entry of the Boot Loader Specification; paths are those on the boot volume.
fn bls(tree: &mut Tree, release: &str, boot: &str, options: &str) {
    tree.file(
        &format!("/boot/loader/entries/{MACHINE}-{release}.conf"),
        format!(
            "title Linux ({release})\nversion {release}\nlinux {boot}/vmlinuz-{release}\ninitrd {boot}/initramfs-{release}.img\n\
             options {options}\ngrub_users $grub_users\ngrub_arg --unrestricted\ngrub_class kernel\n"
        ),
    );
}

/// The script that takes its entries from there.
fn blscfg(kernelopts: Option<&str>) -> String {
    let fallback = kernelopts
        .map(|options| format!("if [ -z \"${{kernelopts}}\" ]; then\n  set kernelopts=\"{options} \"\nfi\n"))
        .unwrap_or_default();
    format!(
        "### BEGIN /etc/grub.d/00_header ###\nset pager=1\n\nif [ -f ${{config_directory}}/grubenv ]; then\n  load_env -f ${{config_directory}}/grubenv\n\
         elif [ -s $prefix/grubenv ]; then\n  load_env\nfi\nif [ \"${{next_entry}}\" ] ; then\n   set default=\"${{next_entry}}\"\n   set next_entry=\n   \
         save_env next_entry\n   set boot_once=true\nelse\n   set default=\"${{saved_entry}}\"\nfi\nserial --speed=115200\nterminal_input serial console\n\
         terminal_output serial console\nset timeout=5\n### END /etc/grub.d/00_header ###\n\n### BEGIN /etc/grub.d/10_linux ###\ninsmod part_gpt\n\
         search --no-floppy --fs-uuid --set=root {ROOT_UUID}\n{fallback}insmod blscfg\nblscfg\n### END /etc/grub.d/10_linux ###\n"
    )
}

/// A script with an entry for each release.
fn grub_cfg(name: &str, releases: &[&str], arguments: &str, initrd: (&str, &str)) -> String {
    let root = format!("UUID={ROOT_UUID}");
    let (boot_uuid, boot, table) = (ROOT_UUID, "/boot", "part_msdos");
    grub::Grub { name, releases, root: &root, boot_uuid, boot, arguments, table, initrdless: None, initrd }
        .configuration()
}

fn fstab(tree: &mut Tree) {
    tree.file("/etc/fstab", format!("UUID={ROOT_UUID}\t/\text4\tdefaults\t0 0\n"));
}

/// One partition on a disk that starts by BIOS.
fn on_mbr(out: &Path, tree: &Tree) -> Result<()> {
    make_mbr(out, 64 * MIB, DISK_ID, "start=2048, type=83, bootable")?;
    place_phony_grub(out, 512)?;
    root("ext4", 4096).put(out, MIB, 63 * MIB, tree)
}

/// An EFI partition and a root; the loader is where firmware without boot entries looks.
fn on_gpt(out: &Path, tree: &Tree, esp: &Tree) -> Result<()> {
    let partitions = [
        "--new=15:2048:18431",
        "--typecode=15:ef00",
        "--partition-guid=15:b1d2c3a4-000f-4ec2-8abc-0123456789ab",
        "--new=1:18432:145407",
        "--typecode=1:8304",
        "--partition-guid=1:b1d2c3a4-0001-4ec2-8abc-0123456789ab",
    ];
    make_gpt(out, 72 * MIB, DISK_GUID, &partitions)?;
    put_vfat(out, MIB, 8 * MIB, "EFI", esp)?;
    root("ext4", 4096).put(out, 9 * MIB, 62 * MIB, tree)
}

/// What an EFI partition of this vendor holds; its grub.cfg only reads the real one.
fn esp(vendor: &str) -> Tree {
    let mut esp = Tree::default();
    for loader in ["BOOT/BOOTX64.EFI", &format!("{vendor}/shimx64.efi"), &format!("{vendor}/grubx64.efi")] {
        esp.file(&format!("/EFI/{loader}"), portable_executable());
    }
    let stub = format!(
        "search --no-floppy --root-dev-only --fs-uuid --set=dev {ROOT_UUID}\nset prefix=($dev)/boot/grub2\nexport $prefix\n\
         configfile $prefix/grub.cfg\n"
    );
    esp.file(&format!("/EFI/{vendor}/grub.cfg"), stub);
    esp
}

fn network_manager(tree: &mut Tree) {
    tree.program("/usr/sbin/NetworkManager", PROGRAM);
    unit(tree, "NetworkManager", "Network Manager", "/usr/sbin/NetworkManager --no-daemon");
}

fn ifcfg(tree: &mut Tree, card: &str, more: &str) {
    tree.file(
        &format!("/etc/sysconfig/network-scripts/ifcfg-{card}"),
        format!("DEVICE={card}\nONBOOT=yes\nBOOTPROTO=dhcp\nTYPE=Ethernet\n{more}"),
    );
}

fn chrony(tree: &mut Tree) {
    tree.file(
        "/etc/chrony.conf",
        "server 169.254.169.123 prefer iburst\ndriftfile /var/lib/chrony/drift\nmakestep 1.0 3\n",
    );
}

fn waagent(tree: &mut Tree) {
    tree.program("/usr/sbin/waagent", "#!/usr/bin/python3\n");
    tree.file("/etc/waagent.conf", "Provisioning.Agent=disabled\nResourceDisk.Format=n\n");
}

fn rhel_6(out: &Path) -> Result<()> {
    let kernel = Kernel { xz: false, ..kernel("2.6.32-431.el6.x86_64") };
    let mut tree = system(&os_release("rhel", "fedora", "6.5", "Red Hat Enterprise Linux Server"));
    tree.remove("/usr/lib/systemd");
    tree.link("/etc/rc3.d/S55sshd", "../init.d/sshd");
    tree.file("/etc/init/tty1.conf", "respawn\nexec /sbin/mingetty tty1\n");
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
    ifcfg(&mut tree, "eth0", &format!("HWADDR={MAC}\nNM_CONTROLLED=no\n"));
    tree.file(
        "/usr/lib/udev/rules.d/75-persistent-net-generator.rules",
        "# names cards by their addresses\n",
    );
    on_mbr(out, &tree)
}

fn rhel_7(out: &Path) -> Result<()> {
    let kernel = kernel("3.10.0-1160.el7.x86_64");
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
    network_manager(&mut tree);
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
    tree.secret("/root/.aws/credentials", "[default]\naws_access_key_id = phony\n");
    on_mbr(out, &tree)
}

fn rhel_8(out: &Path) -> Result<()> {
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
    tree.file("/boot/grub2/grub.cfg", blscfg(Some(&kernelopts)));
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
    network_manager(&mut tree);
    ifcfg(&mut tree, "eth0", "PERSISTENT_DHCLIENT=yes\n");
    tree.file("/etc/lvm/lvm.conf", "devices {\n\tdir = \"/dev\"\n\t# the data volumes, and nothing else\n\tglobal_filter = [ \"a|^/dev/xvd[f-p]$|\", \"r|.*|\" ]\n}\n");
    chrony(&mut tree);
    let boot = tree.split_off("/boot");
    make_mbr(out, 96 * MIB, DISK_ID, "start=2048, size=65536, type=83, bootable\nstart=67584, type=83")?;
    place_phony_grub(out, 512)?;
    disk::Ext { uuid: BOOT_UUID, ..root("ext4", 4096) }.put(out, MIB, 32 * MIB, &boot)?;
    root("ext4", 4096).put(out, 33 * MIB, 63 * MIB, &tree)
}

fn rhel_9(out: &Path) -> Result<()> {
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
    network_manager(&mut tree);
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

fn rhel_10_already_fine(out: &Path) -> Result<()> {
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
    network_manager(&mut tree);
    tree.file(
        "/etc/udev/rules.d/68-azure-sriov-nm-unmanaged.rules",
        "SUBSYSTEM==\"net\", DRIVERS==\"hv_pci\", ACTION!=\"remove\", ENV{NM_UNMANAGED}=\"1\"\n",
    );
    tree.secret(
        "/etc/NetworkManager/system-connections/eth0.nmconnection",
        "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n",
    );
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
    on_gpt(out, &tree, &esp("redhat"))
}

fn rocky_9_two_kernels(out: &Path) -> Result<()> {
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
    ifcfg(&mut tree, "eth0", "");
    tree.file(
        "/etc/yum.repos.d/rocky.repo",
        "[baseos]\nmirrorlist=https://mirrors.rockylinux.org/mirrorlist?arch=$basearch\n",
    );
    waagent(&mut tree);
    on_mbr(out, &tree)
}

fn amzn_2(out: &Path) -> Result<()> {
    let kernel = Kernel { xz: false, ..kernel("5.10.223-212.873.amzn2.x86_64") };
    let release = kernel.release;
    let mut tree = system(&os_release("amzn", "centos rhel fedora", "2", "Amazon Linux"));
    tree.file("/etc/selinux/config", "SELINUX=disabled\nSELINUXTYPE=targeted\n");
    install(&mut tree, &hostonly(&kernel, Codec::Gzip), RED_HAT_INITRD)?;
    tree.file(
        "/boot/grub2/grub.cfg",
        grub_cfg(
            "Amazon Linux",
            &[release],
            &format!("{AMAZON_ARGUMENTS} xen_nopvspin=1 clocksource=xen"),
            RED_HAT_INITRD,
        ),
    );
    tree.file("/boot/grub2/grubenv", grub::environment(&[]));
    tree.file("/etc/default/grub", format!("GRUB_CMDLINE_LINUX_DEFAULT=\"{AMAZON_ARGUMENTS}\"\nGRUB_TIMEOUT=0\nGRUB_DISABLE_RECOVERY=\"true\"\n"));
    tree.directory("/etc/dracut.conf.d");
    fstab(&mut tree);
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
    on_mbr(out, &tree)
}

fn amzn_2023(out: &Path) -> Result<()> {
    let kernel =
        Kernel { lacks: &["pci-hyperv", "pci-hyperv-intf"], ..kernel("6.1.119-129.201.amzn2023.x86_64") };
    let release = kernel.release;
    let mut tree = system(&os_release("amzn", "fedora", "2023", "Amazon Linux"));
    tree.file("/etc/selinux/config", "SELINUX=permissive\nSELINUXTYPE=targeted\n");
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
    tree.file("/etc/fstab", format!("UUID={ROOT_UUID}\t/\text4\tdefaults,noatime\t1 1\nUUID=EC2A-E5B0\t/boot/efi\tvfat\tdefaults,noatime,uid=0,gid=0,umask=0077,shortname=winnt,x-systemd.automount\t0 2\n"));
    tree.directory("/boot/efi");
    tree.file(
        "/usr/lib/systemd/network/80-ec2.network",
        "[Match]\nDriver=ena ixgbevf vif\n\n[Link]\nMTUBytes=9001\n\n[Network]\nDHCP=yes\n",
    );
    enable(&mut tree, "systemd-networkd.service", "/usr/lib/systemd/system");
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
    on_gpt(out, &tree, &esp("amzn"))
}

fn sles(version: &str) -> Tree {
    system(&os_release("sles", "suse", version, "SUSE Linux Enterprise Server"))
}

fn sles_12(out: &Path) -> Result<()> {
    let kernel = Kernel { xz: false, ..kernel("4.12.14-122.225-default") };
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
    on_mbr(out, &tree)
}

fn sles_15(out: &Path) -> Result<()> {
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
    unit(
        &mut tree,
        "cloud-netconfig",
        "Configure network interfaces from the metadata of EC2",
        "/usr/lib/cloud-netconfig/cloud-netconfig.sh",
    );
    chrony(&mut tree);
    waagent(&mut tree);
    on_mbr(out, &tree)
}

fn fedora_43(out: &Path) -> Result<()> {
    let kernel = kernel("6.17.4-300.fc43.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("fedora", "", "43", "Fedora Linux"));
    let generic =
        Initrd { modules: [EC2_INITRAMFS, HYPERV_INITRAMFS].concat(), ..hostonly(&kernel, Codec::Zstd) };
    install(&mut tree, &generic, RED_HAT_INITRD)?;
    bls(
        &mut tree,
        release,
        "/boot",
        &format!("root=UUID={ROOT_UUID} ro no_timer_check console=tty1 console=ttyS0,115200n8 rhgb quiet"),
    );
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file(
        "/boot/grub2/grubenv",
        grub::environment(&[
            &format!("saved_entry={MACHINE}-{release}"),
            "menu_auto_hide=1",
            "boot_success=1",
        ]),
    );
    tree.file("/usr/lib/dracut/dracut.conf.d/02-generic-image.conf", "hostonly=\"no\"\n");
    fstab(&mut tree);
    network_manager(&mut tree);
    unit(&mut tree, "fapolicyd", "File Access Policy Daemon", "/usr/sbin/fapolicyd");
    tree.file("/var/lib/aide/aide.db.gz", "phony\n");
    on_gpt(out, &tree, &esp("fedora"))
}

fn fedora_coreos(out: &Path) -> Result<()> {
    let kernel = kernel("6.16.10-200.fc42.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("fedora", "", "42", "Fedora CoreOS"));
    let generic =
        Initrd { modules: [EC2_INITRAMFS, HYPERV_INITRAMFS].concat(), ..hostonly(&kernel, Codec::Zstd) };
    install(&mut tree, &generic, RED_HAT_INITRD)?;
    bls(
        &mut tree,
        release,
        "/boot",
        &format!(
            "root=UUID={ROOT_UUID} rw console=ttyS0,115200n8 ignition.platform.id=aws ostree=/ostree/boot.1/fedora-coreos/0"
        ),
    );
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file("/ostree/repo/config", "[core]\nrepo_version=1\nmode=bare\n");
    tree.directory("/ostree/deploy/fedora-coreos/deploy");
    fstab(&mut tree);
    network_manager(&mut tree);
    on_gpt(out, &tree, &esp("fedora"))
}
