//! Boots that stop, as their consoles tell it: one at least for each text that a verdict knows.

use guestfix::bootwalk::HopKind::{
    self, Firmware, Init, Initramfs, Kernel, Loader, Login, Menu, Mounts, Root, Target,
};

/// The lines, the hop that they stop at, and a part of the line that is shown for it.
pub(crate) type Boot = (&'static [&'static str], HopKind, &'static str);

/// Machines that say that they stop.
pub(crate) const STOPS: &[Boot] = &[
    // From the laboratory: without /sbin/init, initramfs-tools starts the shell of the root.
    (
        &[
            "Run /init as init process",
            "EXT4-fs (sda1): mounted filesystem",
            "run-init: /sbin/init: No such file or directory",
            "Target filesystem doesn't have requested /sbin/init.",
            "/bin/sh: 0: can't access tty; job control turned off",
        ],
        Init,
        "run-init: /sbin/init",
    ),
    (&["EXT4-fs (sda1): mounted filesystem", "bash: no job control in this shell"], Init, "bash"),
    // Firmware.
    (&["Boot failed: not a bootable disk", "No bootable device."], Firmware, "Boot failed"),
    (&["Boot failed: could not read the boot disk", "No bootable device."], Firmware, "could not read"),
    (&["SeaBIOS", "Missing operating system."], Firmware, "Missing"),
    (&["SeaBIOS", "Missing OS"], Firmware, "Missing"),
    (&["SeaBIOS", "Operating system load error."], Firmware, "load error"),
    (&["SeaBIOS", "Error loading operating system"], Firmware, "Error loading"),
    (&["SeaBIOS", "Invalid partition table"], Firmware, "partition table"),
    (&["This is not a bootable disk.  Please insert a bootable floppy and"], Firmware, "not a bootable"),
    (
        &["BdsDxe: failed to load Boot0001 \"UEFI QEMU HARDDISK\": Not Found", "UEFI Interactive Shell v2.2"],
        Firmware,
        "UEFI",
    ),
    (
        &[
            "BdsDxe: failed to start Boot0001 \"UEFI QEMU HARDDISK\": Unsupported",
            "BdsDxe: No bootable option or device was found.",
        ],
        Firmware,
        "No bootable option",
    ),
    // Loaders.
    (
        &[
            "Failed to open \\EFI\\BOOT\\grubx64.efi - Not Found",
            "Failed to load image \\EFI\\BOOT\\grubx64.efi: Not Found",
            "start_image() returned Not Found",
            "BdsDxe: failed to start Boot0001 \"UEFI QEMU HARDDISK\": Not Found",
            "UEFI Interactive Shell v2.2",
        ],
        Loader,
        "Failed to open",
    ),
    (&["Failed to load image: Unsupported", "UEFI Interactive Shell v2.2"], Loader, "load image"),
    (&["start_image() returned Load Error", "UEFI Interactive Shell v2.2"], Loader, "start_image"),
    (&["Verification failed: (0x1A) Security Violation", "UEFI Interactive Shell v2.2"], Loader, "0x1A"),
    (&["Bootloader: Security Violation", "UEFI Interactive Shell v2.2"], Loader, "Violation"),
    (&["Verification: Security Policy Violation", "UEFI Interactive Shell v2.2"], Loader, "Violation"),
    (
        &[
            "Something has gone seriously wrong: import_mok_state() failed: Not Found",
            "UEFI Interactive Shell",
        ],
        Loader,
        "import_mok_state",
    ),
    (&["Could not find boot options: Not Found", "UEFI Interactive Shell"], Loader, "boot options"),
    (&["GRUB Hard Disk Error"], Loader, "Hard Disk"),
    (&["GRUB Geom Error"], Loader, "Geom"),
    (&["GRUB Read Error"], Loader, "Read"),
    (&["error: file `/boot/grub/i386-pc/normal.mod' not found.", "grub rescue>"], Loader, "normal.mod"),
    (&["error: no such device: 24e7baea.", "Entering rescue mode...", "grub rescue>"], Loader, "24e7baea"),
    (&["error: no such partition.", "Entering rescue mode...", "grub rescue>"], Loader, "partition"),
    (&["error: unknown filesystem.", "grub rescue>"], Loader, "unknown filesystem"),
    (&["error: disk `lvmid/a/b' not found.", "grub rescue>"], Loader, "lvmid"),
    (&["error: no such disk.", "grub rescue>"], Loader, "no such disk"),
    (&["error: symbol `grub_calloc' not found.", "grub rescue>"], Loader, "grub_calloc"),
    (&["error: symbol 'grub_register_command_lockdown' not found.", "grub rescue>"], Loader, "lockdown"),
    (&["error: invalid arch-independent ELF magic.", "grub rescue>"], Loader, "ELF magic"),
    (&["error: ELF header smaller than expected.", "grub rescue>"], Loader, "ELF header"),
    (&["alloc magic is broken at 0x3fe0: 0", "Aborted. Press any key to exit."], Loader, "alloc magic"),
    (&["Aborted. Press any key to exit."], Loader, "Aborted"),
    (&["Failed to load ldlinux.c32"], Loader, "ldlinux"),
    (&["Failed to load COM32 file menu.c32"], Loader, "menu.c32"),
    (&["Boot error"], Loader, "Boot error"),
    // Menus.
    (&["GNU GRUB version 2.06", "Enter username:"], Menu, "username"),
    // From the laboratory: another file in linux.mod's place.
    (
        &[
            "Welcome to GRUB!",
            "Booting a command list",
            "error: invalid arch-dependent ELF magic.",
            "Failed to boot both default and fallback entries.",
        ],
        Menu,
        "ELF magic",
    ),
    (&["GNU GRUB version 2.06", "Minimal BASH-like line editing is supported."], Menu, "Minimal"),
    (
        &[
            "error: ../../grub-core/kern/disk.c:238:disk `hd1,gpt1' not found.",
            "Minimal BASH-like line editing",
        ],
        Menu,
        "hd1,gpt1",
    ),
    (&["error: attempt to read or write outside of disk `hd0'.", FALLBACK], Menu, "outside"),
    (&["error: failure reading sector 0x80 from `hd0'.", FALLBACK], Menu, "0x80"),
    (&["error: hd0,msdos1 read error.", FALLBACK], Menu, "read error"),
    (&["error: hd0 out of disk.", FALLBACK], Menu, "out of disk"),
    (&["error: syntax error.", "error: Incorrect command.", FALLBACK], Menu, "syntax"),
    (&["error: Incorrect command.", FALLBACK], Menu, "Incorrect"),
    (&["error: unknown command `linx'.", FALLBACK], Menu, "linx"),
    (&["error: unexpected end of file.", FALLBACK], Menu, "unexpected end"),
    (&["error: can't find command `linux'.", FALLBACK], Loader, "`linux'"),
    (
        &["error: ../../grub-core/script/function.c:119:can't find command 'blscfg'.", FALLBACK],
        Loader,
        "blscfg",
    ),
    (&["error: file `/boot/grub/custom.cfg' not found.", FALLBACK], Menu, "custom.cfg"),
    (&["ERROR: No configuration file found"], Menu, "No configuration"),
    (&["No DEFAULT or UI configuration directive found!"], Menu, "DEFAULT"),
    (
        &[
            "No loader found. Configuration files in \\loader\\entries\\*.conf are needed.",
            "UEFI Interactive Shell",
        ],
        Menu,
        "No loader",
    ),
    // Kernels.
    (&["error: file `/boot/vmlinuz-6' not found.", FALLBACK], Kernel, "vmlinuz-6"),
    (&["error: ../../grub-core/fs/fshelp.c:257:file `/vmlinuz-5.14.0' not found.", FALLBACK], Kernel, "5.14"),
    (&["error: premature end of file /boot/vmlinuz-6.", FALLBACK], Kernel, "premature"),
    (
        &["error: invalid magic number.", "error: you need to load the kernel first.", FALLBACK],
        Kernel,
        "magic",
    ),
    (&["error: you need to load the kernel first.", FALLBACK], Kernel, "kernel first"),
    (&["error: bad shim signature.", FALLBACK], Kernel, "shim"),
    (&["error: bad shim loader signature.", FALLBACK], Kernel, "shim"),
    (&["error: /boot/vmlinuz-6 has invalid signature.", FALLBACK], Kernel, "signature"),
    (&["error: cannot load image.", FALLBACK], Kernel, "load image"),
    (&["error: kernel too old.", FALLBACK], Kernel, "too old"),
    (&["error: cannot read the Linux header.", FALLBACK], Kernel, "header"),
    (&["error: not a Linux kernel.", FALLBACK], Kernel, "not a Linux"),
    (&["error: kernel doesn't support 64-bit CPUs.", FALLBACK], Kernel, "64-bit"),
    (&["error: start_image() returned 0x8000000000000001.", FALLBACK], Kernel, "0x8000"),
    (&["Error loading EFI binary \\linux: Not found", "UEFI Interactive Shell"], Kernel, "EFI binary"),
    (&["Error loading \\vmlinuz: Not Found", "UEFI Interactive Shell"], Kernel, "vmlinuz"),
    (&["EFI stub: ERROR: Failed to decompress kernel", FALLBACK], Kernel, "decompress"),
    (&["XZ-compressed data is corrupt", " -- System halted"], Kernel, "System halted"),
    (
        &["Linux version 6.1", "Kernel panic - not syncing: System is deadlocked on memory"],
        Kernel,
        "deadlocked",
    ),
    // The initramfs.
    (
        &["error: file `/boot/initrd.img-6' not found.", "Linux version 6.1", NO_VFS],
        Initramfs,
        "initrd.img-6",
    ),
    (
        &["error: premature end of file /boot/initramfs-6.img.", "Linux version 6.1", NO_VFS],
        Initramfs,
        "initramfs-6",
    ),
    (&["error: out of memory.", "Linux version 6.1", NO_VFS], Initramfs, "memory"),
    (&["EFI stub: ERROR: Failed to load initrd!", FALLBACK], Initramfs, "load initrd"),
    (&["EFI stub: ERROR: Failed to open file: \\initrd", FALLBACK], Initramfs, "open file"),
    (&["Error preparing initrd: Not found", "UEFI Interactive Shell"], Initramfs, "preparing"),
    (
        &["Linux version 6.1", "Initramfs unpacking failed: junk within compressed archive", NO_VFS],
        Initramfs,
        "junk",
    ),
    (
        &["Linux version 6.1", "rootfs image is not initramfs (no cpio magic); looks like an initrd", NO_VFS],
        Initramfs,
        "cpio",
    ),
    (
        &[
            "Linux version 6.1",
            "Failed to execute /init (error -2)",
            "Kernel panic - not syncing: No working init found.",
        ],
        Initramfs,
        "/init (error",
    ),
    (
        &["Linux version 6.1", "check access for rdinit=/init failed: -2, ignoring", NO_VFS],
        Initramfs,
        "rdinit",
    ),
    (
        &[
            "Linux version 6.1",
            "Run /init as init process",
            "/init: line 20: can't open '/scripts/functions': No such file or directory",
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200",
        ],
        Initramfs,
        "/scripts/functions",
    ),
    (
        &[
            "Linux version 6.1",
            "Run /init as init process",
            "Kernel panic - not syncing: Attempted to kill init!",
        ],
        Initramfs,
        "kill init",
    ),
    (
        &["Linux version 6.1", "Run /init as init process", "Kernel panic - not syncing: Fatal exception"],
        Initramfs,
        "Fatal",
    ),
    // The root.
    (
        &["Linux version 6.1", "VFS: Cannot open root device \"UUID=1\" or unknown-block(0,0)", NO_VFS],
        Root,
        "UUID=1",
    ),
    (&["Linux version 6.1", NO_VFS], Root, "unknown-block"),
    (
        &["Linux version 2.6", "Kernel panic - not syncing: VFS: Unable to open root device"],
        Root,
        "open root",
    ),
    (&["Warning: /dev/disk/by-uuid/1 does not exist", DRACUT_SHELL], Root, "by-uuid"),
    (
        &[
            "dracut-initqueue[391]: Warning: dracut-initqueue timeout - starting timeout scripts",
            DRACUT_SHELL,
        ],
        Root,
        "timeout",
    ),
    (&["Warning: Could not boot.", DRACUT_SHELL], Root, "Could not boot"),
    (&["Generating \"/run/initramfs/rdsosreport.txt\"", DRACUT_SHELL], Root, "rdsosreport"),
    (&["Spawning shell within the initramfs", "(initramfs)"], Initramfs, "Spawning"),
    (
        &[
            "XFS (sda1): Ending clean mount",
            "dracut-pre-pivot[5]: Warning: Break before switch_root",
            "dracut:/#",
        ],
        Initramfs,
        "Break before",
    ),
    (&["dracut-pre-mount[4]: Warning: Break pre-mount", "dracut:/#"], Initramfs, "Break pre-mount"),
    (&["dracut: Refusing to continue", "dracut:/#"], Root, "Refusing"),
    (&["dracut: FATAL: Don't know how to handle 'root=foo'", "dracut:/#"], Root, "root=foo"),
    (&["dracut: FATAL: No or empty root= argument"], Root, "No or empty"),
    (&["dracut: Can't mount root filesystem", DRACUT_SHELL], Root, "Can't mount"),
    (&["mount: Failed to mount /sysroot", DRACUT_SHELL], Root, "/sysroot"),
    (&["[FAILED] Failed to mount sysroot.mount - /sysroot.", DRACUT_SHELL], Root, "sysroot.mount"),
    (&["[DEPEND] Dependency failed for sysroot.mount - /sysroot.", DRACUT_SHELL], Root, "sysroot.mount"),
    (&["[DEPEND] Dependency failed for Initrd Root File System.", DRACUT_SHELL], Root, "Initrd Root"),
    (&["[DEPEND] Dependency failed for initrd-root-fs.target", DRACUT_SHELL], Root, "initrd-root-fs"),
    (&["  Cannot process volume group vg0", DRACUT_SHELL], Root, "vg0"),
    (
        &["mount: mounting /dev/sda1 on /root failed: Invalid argument", "(initramfs)"],
        Root,
        "on /root failed",
    ),
    (&["Failed to mount UUID=1 as root file system.", "(initramfs)"], Root, "UUID=1"),
    (
        &["No root device specified. Boot arguments must include a root= parameter.", "(initramfs)"],
        Root,
        "root=",
    ),
    (&["Failure: File system check of the root filesystem failed", "(initramfs)"], Root, "check of the root"),
    (&["The root filesystem on /dev/sda1 requires a manual fsck", "(initramfs)"], Root, "manual fsck"),
    (&["Mounting root: failed.", "initramfs emergency recovery shell launched."], Root, "Mounting root"),
    (&["Please unlock disk sda3_crypt:"], Root, "unlock"),
    (&["Please enter passphrase for disk QEMU_HARDDISK (luks-1):"], Root, "passphrase"),
    (
        &[
            "Linux version 6.1",
            "Welcome to Fedora dracut-059 (Initramfs)!",
            "[* ] Job dev-disk-by\\x2duuid-24…ice/start running (4min 3s / no limit)",
        ],
        Root,
        "no limit",
    ),
    // The root's init.
    (
        &[
            "Target filesystem doesn't have requested /sbin/init.",
            "No init found. Try passing init= bootarg.",
            "(initramfs)",
        ],
        Init,
        "requested",
    ),
    (&["No init found. Try passing init= bootarg.", "(initramfs)"], Init, "bootarg"),
    (&["run-init: can't execute '/sbin/init': Permission denied", PANIC], Init, "run-init"),
    (&["run-init: /sbin/init: No such file or directory", PANIC], Init, "run-init"),
    (&["Cannot find init!", DRACUT_SHELL], Init, "find init"),
    (&["switch_root: failed to execute /sbin/init: No such file", PANIC], Init, "switch_root"),
    (&["switch_root: can't execute '/sbin/init': Permission denied", PANIC], Init, "switch_root"),
    (
        &[
            "initrd-switch-root: Failed to switch root: Specified switch root path '/sysroot' does not seem",
            DRACUT_SHELL,
        ],
        Init,
        "does not seem",
    ),
    (
        &["[FAILED] Failed to start initrd-switch-root.service - Switch Root.", DRACUT_SHELL],
        Init,
        "initrd-switch-root",
    ),
    (&["[FAILED] Failed to start Switch Root.", DRACUT_SHELL], Init, "Switch Root"),
    (
        &[
            "Run /init as init process",
            "EXT4-fs (sda1): mounted filesystem",
            "/sbin/init: error while loading shared libraries: libsystemd-shared-252.so: cannot open",
            PANIC,
        ],
        Init,
        "libsystemd-shared",
    ),
    (
        &["/lib/systemd/systemd: error while loading shared libraries: libmount.so.1: cannot open", PANIC],
        Init,
        "libmount",
    ),
    (&["Run /init as init process", "EXT4-fs (sda1): mounted filesystem", PANIC], Init, "kill init"),
    (&["Starting init: /sbin/init exists but couldn't execute it (error -8)", NOT_WORKING], Init, "error -8"),
    (&["Failed to execute /sbin/init (error -2)", NOT_WORKING], Init, "error -2"),
    (&[NOT_WORKING], Init, "No working init"),
    (&["Kernel panic - not syncing: No init found.  Try passing init= option to kernel."], Init, "No init"),
    (&["Kernel panic - not syncing: Requested init /sbin/none failed (error -2)."], Init, "/sbin/none"),
    (&["systemd[1]: Failed to load SELinux policy.", FREEZING], Init, "SELinux"),
    (&["Unable to load SELinux Policy. Machine is in enforcing mode. Halting now.", PANIC], Init, "SELinux"),
    (&["systemd[1]: Failed to initialize SELinux support", FREEZING], Init, "SELinux"),
    (&["[!!!!!!] Failed to mount API filesystems."], Init, "API"),
    (&[FREEZING], Init, "Freezing"),
    // The default target.
    (&["[!!!!!!] Failed to start default target."], Target, "start default"),
    (
        &["systemd[1]: Failed to isolate default target: Unit foo.service is masked.", FREEZING],
        Target,
        "isolate",
    ),
    (
        &["systemd[1]: Failed to load default target: No such file or directory", RESCUE],
        Target,
        "load default",
    ),
    (&["systemd[1]: Falling back to rescue target: rescue.target", RESCUE], Target, "Falling back"),
    (&["systemd[1]: Trying to load rescue target...", RESCUE], Target, "Trying"),
    (&["systemd[1]: Unit default.target not found.", RESCUE], Target, "not found"),
    (&["systemd[1]: Unit default.target is masked.", RESCUE], Target, "masked"),
    (&[RESCUE], Target, "rescue mode"),
    (&["Welcome to rescue mode! Type \"systemctl default\""], Target, "rescue mode"),
    (&["Welcome to Rescue Shell"], Target, "Rescue Shell"),
    (&["INIT: No inittab file found", "Enter runlevel:"], Target, "inittab"),
    (&["Enter runlevel:"], Target, "runlevel"),
    (&[EMERGENCY], Target, "emergency mode"),
    (&["Welcome to emergency mode! After logging in"], Target, "emergency mode"),
    // What it waits for.
    (&["[FAILED] Failed to mount data.mount - /data.", EMERGENCY], Mounts, "data.mount"),
    (&["[   31.2] systemd[1]: Failed to mount /data.", EMERGENCY], Mounts, "/data"),
    (
        &["[DEPEND] Dependency failed for local-fs.target - Local File Systems.", EMERGENCY],
        Mounts,
        "local-fs",
    ),
    (
        &["[DEPEND] Dependency failed for Local File Systems.", "Give root password for maintenance"],
        Mounts,
        "Local",
    ),
    (
        &["[ TIME ] Timed out waiting for device dev-sdf.device - /dev/sdf.", "Press Enter for maintenance"],
        Mounts,
        "dev-sdf",
    ),
    (
        &[
            "[FAILED] Failed to start systemd-fsck@dev-sdf.service - File System Check on /dev/sdf.",
            "Cannot open access to console, the root account is locked.",
        ],
        Mounts,
        "systemd-fsck",
    ),
    (&["[FAILED] Failed to start File System Check on /dev/sdf.", EMERGENCY], Mounts, "/dev/sdf"),
    (&["/dev/sdf: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.", EMERGENCY], Mounts, "MANUALLY"),
    (&["*** An error occurred during the file system check."], Mounts, "An error"),
    (
        &[
            "Gave up waiting for /usr file system device.",
            "ALERT!  UUID=2 does not exist.  Dropping to a shell!",
        ],
        Mounts,
        "/usr",
    ),
];

const FALLBACK: &str = "Failed to boot both default and fallback entries.";
const NO_VFS: &str = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";
const NOT_WORKING: &str = "Kernel panic - not syncing: No working init found.  Try passing init= option";
const PANIC: &str = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00";
const DRACUT_SHELL: &str = "Entering emergency mode. Exit the shell to continue.";
const FREEZING: &str = "systemd[1]: Freezing execution.";
const RESCUE: &str = "You are in rescue mode. After logging in, type \"journalctl -xb\" to view";
const EMERGENCY: &str = "You are in emergency mode. After logging in, type \"journalctl -xb\" to view";

/// Machines that say no last word: they wait for a key, or end.
pub(crate) const WAITS: &[Boot] = &[
    (&["Linux version 6.1", "Gave up waiting for root file system device."], Root, "Gave up"),
    (&["GRUB loading.."], Loader, "GRUB loading"),
    (
        &["GNU GRUB version 2.06", "      Press enter to boot the selected OS, `e' to edit the commands"],
        Menu,
        "Press enter",
    ),
    (&["GRUB Loading stage2..", "Error 17: Cannot mount selected partition"], Menu, "Error 17"),
    (&["Error 21: Selected disk does not exist"], Menu, "Error 21"),
    (&["Error 22: No such partition"], Menu, "Error 22"),
    (&["Error 23: Error while parsing number"], Menu, "Error 23"),
    (&["Error 25: Disk read error"], Menu, "Error 25"),
    (&["Error 15: File not found", "Press any key to continue..."], Kernel, "Error 15"),
    (&["Error 13: Invalid or unsupported executable format"], Kernel, "Error 13"),
    (&["Error 16: Inconsistent filesystem structure"], Kernel, "Error 16"),
    (&["Error 28: Selected item cannot fit into memory"], Kernel, "Error 28"),
    (&["Error 8: Kernel must be loaded before booting"], Kernel, "Error 8"),
    (&["Could not find kernel image: linux", "boot:"], Kernel, "kernel image"),
    (&["Could not find ramdisk image: /initrd", "boot:"], Initramfs, "ramdisk"),
    (&["Invalid or corrupt kernel image."], Kernel, "corrupt"),
    (&["[  OK  ] Reached target multi-user.target - Multi-User System."], Login, "multi-user"),
    (&["[  OK  ] Reached target graphical.target - Graphical Interface."], Login, "graphical"),
    (&["[  OK  ] Reached target Multi-User System."], Login, "Multi-User"),
    (&["[  OK  ] Reached target Graphical Interface."], Login, "Graphical"),
];

/// Machines that reset themselves or power off.
pub(crate) const ENDS: &[Boot] = &[
    (
        &[
            "Linux version 6.1",
            "Gave up waiting for root file system device.",
            "Rebooting automatically due to panic= boot argument",
        ],
        Root,
        "Gave up",
    ),
    (&["Linux version 6.1", "Rebooting automatically due to panic= boot argument"], Root, "Rebooting"),
    (&["Linux version 6.1"], Kernel, "kernel"),
    (&["GRUB loading", "Booting `Debian'"], Kernel, "menu"),
    (
        &["Welcome to Debian GNU/Linux 12 (bookworm)!", "[   41.3] reboot: Restarting system"],
        Target,
        "Restarting",
    ),
    (&["Welcome to Debian GNU/Linux 12 (bookworm)!", "[   41.3] reboot: Power down"], Target, "Power down"),
    (&["Run /init as init process", "[   41.3] reboot: System halted"], Initramfs, "halted"),
    (
        &[
            "Welcome to Debian GNU/Linux 12 (bookworm)!",
            "[FAILED] Failed to start serial-getty@ttyS0.service",
            "[   41.3] reboot: Power down",
        ],
        Login,
        "serial-getty",
    ),
    (&["[FAILED] Failed to start Serial Getty on ttyS0.", "reboot: Power down"], Login, "Serial Getty"),
    (&["INIT: Id \"S0\" respawning too fast: disabled for 5 minutes", "reboot: Power down"], Login, "S0"),
];
