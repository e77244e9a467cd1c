//! A paravirtual AMI of the kind that has a partition table: EC2's pv-grub-hd00 read the menu on its first
//! partition.

use std::path::Path;

use anyhow::Result;

use super::super::disk::{MIB, make_mbr};
use super::super::{Generation, SyntheticGuest};
use super::{DISK_ID, Debian12, compose_debian_12, root};

pub(in crate::synthetic) static ALL: &[SyntheticGuest] = &[SyntheticGuest {
    name: "debian-pv-partitioned",
    description: "a paravirtual AMI with a partition table: ext4 on the first partition, GRUB's old menu.lst, nothing in the boot record",
    generation: Generation::Gen1,
    build,
}];

fn build(out: &Path) -> Result<()> {
    let mut tree = compose_debian_12(&Debian12::on_ec2())?;
    tree.remove("/boot/grub/grub.cfg");
    tree.file(
        "/boot/grub/menu.lst",
        "default 0\ntimeout 0\nhiddenmenu\n\ntitle Debian GNU/Linux, kernel 6.1.0-50-amd64\nroot (hd0,0)\n\
         kernel (hd0,0)/boot/vmlinuz-6.1.0-50-amd64 root=/dev/xvda1 ro console=hvc0\ninitrd (hd0,0)/boot/initrd.img-6.1.0-50-amd64\n",
    );
    make_mbr(out, 49 * MIB, DISK_ID, "start=2048, type=83")?;
    root("ext4", 4096).put(out, MIB, 48 * MIB, &tree)
}
