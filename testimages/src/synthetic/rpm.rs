//! The synthetic guests of the RPM families: Red Hat, Amazon, SUSE, Fedora. dracut, Boot Loader
//! Specification, and the networks of each.

mod amazon;
mod fedora;
pub(super) mod lvm;
mod red_hat;
mod suse;

use std::path::Path;

use anyhow::Result;

use super::disk::{MIB, make_gpt, make_mbr, make_xfs, place, place_synthetic_grub};
use super::ec2::{any_system, unit};
use super::guests::{DISK_GUID, DISK_ID, ROOT_UUID, put_vfat, root};
use super::initrd::{Codec, Initrd, Maker};
use super::kernel::{EC2_INITRAMFS, Kernel};
use super::tree::Tree;
use super::{Generation, SyntheticGuest, grub, loaders, selinux};

pub(super) static ALL: &[SyntheticGuest] = &[
    SyntheticGuest {
        name: "rhel-6",
        description: "Red Hat Enterprise Linux 6: GRUB before version 2, Upstart, a kernel of 2.6.32",
        generation: Generation::Gen1,
        build: red_hat::rhel_6,
    },
    SyntheticGuest {
        name: "rhel-7",
        description: "Red Hat Enterprise Linux 7 from RHUI: ifcfg of one card, kdump, drivers of Hyper-V left out by dracut",
        generation: Generation::Gen1,
        build: red_hat::rhel_7,
    },
    SyntheticGuest {
        name: "rhel-8",
        description: "Red Hat Enterprise Linux 8: entries that share kernelopts in grubenv, /boot of its own, a rescue entry",
        generation: Generation::Gen1,
        build: red_hat::rhel_8,
    },
    SyntheticGuest {
        name: "rhel-9",
        description: "Red Hat Enterprise Linux 9 by UEFI: a stub on the EFI partition, LVM's devices file, a NetworkManager profile of one card",
        generation: Generation::Gen2,
        build: red_hat::rhel_9,
    },
    SyntheticGuest {
        name: "rhel-10-already-fine",
        description: "Red Hat Enterprise Linux 10 that nothing stops from booting on Azure",
        generation: Generation::Gen2,
        build: red_hat::rhel_10_already_fine,
    },
    SyntheticGuest {
        name: "rocky-9-two-kernels",
        description: "Rocky Linux 9 whose default kernel was built without Hyper-V, with another that has it",
        generation: Generation::Gen1,
        build: red_hat::rocky_9_two_kernels,
    },
    SyntheticGuest {
        name: "amzn-2",
        description: "Amazon Linux 2: ec2-net-utils, rules of udev for EC2, Amazon's agents and clock",
        generation: Generation::Gen1,
        build: amazon::amzn_2,
    },
    SyntheticGuest {
        name: "amzn-2023",
        description: "Amazon Linux 2023 on XFS: networkd for Amazon's cards only, a kernel without pci-hyperv, Boot Loader Specification",
        generation: Generation::Gen2,
        build: amazon::amzn_2023,
    },
    SyntheticGuest {
        name: "sles-12",
        description: "SUSE Linux Enterprise Server 12, once a guest of Xen: wicked with a fixed address, SUSE's servers inside AWS",
        generation: Generation::Gen1,
        build: suse::sles_12,
    },
    SyntheticGuest {
        name: "sles-15",
        description: "SUSE Linux Enterprise Server 15: wicked by DHCP with jumbo frames, cloud-netconfig for EC2",
        generation: Generation::Gen1,
        build: suse::sles_15,
    },
    SyntheticGuest {
        name: "fedora-43",
        description: "Fedora 43 Cloud: a menu that hides itself, a quiet boot, fapolicyd, AIDE",
        generation: Generation::Gen2,
        build: fedora::fedora_43,
    },
    SyntheticGuest {
        name: "fedora-43-uki",
        description: "Fedora 43 that starts by a unified kernel image: its root's name on EC2 is inside what is signed",
        generation: Generation::Gen2,
        build: fedora::fedora_43_uki,
    },
    SyntheticGuest {
        name: "fedora-coreos",
        description: "Fedora CoreOS, an ostree system: it is not changed by its files",
        generation: Generation::Gen2,
        build: fedora::fedora_coreos,
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
    tree.file("/var/lib/rpm/rpmdb.sqlite", "SQLite format 3\0a synthetic");
    selinux::policy(&mut tree, "enforcing");
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
    Initrd { microcode: true, maker: Maker::Dracut, ..Initrd::tools(kernel, EC2_INITRAMFS.to_vec(), codec) }
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
fn on_mbr(out: &Path, mut tree: Tree) -> Result<()> {
    make_mbr(out, 64 * MIB, DISK_ID, "start=2048, type=83, bootable")?;
    place_synthetic_grub(out, 512, "(,msdos1)/boot/grub2")?;
    loaders::grub_modules(&mut tree, "/boot/grub2/i386-pc");
    root("ext4", 4096).put(out, MIB, 63 * MIB, &selinux::labelled(&tree)?)
}

/// An EFI partition and a root of ext4; the loader is where firmware without boot entries looks.
fn on_gpt(out: &Path, tree: &Tree, esp: &Tree) -> Result<()> {
    make_disk(out, 62 * MIB, esp)?;
    root("ext4", 4096).put(out, 9 * MIB, 62 * MIB, &selinux::labelled(tree)?)
}

/// The same with a root of XFS, which is no smaller than this. Its tools set no labels.
fn on_gpt_with_xfs(out: &Path, tree: &Tree, esp: &Tree) -> Result<()> {
    make_disk(out, 304 * MIB, esp)?;
    let volume = tempfile::NamedTempFile::new()?;
    make_xfs(volume.path(), 304 * MIB, ROOT_UUID, tree)?;
    place(volume.path(), out, 9 * MIB)
}

/// A GPT with an EFI partition, and a root of this size behind it.
fn make_disk(out: &Path, root_size: u64, esp: &Tree) -> Result<()> {
    let last = (9 * MIB + root_size) / 512 - 1;
    let root_partition = format!("--new=1:18432:{last}");
    let partitions = [
        "--new=15:2048:18431",
        "--typecode=15:ef00",
        "--partition-guid=15:b1d2c3a4-000f-4ec2-8abc-0123456789ab",
        root_partition.as_str(),
        "--typecode=1:8304",
        "--partition-guid=1:b1d2c3a4-0001-4ec2-8abc-0123456789ab",
    ];
    make_gpt(out, 10 * MIB + root_size, DISK_GUID, &partitions)?;
    put_vfat(out, MIB, 8 * MIB, "EFI", esp)
}

/// What an EFI partition of this vendor holds; its grub.cfg only reads the real one.
fn esp(vendor: &str) -> Tree {
    let mut esp = Tree::default();
    for program in ["BOOT/BOOTX64.EFI", "BOOT/fbx64.efi", &format!("{vendor}/shimx64.efi")] {
        esp.file(&format!("/EFI/{program}"), loaders::shim());
    }
    let prefix = format!("/EFI/{vendor}");
    esp.file(&format!("{prefix}/grubx64.efi"), loaders::grub_efi(&prefix, &["blscfg", "increment"]));
    esp.file(&format!("{prefix}/BOOTX64.CSV"), format!("shimx64.efi,{vendor},,This is the boot entry\n"));
    let stub = format!(
        "search --no-floppy --root-dev-only --fs-uuid --set=dev {ROOT_UUID}\nset prefix=($dev)/boot/grub2\nexport $prefix\n\
         configfile $prefix/grub.cfg\n"
    );
    esp.file(&format!("/EFI/{vendor}/grub.cfg"), stub);
    esp
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
