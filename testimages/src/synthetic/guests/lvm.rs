//! A Debian whose root is a logical volume, as its installer makes one: /boot beside it on a partition.
//!
//! lvm2 writes identifiers and times of its own: this guest is another one each time it is built.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::super::disk::{Ext, MIB, make_mbr, place, place_synthetic_grub, run, tool};
use super::super::initrd::{Codec, Initrd};
use super::super::kernel::EC2_INITRAMFS;
use super::super::tree::Tree;
use super::super::{Generation, SyntheticGuest, SyntheticMachine, grub};
use super::{BOOT_UUID, DEBIAN_INITRD, DISK_ID, Debian12, EC2_ARGUMENTS, compose_debian_12, root};
use crate::judge;
use crate::lvm::Devices;

/// They need [`crate::lvm::need`] to be built.
pub(in crate::synthetic) static ALL: &[SyntheticGuest] = &[SyntheticGuest {
    name: "debian-lvm",
    description: "Debian 12 with its root in two pieces on LVM, a striped /srv and swap: LVM that looks at /dev/xvd* only",
    generation: Generation::Gen1,
    build: debian_lvm,
}];

/// They need it, too.
pub(in crate::synthetic) static MACHINES: &[SyntheticMachine] = &[SyntheticMachine {
    name: "debian-three-disks",
    description: "debian-lvm with its volume group on two disks, and a third that fstab mounts by UUID",
    generation: Generation::Gen1,
    disks: 3,
    build: debian_three_disks,
}];

const SRV_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2003";
const SWAP_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2004";

const DATA_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2005";

const LVM_CONF: &str = "devices {\n\tfilter = [ \"a|^/dev/xvd|\", \"r|.*|\" ]\n}\n";

/// The partitions of the physical volumes.
const PHYSICAL: [Range<u64>; 2] = [17 * MIB..81 * MIB, 81 * MIB..96 * MIB];
/// The same of three disks: on the first one, and all of the second.
const OS_PHYSICAL: Range<u64> = 17 * MIB..64 * MIB;
const DATA_PHYSICAL: Range<u64> = 0..32 * MIB;

/// What two guests have in common: the files of the root, of /boot and of /srv.
struct Trees {
    root: Tree,
    boot: Tree,
    srv: Tree,
}

/// `data` are further lines of fstab.
fn trees(data: &str) -> Result<Trees> {
    let variant = Debian12 { root: "/dev/mapper/debian--vg-root", microcode: false, ..Debian12::on_ec2() };
    let mut tree = compose_debian_12(&variant)?;
    let lines = "/dev/mapper/debian--vg-root / ext4 errors=remount-ro 0 1\n/dev/xvda1 /boot ext2 defaults 0 2\n\
                 /dev/debian-vg/srv /srv ext4 defaults 0 2\n/dev/mapper/debian--vg-swap_1 none swap sw 0 0\n";
    tree.file("/etc/fstab", format!("{lines}{data}"));
    tree.file("/etc/lvm/lvm.conf", LVM_CONF);
    tree.directory("/srv");
    let files = &[("/etc/lvm/lvm.conf", LVM_CONF)];
    let kernel = &variant.kernel;
    let initrd = Initrd { files, ..Initrd::tools(kernel, EC2_INITRAMFS.to_vec(), Codec::Zstd) };
    tree.file(&format!("/boot/initrd.img-{}", kernel.release), initrd.make()?);
    let mut boot = tree.split_off("/boot");
    let grub = grub::Grub {
        name: "Debian GNU/Linux",
        releases: &[kernel.release],
        root: variant.root,
        boot_uuid: BOOT_UUID,
        boot: "",
        arguments: EC2_ARGUMENTS,
        table: "part_msdos",
        initrdless: None,
        initrd: DEBIAN_INITRD,
    };
    boot.file("/grub/grub.cfg", grub.configuration());
    let mut srv = Tree::default();
    srv.file("/orders.csv", "order,amount\n1,10\n".repeat(100_000));
    Ok(Trees { root: tree, boot, srv })
}

/// Makes a root in two pieces, the second on the last of `pieces`, a swap, and a striped /srv; `physical` are
/// the places of the two physical volumes.
fn make_group(physical: &[(&Path, Range<u64>); 2], pieces: [usize; 2], trees: &Trees) -> Result<()> {
    let devices = Devices::over(physical);
    devices.lvm("vgcreate", &["-s", "1m", "debian-vg", devices.path(0), devices.path(1)]);
    let create = |options: &[&str]| {
        devices.lvm("lvcreate", &[&["-an", "-Zn", "-Wn", "debian-vg"], options].concat());
    };
    create(&["-L", "32m", "-n", "root", devices.path(pieces[0])]);
    create(&["-L", "4m", "-n", "swap_1", devices.path(0)]);
    create(&["-L", "8m", "-i", "2", "-I", "64k", "-n", "srv"]);
    devices.lvm("lvextend", &["-L", "48m", "debian-vg/root", devices.path(pieces[1])]);

    let work = tempfile::tempdir()?;
    let volume = |name: &str| work.path().join(name);
    root("ext4", 4096).make(&volume("root"), 48 * MIB, &trees.root)?;
    Ext { uuid: SRV_UUID, ..root("ext4", 4096) }.make(&volume("srv"), 8 * MIB, &trees.srv)?;
    File::create(volume("swap_1"))?.set_len(4 * MIB)?;
    run(tool("mkswap").args(["-q", "-U", SWAP_UUID]).arg(volume("swap_1")), &[])?;
    place_volumes(&devices, physical, "debian-vg", &["root", "srv", "swap_1"], work.path())
}

fn debian_lvm(out: &Path) -> Result<()> {
    let trees = trees("")?;
    let partitions =
        "start=2048, size=32768, type=83, bootable\nstart=34816, size=131072, type=8e\nstart=165888, type=8e";
    make_mbr(out, 96 * MIB, DISK_ID, partitions)?;
    place_synthetic_grub(out, 512, "(,msdos1)/grub")?;
    Ext { uuid: BOOT_UUID, ..root("ext2", 1024) }.put(out, MIB, 16 * MIB, &trees.boot)?;
    make_group(&PHYSICAL.map(|range| (out, range)), [0, 0], &trees)
}

/// The group is on the first two disks, of which the second has no partitions; the third is a file system.
fn debian_three_disks(out: &[PathBuf]) -> Result<()> {
    let [first, second, third] = out else { bail!("three disks") };
    let trees = trees(&format!("UUID={DATA_UUID} /data ext4 defaults 0 2\n"))?;
    let partitions = "start=2048, size=32768, type=83, bootable\nstart=34816, type=8e";
    make_mbr(first, OS_PHYSICAL.end, DISK_ID, partitions)?;
    place_synthetic_grub(first, 512, "(,msdos1)/grub")?;
    Ext { uuid: BOOT_UUID, ..root("ext2", 1024) }.put(first, MIB, 16 * MIB, &trees.boot)?;
    File::create(second)?.set_len(DATA_PHYSICAL.end)?;
    make_group(&[(first, OS_PHYSICAL), (second, DATA_PHYSICAL)], [0, 1], &trees)?;
    let mut data = Tree::default();
    data.file("/customers.csv", "customer,city\n1,Bergen\n".repeat(10_000));
    Ext { uuid: DATA_UUID, ..root("ext4", 4096) }.make(third, 24 * MIB, &data)
}

/// Copies the files `names` of the folder `from` to where lvm2 has the volumes of these names; `physical` are
/// the places of the physical volumes on their disks.
pub(in crate::synthetic) fn place_volumes(
    devices: &Devices,
    physical: &[(&Path, Range<u64>)],
    group: &str,
    names: &[&str],
    from: &Path,
) -> Result<()> {
    for name in names {
        let mut at = 0;
        for (device, range) in devices.runs(&format!("{group}/{name}")) {
            let end = at + (range.end - range.start);
            let piece = judge::cut(&from.join(name), at..end);
            let (disk, place_of) = &physical[device];
            place(piece.path(), disk, place_of.start + range.start)?;
            at = end;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvm;

    #[test]
    fn it_is_whole_for_its_judges() {
        if !lvm::need() {
            return;
        }
        let Some(path) = ALL[0].path() else { return };
        judge::e2fsck_clean(&path, MIB);
        for name in ["root", "srv"] {
            judge::e2fsck_clean(lvm::cut(&path, &PHYSICAL, &format!("debian-vg/{name}")).path(), 0);
        }
        let devices = Devices::over(&PHYSICAL.map(|range| (path.as_path(), range)));
        devices.lvm("vgck", &["debian-vg"]);
    }

    #[test]
    fn a_machine_of_three_disks_is_whole_for_its_judges() {
        if !lvm::need() {
            return;
        }
        let Some(disks) = MACHINES[0].paths() else { return };
        judge::e2fsck_clean(&disks[0], MIB);
        let physical = [(disks[0].as_path(), OS_PHYSICAL), (disks[1].as_path(), DATA_PHYSICAL)];
        for name in ["root", "srv"] {
            judge::e2fsck_clean(lvm::cut_from(&physical, &format!("debian-vg/{name}")).path(), 0);
        }
        judge::e2fsck_clean(&disks[2], 0);
        let devices = Devices::over(&physical);
        devices.lvm("vgck", &["debian-vg"]);
        let runs = devices.runs("debian-vg/root");
        assert!(runs.iter().any(|(device, _)| *device == 0) && runs.iter().any(|(device, _)| *device == 1));
    }
}
