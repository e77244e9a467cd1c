//! A paravirtual instance.

use std::ops::Range;
use std::path::PathBuf;

use super::{CHROOT, EC2, TOOLS, build, tar, tree};
use crate::{cache, judge};

const PV: &str = include_str!("pv.sh");

/// Where the root file system of [`debian_pv`] is, in bytes: all of the disk.
pub const DEBIAN_PV_ROOT: Range<u64> = 0..2 << 30;

/// Debian 12 as a paravirtual AMI of 2 GiB: ext4 on the bare disk, a menu.lst with `root=/dev/xvda1
/// console=hvc0`, drivers for Xen alone in its initramfs, and nothing that a BIOS starts.
///
/// All else is as with [`debian`](super::debian).
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn debian_pv() -> Option<PathBuf> {
    (judge::need_all(TOOLS) && judge::need_kernel_mounts()).then_some(())?;
    let recipe = [CHROOT, EC2, PV].concat();
    let built = cache::cached("debian-pv.raw", &[recipe.as_bytes(), tree().as_bytes()], |out| {
        build(&recipe, &out.join("debian-pv.raw"), tar()?.as_os_str())
    });
    Some(built.unwrap_or_else(|error| panic!("{error:?}")))
}
