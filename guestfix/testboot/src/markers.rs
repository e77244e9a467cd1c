//! The texts by which firmware, boot loaders, kernels and init systems say on the console what they do, and
//! what they cannot do.
//!
//! They were read in the programs' own sources (SeaBIOS, OVMF, shim, GRUB, SYSLINUX, systemd-boot, Linux,
//! initramfs-tools, dracut, systemd, sysvinit) and seen in boots that failed on purpose (2026-11).

use HopKind::{Firmware, Init, Initramfs, Kernel, Loader, Login, Menu, Mounts, Network, Root, Target};
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

/// What lines of failure mean.
pub(crate) struct Meaning {
    /// The hop that the boot does not get past; `None` for that at which it is.
    pub(crate) at: Option<HopKind>,
    /// How well it explains the failure; the best of a boot is shown.
    pub(crate) worth: u8,
    /// What it means.
    pub(crate) why: &'static str,
    /// Texts after which the boot may yet go on.
    pub(crate) hints: &'static [&'static str],
    /// Texts after which nothing comes.
    pub(crate) ends: &'static [&'static str],
}

const fn at(hop: HopKind, worth: u8, why: &'static str) -> Meaning {
    Meaning { at: Some(hop), worth, why, hints: &[], ends: &[] }
}

pub(crate) const NO_ROOT: &str =
    "the root device is not there: its driver is not in the initramfs, or root= names another device";
const SHELL: &str = "the initramfs opened its shell";
const NOT_MOUNTED: &str = "the root file system cannot be mounted";
const NO_INITRAMFS: &str = "the kernel was started without an initramfs that finds the root";
const NO_INIT: &str = "the root has no init that can be started";
const NO_LOADER: &str = "the firmware finds no EFI boot loader (\\EFI\\BOOT\\BOOTX64.EFI)";
const FSTAB: &str = "systemd gave up on a mount that /etc/fstab asks for";
pub(crate) const NO_LOGIN: &str =
    "all services were started, and nothing asks for a login on the serial console";
pub(crate) const WAITS_FOR_EVER: &str = "it waits without a limit for a device that is not there";
pub(crate) const CORE: &str = "GRUB's core image was started and does not come to its first word";

/// What any line may tell.
pub(crate) const FAILURES: &[Meaning] = &[
    // Firmware.
    Meaning {
        ends: &["No bootable device"],
        ..at(Firmware, 2, "the firmware finds nothing to start: no boot code in the disk's first sector")
    },
    Meaning {
        hints: &["Boot failed: not a bootable disk", "Boot failed: could not read the boot disk"],
        ..at(Firmware, 3, "the disk has no boot code in its first sector")
    },
    Meaning {
        ends: &[
            "Missing operating system",
            "Missing OS",
            "Operating system load error",
            "Error loading operating system",
            "Invalid partition table",
            "This is not a bootable disk",
        ],
        ..at(Firmware, 2, "the boot code in the first sector finds no partition to start")
    },
    Meaning {
        hints: &["BdsDxe: failed to load Boot", "BdsDxe: failed to start Boot"],
        ..at(Firmware, 1, "the firmware cannot start a boot option")
    },
    Meaning {
        ends: &["BdsDxe: No bootable option or device was found", "UEFI Interactive Shell"],
        ..at(Firmware, 2, NO_LOADER)
    },
    // What the firmware starts.
    Meaning {
        hints: &[
            "start_image() returned",
            "Failed to load image",
            "Failed to open \\EFI\\",
            "Verification failed: (0x",
            "Security Violation",
            "Security Policy Violation",
            "import_mok_state() failed",
            "Could not find boot options",
        ],
        ..at(Loader, 3, "shim cannot start its second stage")
    },
    Meaning {
        ends: &["GRUB Hard Disk Error", "GRUB Geom Error", "GRUB Read Error"],
        ..at(Loader, 2, "GRUB's boot code cannot read its core image")
    },
    Meaning { ends: &["grub rescue>"], ..at(Loader, 1, "GRUB cannot load its modules") },
    Meaning {
        ends: &["alloc magic is broken", "Aborted. Press any key to exit"],
        ..at(Loader, 2, "GRUB ended itself")
    },
    Meaning {
        ends: &["Failed to load ldlinux", "Boot error", "Failed to load COM32 file"],
        ..at(Loader, 2, "SYSLINUX cannot load its own parts")
    },
    // A menu that starts an entry by itself says so next.
    Meaning {
        hints: &["Press enter to boot the selected OS"],
        ..at(Menu, 1, "the menu waits for a key: it has no timeout")
    },
    Meaning {
        ends: &["Enter username:"],
        ..at(Menu, 2, "GRUB starts its default entry only for who has a password")
    },
    Meaning { ends: &["Minimal BASH-like line editing"], ..at(Menu, 1, "GRUB finds no configuration") },
    Meaning {
        ends: &["Failed to boot both default and fallback entries"],
        ..at(Menu, 1, "GRUB cannot start the kernel it was told to")
    },
    Meaning {
        ends: &["No DEFAULT or UI configuration directive found", "ERROR: No configuration file found"],
        ..at(Menu, 2, "SYSLINUX finds no configuration")
    },
    Meaning {
        hints: &["No loader found. Configuration files in"],
        ..at(Menu, 3, "systemd-boot finds no entry")
    },
    Meaning {
        hints: &["Error 22: ", "Error 17: ", "Error 21: ", "Error 23: ", "Error 25: "],
        ..at(Menu, 2, "GRUB cannot read the partition that it was told to")
    },
    Meaning {
        hints: &["Error 15: ", "Error 13: ", "Error 16: ", "Error 8: ", "Error 28: "],
        ..at(Kernel, 2, "GRUB does not find the kernel or the initramfs, or cannot load it")
    },
    Meaning {
        hints: &[
            "Could not find kernel image:",
            "Invalid or corrupt kernel image",
            "Error loading EFI binary",
            "Error loading \\",
            "EFI stub: ERROR: ",
        ],
        ..at(Kernel, 2, "the kernel that the menu names is not there, or cannot be started")
    },
    Meaning {
        hints: &[
            "EFI stub: ERROR: Failed to load initrd",
            "EFI stub: ERROR: Failed to open file:",
            "Could not find ramdisk image:",
            "Error preparing initrd:",
        ],
        ..at(Initramfs, 4, "the initramfs that the menu names is not there")
    },
    // Kernel.
    Meaning {
        ends: &["-- System halted"],
        ..at(Kernel, 3, "the kernel's file cannot be unpacked: it is damaged")
    },
    Meaning {
        hints: &["Initramfs unpacking failed", "rootfs image is not initramfs"],
        ..at(Initramfs, 4, "the initramfs is damaged, or compressed in a way that this kernel cannot read")
    },
    Meaning {
        hints: &["Failed to execute /init (error", "check access for rdinit=/init failed"],
        ..at(Initramfs, 4, "the initramfs has no /init that can be started")
    },
    Meaning { hints: &["VFS: Cannot open root device"], ..at(Root, 3, NO_INITRAMFS) },
    Meaning {
        ends: &["VFS: Unable to mount root fs", "VFS: Unable to open root device"],
        ..at(Root, 2, NO_INITRAMFS)
    },
    Meaning {
        hints: &["exists but couldn't execute it", "Failed to execute /sbin/init (error"],
        ..at(Init, 3, NO_INIT)
    },
    Meaning {
        ends: &[
            "not syncing: No working init found",
            "not syncing: No init found",
            "not syncing: Requested init ",
        ],
        ..at(Init, 2, NO_INIT)
    },
    Meaning {
        ends: &["not syncing: Attempted to kill init!"],
        ..at(Init, 1, "the first program ended, and the kernel panicked")
    },
    Meaning { ends: &["Kernel panic - not syncing"], at: None, ..at(Kernel, 1, "the kernel panicked") },
    // The initramfs on its way to the root.
    Meaning { hints: &["/init: "], ..at(Initramfs, 2, "a part of the initramfs is missing") },
    Meaning { hints: &["Gave up waiting for root", "Could not boot."], ..at(Root, 1, NO_ROOT) },
    Meaning { hints: &["dracut-initqueue timeout", "Cannot process volume group"], ..at(Root, 2, NO_ROOT) },
    Meaning {
        hints: &["Dependency failed for Initrd Root", "Dependency failed for initrd-root"],
        ..at(Root, 2, NO_ROOT)
    },
    Meaning { ends: &["ALERT!"], ..at(Root, 3, NO_ROOT) },
    Meaning {
        hints: &["Gave up waiting for /usr"],
        ..at(Mounts, 4, "the file system of /usr is not there, and the system cannot start without it")
    },
    Meaning {
        hints: &[
            " on /root failed:",
            "as root file system",
            "Can't mount root filesystem",
            "Failed to mount /sysroot",
        ],
        ..at(Root, 4, NOT_MOUNTED)
    },
    Meaning {
        hints: &[
            "Failed to mount sysroot.mount",
            "Dependency failed for sysroot.mount",
            "Mounting root: failed",
        ],
        ..at(Root, 4, NOT_MOUNTED)
    },
    Meaning {
        hints: &["File system check of the root filesystem failed", "requires a manual fsck"],
        ..at(Root, 4, "the root file system has errors that fsck does not mend by itself")
    },
    Meaning {
        hints: &["No root device specified", "Don't know how to handle 'root="],
        ..at(Root, 4, "the command line names no root that the initramfs understands")
    },
    Meaning { ends: &["No or empty root= argument"], ..at(Root, 4, "the command line names no root") },
    Meaning {
        hints: &["Rebooting automatically due to panic="],
        ..at(Root, 1, "the initramfs gave up, and reboots for ever")
    },
    Meaning {
        hints: &["Generating \"/run/initramfs/rdsosreport.txt\"", "dracut: Refusing to continue"],
        ..at(Root, 1, SHELL)
    },
    Meaning {
        hints: &["Spawning shell within the initramfs", "Warning: Break before ", "Warning: Break pre-"],
        ..at(Initramfs, 2, "the initramfs was told to stop: break= or rd.break on the command line")
    },
    Meaning {
        ends: &[
            "(initramfs)",
            "dracut:/#",
            "Entering emergency mode. Exit the shell",
            "initramfs emergency recovery shell launched",
        ],
        ..at(Root, 1, SHELL)
    },
    Meaning {
        ends: &["Please unlock disk", "nter passphrase for"],
        ..at(Root, 3, "a volume is encrypted, and its passphrase is asked for")
    },
    // From the root's init on.
    Meaning {
        hints: &[
            "Target filesystem doesn't have requested /",
            "run-init: can't execute",
            "run-init: /",
            "Cannot find init!",
            "switch_root: failed",
            "switch_root: can't execute",
            "Failed to switch root",
            "Failed to start initrd-switch-root.service",
            "Failed to start Switch Root",
            "init: error while loading shared libraries",
            "systemd: error while loading shared libraries",
        ],
        ..at(Init, 4, NO_INIT)
    },
    Meaning { ends: &["No init found. Try passing init="], ..at(Init, 3, NO_INIT) },
    Meaning {
        at: None,
        ends: &["job control turned off", "no job control in this shell"],
        ..at(Init, 1, "a shell was started in place of the system")
    },
    Meaning {
        hints: &[
            "Failed to load SELinux policy",
            "Unable to load SELinux Policy",
            "Failed to initialize SELinux",
        ],
        ..at(Init, 3, "SELinux is to be enforced, and its policy cannot be loaded")
    },
    Meaning { ends: &["Freezing execution", "[!!!!!!]"], ..at(Init, 1, "systemd gave up") },
    Meaning {
        hints: &[
            "Failed to load default target",
            "Failed to start default target",
            "Failed to isolate default target",
            "Falling back to rescue target",
            "Trying to load rescue target",
            "Unit default.target not found",
            "Unit default.target is masked",
        ],
        ..at(Target, 3, "the default target cannot be started")
    },
    Meaning {
        ends: &["INIT: No inittab file found", "Enter runlevel:"],
        ..at(Target, 3, "init has no run level to start")
    },
    Meaning {
        ends: &["You are in rescue mode", "Welcome to rescue mode", "Welcome to Rescue Shell"],
        ..at(Target, 2, "the system starts into rescue mode")
    },
    Meaning {
        hints: &["reboot: Power down", "reboot: Restarting system", "reboot: System halted"],
        at: None,
        ..at(Target, 1, "the system shuts itself down")
    },
    Meaning {
        hints: &["Timed out waiting for device"],
        ..at(Mounts, 3, "/etc/fstab names a device that is not there")
    },
    Meaning {
        hints: &["Failed to start systemd-fsck", "Failed to start File System Check", "RUN fsck MANUALLY"],
        ..at(Mounts, 4, "a file system has errors that fsck does not mend by itself")
    },
    Meaning { hints: &["[FAILED] Failed to mount ", "systemd[1]: Failed to mount "], ..at(Mounts, 3, FSTAB) },
    Meaning {
        hints: &["Dependency failed for local-fs.target", "Dependency failed for Local File Systems"],
        ..at(Mounts, 2, FSTAB)
    },
    Meaning {
        ends: &["An error occurred during the file system check"],
        ..at(Mounts, 3, "a file system has errors that fsck does not mend by itself")
    },
    Meaning {
        ends: &[
            "You are in emergency mode",
            "Welcome to emergency mode",
            "Give root password for maintenance",
            "Cannot open access to console, the root account is locked",
            "Press Enter for maintenance",
        ],
        ..at(Target, 1, "the system starts into emergency mode")
    },
    Meaning {
        hints: &["Failed to start serial-getty@", "Failed to start Serial Getty on", "respawning too fast"],
        ..at(Login, 2, "what asks for the login cannot be started")
    },
];

/// What GRUB says it cannot do: in a line `error: ...`, with the place in its source before it in some
/// builds. Its messages are too plain to be looked for anywhere else.
pub(crate) const GRUB: &[Meaning] = &[
    Meaning {
        hints: &["no such device", "no such disk", "disk `", "no such partition", "unknown filesystem"],
        ..at(Menu, 2, "GRUB does not find the file system it was told to search for, or cannot read it")
    },
    Meaning {
        hints: &[
            "attempt to read or write outside of",
            "failure reading sector",
            "read error",
            "out of disk",
        ],
        ..at(Menu, 2, "GRUB cannot read the disk where it was told to")
    },
    Meaning {
        hints: &["syntax error", "Incorrect command", "unknown command", "unexpected end of file"],
        ..at(Menu, 3, "GRUB cannot understand its configuration")
    },
    Meaning {
        hints: &[
            "symbol `",
            "symbol '",
            "can't find command `",
            "can't find command '",
            "ELF magic",
            "ELF header",
        ],
        ..at(Loader, 2, "a module of GRUB is missing, or is of another version than its core")
    },
    Meaning {
        hints: &[
            "invalid magic number",
            "bad shim signature",
            "bad shim loader signature",
            "has invalid signature",
            "cannot load image",
            "kernel too old",
            "cannot read the Linux header",
            "not a Linux",
            "kernel doesn't support",
            "start_image() returned",
        ],
        ..at(Kernel, 3, "the kernel's file is no kernel that GRUB can start")
    },
    Meaning { hints: &["you need to load the kernel first"], ..at(Kernel, 1, "GRUB found no kernel") },
    Meaning {
        hints: &["out of memory"],
        ..at(Initramfs, 2, "GRUB has no memory for the kernel or the initramfs")
    },
];
