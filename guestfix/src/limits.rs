//! How much of one guest is looked at. No real machine comes near these numbers; one that was made to cost
//! time or memory is refused by name, with the place and the number.

use crate::{Error, Result};

const MIB: u64 = 1 << 20;

/// The largest text in each of these places, in bytes; elsewhere it is 1 MiB. What tools write by the
/// thousand lines is larger than what people write: boot menus, lists of modules, policies, host lists,
/// firewalls.
const TEXTS: [(&str, u64); 10] = [
    ("/boot/", 2 * MIB),
    ("/lib/modules/", 4 * MIB),
    ("/usr/lib/modules/", 4 * MIB),
    ("/etc/selinux/", 8 * MIB),
    ("/etc/hosts", 8 * MIB),
    ("/etc/iptables/", 8 * MIB),
    ("/etc/sysconfig/", 8 * MIB),
    ("/etc/nftables", 8 * MIB),
    ("/etc/firewalld/", 8 * MIB),
    ("/var/cache/debconf/", 8 * MIB),
];

/// The largest file that is read whole into memory, in bytes: an initramfs, a unified kernel image, a module.
pub(crate) const FILE: u64 = 160 * MIB;
/// The largest module, in bytes: twice the largest known, `amdgpu` with symbols.
pub(crate) const MODULE: u64 = 64 * MIB;
/// The largest directory that is listed, in bytes of the file system: some hundred thousand names.
pub(crate) const DIRECTORY: u64 = 32 * MIB;
/// The most names in a directory that is listed at all.
pub(crate) const ENTRIES: u64 = 262_144;
/// The most names in a directory that a rule looks through.
pub(crate) const NAMES: u64 = 65_536;
/// The most entries of one boot menu.
pub(crate) const BOOT_ENTRIES: usize = 1_000;
/// The most initramfs images of one entry.
pub(crate) const INITRDS: u64 = 64;
/// The most menus within menus.
pub(crate) const MENU_DEPTH: usize = 32;
/// The most kernels.
pub(crate) const KERNELS: u64 = 256;
/// The most lines of fstab that name something.
pub(crate) const MOUNTS: u64 = 2_000;

/// The largest text at this path, in bytes.
pub(crate) fn text(path: &str) -> u64 {
    TEXTS.iter().find(|(place, _)| path.starts_with(place)).map_or(MIB, |(_, limit)| *limit)
}

/// Refuses what is more than its limit; `what` says of what there is too much.
///
/// # Errors
/// `TooLarge`.
pub(crate) fn at_most(path: &str, count: u64, limit: u64, what: &str) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    let what = format!("{count} {what} are more than the {limit} that refloat reads");
    Err(Error::TooLarge { path: path.to_owned(), what })
}
