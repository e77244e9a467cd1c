//! The texts by which firmware, boot loaders, kernels and init systems say on the console how far they are;
//! what they cannot do is in [`guestfix::symptoms`].
//!
//! They were read in the programs' own sources (SeaBIOS, OVMF, shim, GRUB, SYSLINUX, systemd-boot, Linux,
//! initramfs-tools, dracut, systemd, sysvinit) and seen in boots that failed on purpose (2026-11).

use HopKind::{Firmware, Init, Initramfs, Kernel, Loader, Menu, Mounts, Network, Root, Target};
use guestfix::bootwalk::HopKind;

/// Lines that show a hop was reached.
pub(crate) const MILESTONES: &[(HopKind, &str)] = &[
    (Firmware, "SeaBIOS"),
    (Firmware, "BdsDxe: "),
    (Loader, "GRUB loading"),
    (Loader, "GRUB Loading stage"),
    (Loader, "Welcome to GRUB"),
    (Loader, "GNU GRUB"),
    (Loader, "SYSLINUX "),
    (Loader, "EXTLINUX "),
    (Menu, "The highlighted entry will be executed automatically"),
    (Menu, "Booting `"),
    (Menu, "Booting '"),
    (Menu, "Booting a command list"),
    (Menu, "Loading Linux "),
    (Menu, "Loading initial ramdisk"),
    (Menu, "EFI stub: "),
    (Kernel, "Linux version "),
    (Initramfs, "Run /init as init"),
    (Initramfs, "Loading, please wait"),
    (Initramfs, "dracut-"),
    (Initramfs, "Running in initrd."),
    (Initramfs, "Running in initial RAM disk."),
    (Initramfs, "Alpine Init "),
    (Root, "): mounted filesystem"),
    (Root, "VFS: Mounted root ("),
    (Root, ": Ending clean mount"),
    (Root, ": Ending recovery"),
    (Root, "BTRFS info (device "),
    (Root, "Reached target Initrd Root File System"),
    (Root, "Reached target initrd-root-fs.target"),
    (Init, "INIT: version "),
    (Init, "is starting up Linux"),
    (Target, "Queued start job for default target"),
    (Target, "INIT: Entering runlevel: "),
    (Mounts, "Reached target local-fs.target"),
    (Mounts, "Reached target Local File Systems"),
    (Network, "Reached target network.target"),
    (Network, "Reached target Network."),
];

/// Lines that show all services were started, so that whoever asks for a login does so now.
pub(crate) const UP: &[&str] = &[
    "Reached target multi-user.target",
    "Reached target Multi-User System",
    "Reached target graphical.target",
    "Reached target Graphical Interface",
];

pub(crate) const NO_LOGIN: &str =
    "all services were started, and nothing asks for a login on the serial console";
pub(crate) const WAITS_FOR_EVER: &str = "it waits without a limit for a device that is not there";
pub(crate) const CORE: &str = "GRUB's core image was started and does not come to its first word";
