//! Red Hat with its root on LVM, as its installer makes one: everything on XFS, /boot beside it on a
//! partition.
//!
//! lvm2 and mkfs.xfs write identifiers and times of their own: this guest is another one each time it is
//! built.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::{
    MACHINE, RED_HAT_ARGUMENTS, RED_HAT_INITRD, SERIAL_DEFAULTS, bls, blscfg, chrony, hostonly, install,
    kernel, os_release, system,
};
use crate::lvm::Devices;
use crate::synthetic::disk::{MIB, make_mbr, make_xfs, place, place_synthetic_grub, run, tool};
use crate::synthetic::ec2;
use crate::synthetic::guests::lvm::place_volumes;
use crate::synthetic::guests::{BOOT_UUID, DISK_ID, ROOT_UUID};
use crate::synthetic::initrd::{Codec, Initrd};
use crate::synthetic::{Generation, SyntheticGuest, grub, loaders, network};

/// They need [`crate::lvm::need`] to be built.
pub(in crate::synthetic) static ALL: &[SyntheticGuest] = &[SyntheticGuest {
    name: "rhel-9-lvm",
    description: "Red Hat Enterprise Linux 9 imported into EC2: an XFS root in two pieces on LVM, /boot on XFS, a devices file that names the disk of EC2",
    generation: Generation::Gen1,
    build: rhel_9_lvm,
}];

const SWAP_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2004";

/// What lvmdevices wrote on EC2; dracut has put it into the initramfs, too.
const DEVICES: &str = "# LVM uses devices listed in this file.\nVERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=nvme.1d0f-766f6c30-416d617a6f6e-00000001 \
                       DEVNAME=/dev/nvme0n1p2 PVID=abcdefghijklmnopqrstuvwxyz012345 PART=2\n";

const BOOT: Range<u64> = MIB..65 * MIB;
/// The partition of the physical volume.
const PHYSICAL: Range<u64> = 65 * MIB..160 * MIB;

fn rhel_9_lvm(out: &Path) -> Result<()> {
    let kernel = kernel("5.14.0-570.el9_6.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("rhel", "fedora", "9.6", "Red Hat Enterprise Linux"));
    let files = &[("/etc/lvm/devices/system.devices", DEVICES)];
    install(&mut tree, &Initrd { files, ..hostonly(&kernel, Codec::Gzip) }, RED_HAT_INITRD)?;
    let arguments = format!(
        "crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M resume=/dev/mapper/rhel-swap rd.lvm.lv=rhel/root rd.lvm.lv=rhel/swap {RED_HAT_ARGUMENTS}"
    );
    let options = format!("root=/dev/mapper/rhel-root ro {arguments}");
    bls(&mut tree, release, "", "$kernelopts $tuned_params");
    tree.file("/etc/kernel/cmdline", format!("{options}\n"));
    tree.file("/boot/grub2/grub.cfg", blscfg(Some(&options)).replace(ROOT_UUID, BOOT_UUID));
    let saved = format!("saved_entry={MACHINE}-{release}");
    let kernelopts = format!("kernelopts={options}");
    tree.file("/boot/grub2/grubenv", grub::environment(&[&saved, &kernelopts, "boot_success=1"]));
    tree.file(
        "/etc/default/grub",
        format!("GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX=\"{arguments}\"\n{SERIAL_DEFAULTS}"),
    );
    tree.file(
        "/etc/fstab",
        format!(
            "/dev/mapper/rhel-root\t/\txfs\tdefaults\t0 0\nUUID={BOOT_UUID}\t/boot\txfs\tdefaults\t0 0\n\
             /dev/mapper/rhel-swap\tnone\tswap\tdefaults\t0 0\n"
        ),
    );
    tree.file("/etc/dracut.conf", "# PUT YOUR CONFIG IN separate files\n");
    tree.directory("/etc/dracut.conf.d");
    tree.file("/etc/lvm/lvm.conf", "devices {\n\tdir = \"/dev\"\n\t# use_devicesfile = 1\n}\n");
    tree.file("/etc/lvm/devices/system.devices", DEVICES);
    network::network_manager(&mut tree);
    tree.secret(
        "/etc/NetworkManager/system-connections/eth0.nmconnection",
        "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n",
    );
    chrony(&mut tree);
    ec2::cloud_init(&mut tree);
    loaders::grub_modules(&mut tree, "/boot/grub2/i386-pc");
    let boot = tree.split_off("/boot");

    let partitions = "start=2048, size=131072, type=83, bootable\nstart=133120, type=8e";
    make_mbr(out, PHYSICAL.end, DISK_ID, partitions)?;
    place_synthetic_grub(out, 512, "(,msdos1)/grub2")?;
    let work = tempfile::tempdir()?;
    let volume = |name: &str| work.path().join(name);
    make_xfs(&volume("boot"), BOOT.end - BOOT.start, BOOT_UUID, &boot)?;
    place(&volume("boot"), out, BOOT.start)?;

    // The root was made larger: behind it comes the swap, and then the rest of it.
    let devices = Devices::over(&[(out, PHYSICAL)]);
    devices.lvm("vgcreate", &["-s", "1m", "rhel", devices.path(0)]);
    for (name, size) in [("root", "48m"), ("swap", "4m")] {
        devices.lvm("lvcreate", &["-an", "-Zn", "-Wn", "-L", size, "-n", name, "rhel"]);
    }
    devices.lvm("lvextend", &["-L", "80m", "rhel/root"]);
    make_xfs(&volume("root"), 80 * MIB, ROOT_UUID, &tree)?;
    File::create(volume("swap"))?.set_len(4 * MIB)?;
    run(tool("mkswap").args(["-q", "-U", SWAP_UUID]).arg(volume("swap")), &[])?;
    place_volumes(&devices, &[(out, PHYSICAL)], "rhel", &["root", "swap"], work.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{judge, lvm};

    #[test]
    fn it_is_whole_for_its_judges() {
        if !lvm::need() || judge::need("xfs_repair").is_none() {
            return;
        }
        let Some(path) = ALL[0].path() else { return };
        judge::xfs_repair(&path, BOOT);
        let root = lvm::cut(&path, &[PHYSICAL], "rhel/root");
        judge::xfs_repair(root.path(), 0..80 * MIB);
        let devices = Devices::over(&[(&path, PHYSICAL)]);
        devices.lvm("vgck", &["rhel"]);
    }
}
