//! Guests laid out as the RPM families do it: XFS, an initramfs by dracut, entries of the Boot Loader
//! Specification.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{CHROOT, EC2, GAP, TOOLS, build, tar, tree};
use crate::lvm::Devices;
use crate::{cache, judge};

/// Recipes are shell scripts, put together from these parts.
const DRACUT_TREE: &str = include_str!("dracut_tree.sh");
const LVM_BIOS: &str = include_str!("lvm_bios.sh");
const LVM_UEFI: &str = include_str!("lvm_uefi.sh");
const XFS_BIOS: &str = include_str!("xfs_bios.sh");
const BLSCFG: &str = include_str!("blscfg.sh");
const GAP_BLSCFG: &str = include_str!("gap_blscfg.sh");
const DRACUT: &str = include_str!("dracut.sh");

/// What the root's volume is called where it is a logical one.
const VOLUME: &str = "vg0/root";

const MIB: u64 = 1 << 20;

/// A guest whose file systems are all XFS: with checksums, reverse mappings, shared extents, big times.
#[derive(Debug)]
pub struct OnXfs {
    /// A raw image; copy it, or put an overlay on it, before you write to it.
    pub image: PathBuf,
    /// Each mount point, the root first, and where its file system is on the disk, in bytes.
    pub mounts: Vec<(&'static str, Range<u64>)>,
}

/// Debian 12 on an MBR disk of 2 GiB as Red Hat's installer lays it out: /boot on a partition, the root on a
/// logical volume that a filter of LVM finds on EC2's disks only. The entries take their options from
/// `kernelopts` in GRUB's environment block, and each has an initramfs of dracut's by another compressor:
/// zstd, which starts by itself, `-gzip` and `-lz4`.
///
/// The first call takes some minutes and a Debian mirror. `None`, after a visible skip, without root and its
/// tools.
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn dracut_lvm() -> Option<OnXfs> {
    guest("dracut-lvm.raw", &[GAP, LVM_BIOS, BLSCFG, GAP_BLSCFG], Some(MIB..321 * MIB), 321 * MIB..2048 * MIB)
}

/// The same on a GPT with shim and GRUB on its [EFI partition](super::DEBIAN_UEFI_ESP), and nothing at
/// `\EFI\BOOT`; one initramfs.
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn dracut_lvm_uefi() -> Option<OnXfs> {
    guest("dracut-lvm-uefi.raw", &[LVM_UEFI, BLSCFG], Some(128 * MIB..448 * MIB), 448 * MIB..2047 * MIB)
}

/// The same on one partition, as Amazon's images have it: by the name of its device, with all options in the
/// entry, and files that share extents. One initramfs, by gzip.
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn dracut_xfs() -> Option<OnXfs> {
    guest("dracut-xfs.raw", &[GAP, XFS_BIOS, BLSCFG, GAP_BLSCFG], None, MIB..2048 * MIB)
}

/// With /boot on a partition of its own, `last` is a physical volume, else the root.
#[track_caller]
fn guest(name: &str, parts: &[&str], boot: Option<Range<u64>>, last: Range<u64>) -> Option<OnXfs> {
    let able = judge::need_all(TOOLS) && judge::need_all(&["mkfs.xfs", "lvm", "losetup"]);
    (able && judge::need_kernel_mounts()).then_some(())?;
    let recipe = [&[CHROOT], parts, &[EC2, DRACUT]].concat().concat();
    let with_dracut = [CHROOT, DRACUT_TREE].concat();
    let trees = [with_dracut.as_bytes(), tree().as_bytes()].concat();
    let built = cache::cached(name, &[recipe.as_bytes(), &trees], |out| {
        let tar = cache::cached("dracut.tar.zst", &[&trees], |out| {
            build(&with_dracut, &out.join("dracut.tar.zst"), tar()?.as_os_str())
        })?;
        build(&recipe, &out.join(name), tar.as_os_str())
    });
    let image = built.unwrap_or_else(|error| panic!("{error:?}"));
    let mounts = match boot {
        Some(boot) => vec![("/", logical(&image, &last)), ("/boot", boot)],
        None => vec![("/", last)],
    };
    Some(OnXfs { image, mounts })
}

/// Where the logical volume is on the disk: it is in one piece.
fn logical(image: &Path, physical: &Range<u64>) -> Range<u64> {
    let runs = Devices::over(&[(image, physical.clone())]).runs(VOLUME);
    let [(0, run)] = runs.as_slice() else { panic!("{VOLUME} is in pieces: {runs:?}") };
    physical.start + run.start..physical.start + run.end
}
