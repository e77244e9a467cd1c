//! The synthetic guests, one recipe each.

mod debian;
pub(super) mod lvm;
pub(super) mod pv;
mod ubuntu;

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use super::disk::{Ext, MIB, make_mbr, make_vfat, place, place_synthetic_grub};
use super::kernel::Kernel;
use super::tree::Tree;
use super::{Generation, SyntheticGuest};
use debian::{BOOKWORM, DEBIAN_INITRD, Debian12, EC2_ARGUMENTS, compose_debian_12, debian_12};

pub(super) static ALL: &[SyntheticGuest] = &[
    SyntheticGuest {
        name: "debian-mbr-ext4",
        description: "Debian 12 with every habit of EC2: devices by name, a pinned card, Amazon's agents and clock",
        generation: Generation::Gen1,
        build: |out| debian_12(&Debian12::on_ec2()).on_mbr(out, 64 * MIB, "ext4", 4096),
    },
    SyntheticGuest {
        name: "ubuntu-gpt-hybrid",
        description: "Ubuntu 22.04 for AWS: GPT with BIOS boot and EFI partitions, booted without its initramfs",
        generation: Generation::Gen2,
        build: ubuntu::gpt_hybrid,
    },
    SyntheticGuest {
        name: "debian-gpt-efi",
        description: "Debian 13 by UEFI alone: no fallback boot loader, modules and initramfs packed with xz, NVMe names",
        generation: Generation::Gen2,
        build: debian::gpt_efi,
    },
    SyntheticGuest {
        name: "debian-ext3-1k",
        description: "Debian 11 on ext3 with 1 KiB blocks, once a paravirtual Xen guest",
        generation: Generation::Gen1,
        build: debian::ext3_1k,
    },
    SyntheticGuest {
        name: "debian-separate-boot",
        description: "Debian 12 with /boot on an ext2 partition of its own, and an lz4 initramfs",
        generation: Generation::Gen1,
        build: debian::separate_boot,
    },
    SyntheticGuest {
        name: "debian-already-fine",
        description: "Debian 12 that nothing stops from booting on Azure",
        generation: Generation::Gen1,
        build: |out| debian_12(&Debian12::fine()).on_mbr(out, 64 * MIB, "ext4", 4096),
    },
    SyntheticGuest {
        name: "debian-no-hyperv-kernel",
        description: "Debian 12 whose only kernel was built without Hyper-V: it cannot be fixed offline",
        generation: Generation::Gen1,
        build: |out| {
            let kernel = Kernel { hyperv: false, release: "6.1.0-ec2", ..BOOKWORM };
            debian_12(&Debian12 { kernel, ..Debian12::on_ec2() }).on_mbr(out, 64 * MIB, "ext4", 4096)
        },
    },
    SyntheticGuest {
        name: "debian-odd-size",
        description: "as debian-already-fine, on a disk that is no whole number of MiB",
        generation: Generation::Gen1,
        build: |out| {
            debian_12(&Debian12::fine()).on_mbr(out, 64 * MIB, "ext4", 4096)?;
            Ok(File::options().write(true).open(out)?.set_len(64 * MIB + 7 * 512)?)
        },
    },
    SyntheticGuest {
        name: "debian-dirty-journal",
        description: "as debian-mbr-ext4, in a snapshot of the running machine: the journal has blocks to recover",
        generation: Generation::Gen1,
        build: debian::dirty_journal,
    },
    SyntheticGuest {
        name: "bare-no-os",
        description: "a data disk: one ext4 partition with files, and no system",
        generation: Generation::Gen1,
        build: bare_no_os,
    },
    SyntheticGuest {
        name: "bare-ext4-pv",
        description: "a paravirtual AMI: ext4 on the whole disk, no partition table, GRUB's old menu.lst",
        generation: Generation::Gen1,
        build: debian::bare_ext4_pv,
    },
];

pub(super) static DEMO: SyntheticGuest = SyntheticGuest {
    name: "demo",
    description: "Debian 12 out of EC2, small enough to carry inside the program",
    generation: Generation::Gen1,
    build: |out| debian_12(&Debian12::on_ec2()).on_mbr(out, 32 * MIB, "ext4", 4096),
};

pub(super) const ROOT_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2001";
pub(super) const BOOT_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2002";
pub(super) const DISK_GUID: &str = "b1d2c3a4-0000-4ec2-8abc-0123456789ab";
/// The identifier of the disk on MBR.
pub(super) const DISK_ID: &str = "0x1ec2a517";

/// A guest's tree, or why it could not be composed; ready to be put on a disk.
struct Guest(Result<Tree>);

impl Guest {
    /// One partition of all the disk but its first MiB.
    fn on_mbr(self, out: &Path, size: u64, kind: &str, block_size: u32) -> Result<()> {
        make_mbr(out, size, DISK_ID, "start=2048, type=83, bootable")?;
        place_synthetic_grub(out, 512, "(,msdos1)/boot/grub")?;
        root(kind, block_size).put(out, MIB, size - MIB, &self.0?)
    }
}

pub(super) fn root(kind: &str, block_size: u32) -> Ext<'_> {
    Ext { kind, block_size, uuid: ROOT_UUID, label: "", features: "" }
}

impl Ext<'_> {
    /// Makes the file system in a file of its own and places it at `offset` of `disk`.
    pub(super) fn put(&self, disk: &Path, offset: u64, size: u64, tree: &Tree) -> Result<()> {
        let volume = tempfile::NamedTempFile::new()?;
        self.make(volume.path(), size, tree)?;
        place(volume.path(), disk, offset)
    }
}

fn bare_no_os(out: &Path) -> Result<()> {
    let mut tree = Tree::default();
    tree.file("/orders/2026-11.csv", "order,amount\n1,10\n".repeat(1000));
    tree.file("/README", "The shop's data; the system is on another disk.\n");
    make_mbr(out, 16 * MIB, DISK_ID, "start=2048, type=83")?;
    root("ext4", 4096).put(out, MIB, 15 * MIB, &tree)
}

pub(super) fn put_vfat(disk: &Path, offset: u64, size: u64, label: &str, tree: &Tree) -> Result<()> {
    let volume = tempfile::NamedTempFile::new()?;
    make_vfat(volume.path(), size, label, tree)?;
    place(volume.path(), disk, offset)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::disk::{run, tool};
    use super::*;
    use crate::judge;
    use crate::synthetic::{TOOLS, WRAPPINGS, demo};

    #[test]
    fn the_same_recipe_makes_the_same_bytes() {
        if !judge::need_all(TOOLS) {
            return;
        }
        let work = tempfile::tempdir().unwrap();
        for guest in [&ALL[0], &ALL[1]] {
            let digests = ["a", "b"].map(|name| {
                let out = work.path().join(name);
                (guest.build)(&out).unwrap();
                judge::sha256(&out)
            });
            assert_eq!(digests[0], digests[1], "{guest:?}");
        }
    }

    #[test]
    fn every_guest_is_whole_for_its_judges() {
        for guest in crate::synthetic::all() {
            let Some(path) = guest.path() else { return };
            let (esp, volumes): (_, &[u64]) = match guest.name {
                "bare-ext4-pv" => (None, &[0]),
                "debian-dirty-journal" => (None, &[]),
                "ubuntu-gpt-hybrid" => (Some(2..18), &[18]),
                "debian-gpt-efi" => (Some(1..17), &[17]),
                "debian-separate-boot" => (None, &[1, 17]),
                "rhel-8" => (None, &[1, 33]),
                // of XFS, with a test of its own
                "rhel-9-lvm" => (None, &[]),
                "amzn-2023" => (Some(1..9), &[]),
                _ if guest.generation == Generation::Gen2 => (Some(1..9), &[9]),
                _ => (None, &[1]),
            };
            if let Some(esp) = esp {
                judge::sgdisk_verify(&path);
                judge::fsck_vfat(&path, esp.start * MIB..esp.end * MIB);
            }
            for start in volumes {
                judge::e2fsck_clean(&path, start * MIB);
            }
        }
    }

    #[test]
    fn kmod_and_initramfs_tools_understand_the_phonies() {
        if !judge::need_all(&["modprobe", "modinfo", "lsinitramfs"]) || !judge::need_kernel_mounts() {
            return;
        }
        let Some(path) = ALL[0].path() else { return };
        let mount = judge::KernelMount::read_only(&path, MIB..64 * MIB);
        let modprobe = [
            "-d",
            &mount.path().to_string_lossy(),
            "-S",
            BOOKWORM.release,
            "--show-depends",
            "-C",
            "/dev/null",
        ]
        .map(str::to_owned);
        let modprobe =
            judge::run(tool("modprobe").args(&modprobe).arg("vmbus:d96361baa104294db60572e2ffb1dc7f"));
        let loads = String::from_utf8_lossy(&modprobe.stdout).into_owned();
        for module in
            ["hv_vmbus.ko", "scsi_common.ko", "scsi_mod.ko", "scsi_transport_fc.ko", "hv_storvsc.ko"]
        {
            assert!(loads.contains(module), "{module} in\n{loads}");
        }
        let initrd = mount.path().join("boot/initrd.img-6.1.0-50-amd64");
        let listed = judge::run(tool("lsinitramfs").arg(initrd));
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(
            names.contains("kernel/drivers/nvme/host/nvme.ko") && names.contains("GenuineIntel.bin"),
            "{names}"
        );
        assert!(names.contains("modules.dep.bin") && !names.contains("hv_storvsc"), "{names}");
    }

    #[test]
    fn the_kernel_recovers_the_dirty_journal() {
        if !judge::need_kernel_mounts() {
            return;
        }
        let work = tempfile::tempdir().unwrap();
        let guest = crate::synthetic::named("debian-dirty-journal");
        let Some(copy) = guest.copy_into(work.path()) else { return };
        let motd = |mount: &judge::KernelMount| fs::read_to_string(mount.path().join("etc/motd")).unwrap();
        let before = motd(&judge::KernelMount::read_only(&copy, MIB..64 * MIB));
        let after = motd(&judge::KernelMount::read_write(&copy, MIB..64 * MIB));
        assert!(
            before.starts_with("before recovery") && after.starts_with("after recovery"),
            "{before:?} {after:?}"
        );
        judge::e2fsck_clean(&copy, MIB);
    }

    #[test]
    fn every_wrapping_holds_the_guest() {
        if !judge::need_all(&["qemu-img"]) {
            return;
        }
        for wrapping in WRAPPINGS {
            let Some(wrapped) = ALL[0].wrapped(wrapping) else { return };
            let Some(raw) = ALL[0].path() else { return };
            judge::qemu_img_compare((&raw, "raw"), (&wrapped, wrapping.format));
        }
    }

    #[test]
    fn the_demo_packs_to_less_than_4_mib() {
        let Some(path) = demo().path() else { return };
        let packed = run(tool("zstd").args(["-q", "-19", "-c"]).arg(path), &[]).unwrap();
        assert!(packed.len() < 4 << 20, "{} bytes", packed.len());
    }
}
