//! What the kernel and the initramfs say they cannot do, as far as the root.

use super::{Symptom, at, from_here};
use crate::bootwalk::HopKind::{Init, Initramfs, Kernel, Mounts, Root};
use crate::rule::Source;

const LINUX: Source = Source::new("Linux", "init/do_mounts.c, init/main.c, init/initramfs.c", "2026-11");
const INITRAMFS_TOOLS: Source = Source::new("initramfs-tools", "init, scripts/local", "2026-11");
const DRACUT: Source = Source::new("dracut", "modules.d/99base", "2026-11");
const SYSTEMD: Source = Source::new("systemd", "units/initrd-root-fs.target", "2026-11");
const AZURE: Source = Source::new("Microsoft Learn", "Linux VM boot issues by Hyper-V drivers", "2026-11");
const LVM: Source = Source::new("LVM2", "lib/device/device_id.c, lvmdevices(8)", "2026-11");
const NVME: Source = Source::new("Linux", "drivers/nvme/host/pci.c", "2026-11");

/// What it means that the root is not there.
pub const NO_ROOT: &str =
    "the root device is not there: its driver is not in the initramfs, or root= names another device";

const ROOT: Symptom = at(Root, 1, NO_ROOT).see(
    &[
        "linux.initramfs.hyperv",
        "linux.kernel.hyperv",
        "linux.modprobe.blacklist",
        "linux.grub.root-device",
        "linux.initramfs.waits",
        "linux.initramfs.lvm",
    ],
    "refloat migrate puts the drivers of Hyper-V into every initramfs and names the root by UUID: check the \
     disk as it was on AWS, and migrate it anew",
    INITRAMFS_TOOLS,
);
const NOT_MOUNTED: Symptom = at(Root, 4, "the root file system cannot be mounted").see(
    &["disk.filesystem-state", "linux.grub.root-device", "linux.fstab.device-names"],
    "repair a copy with the file system's own program, and compare rootfstype= and rootflags= with refloat \
     inspect IMAGE",
    DRACUT,
);
const NO_INITRAMFS: Symptom = at(Root, 3, "the kernel was started without an initramfs that finds the root")
    .see(
        &["linux.grub.initrdless", "linux.grub.root-device", "linux.initramfs.hyperv", "linux.kernel.hyperv"],
        "see that the menu entry has an initrd line, and that its file is whole: refloat check names both",
        LINUX,
    );
const BROKEN: Symptom = at(Initramfs, 4, "the initramfs has no /init that can be started").see(
    &["linux.initramfs.hyperv"],
    "make it anew on the machine (update-initramfs -u, or dracut -f), then take a new snapshot",
    LINUX,
);
const NO_INIT: Symptom = at(Init, 3, super::NO_INIT).see(&[], super::WALK_INIT, LINUX);
const SHELL: Symptom = Symptom { why: "the initramfs opened its shell", ..ROOT };

/// What any line may tell.
pub(super) static TABLE: &[Symptom] = &[
    at(Kernel, 3, "the kernel's file cannot be unpacked: it is damaged")
        .see(
            &[],
            "reinstall the package of the kernel on the machine, then take a new snapshot",
            Source::new("Linux", "arch/x86/boot/compressed/misc.c", "2026-11"),
        )
        .ends(&["-- System halted"]),
    Symptom {
        why: "the initramfs is damaged, or compressed in a way that this kernel cannot read",
        hints: &["Initramfs unpacking failed", "rootfs image is not initramfs"],
        ..BROKEN
    },
    BROKEN.hints(&["Failed to execute /init (error", "check access for rdinit=/init failed"]),
    NO_INITRAMFS.hints(&["VFS: Cannot open root device"]),
    Symptom {
        worth: 2,
        ends: &["VFS: Unable to mount root fs", "VFS: Unable to open root device"],
        ..NO_INITRAMFS
    },
    NO_INIT.hints(&["exists but couldn't execute it", "Failed to execute /sbin/init (error"]),
    Symptom {
        worth: 2,
        ends: &[
            "not syncing: No working init found",
            "not syncing: No init found",
            "not syncing: Requested init ",
        ],
        ..NO_INIT
    },
    Symptom {
        worth: 1,
        why: "the first program ended, and the kernel panicked",
        ends: &["not syncing: Attempted to kill init!"],
        ..NO_INIT
    },
    from_here(1, "the kernel panicked")
        .see(
            &["linux.kernel.hyperv", "linux.grub.numa"],
            "read the lines above it: what the kernel lacks is there, and is a symptom of its own",
            LINUX,
        )
        .ends(&["Kernel panic - not syncing"]),
    // The devices of Hyper-V.
    at(
        Root,
        2,
        "the kernel does not come to an understanding with the host, so that no disk and no card appear",
    )
    .see(
        &["linux.kernel.hyperv"],
        "start another kernel of the machine's; one that is older than Hyper-V's drivers has to be upgraded",
        Source::new("Linux", "drivers/hv/connection.c", "2026-11"),
    )
    .tells(&["hv_vmbus: Unable to connect to host"]),
    at(Root, 2, "an NVMe disk does not answer in time")
        .see(
            &["linux.grub.stale-arguments", "linux.initramfs.hyperv"],
            "attach the disks by SCSI, or see that the kernel and the initramfs have nvme and pci-hyperv and \
             that nvme_core.io_timeout is long enough",
            NVME,
        )
        .tells(&["nvme nvme0: I/O 12 QID 0 timeout", "(I/O Cmd) QID 2 timeout", "(Admin Cmd) QID 0 timeout"]),
    // The initramfs on its way to the root.
    at(Initramfs, 2, "a part of the initramfs is missing")
        .see(
            &[],
            "make it anew on the machine (update-initramfs -u, or dracut -f), then take a new snapshot",
            INITRAMFS_TOOLS,
        )
        .hints(&["/init: "]),
    ROOT.hints(&["Gave up waiting for root", "Could not boot."]),
    Symptom {
        worth: 2,
        source: AZURE,
        hints: &["dracut-initqueue timeout", "Cannot process volume group"],
        tells: &["Volume group \"rootvg\" not found"],
        ..ROOT
    },
    Symptom {
        worth: 3,
        source: DRACUT,
        tells: &["Warning: /dev/mapper/rootvg-rootlv does not exist"],
        ..ROOT
    },
    Symptom {
        worth: 2,
        source: SYSTEMD,
        hints: &["Dependency failed for Initrd Root", "Dependency failed for initrd-root"],
        ..ROOT
    },
    Symptom { worth: 3, ends: &["ALERT!"], ..ROOT },
    at(Root, 2, "LVM does not look at the disk: its filter or its list of devices is that of EC2")
        .see(
            &["linux.lvm.filters", "linux.initramfs.lvm"],
            "refloat migrate mends both, in the system and in the initramfs",
            LVM,
        )
        .tells(&["Devices file PVID K1LP093K last seen on", "Devices file sys_wwid"]),
    at(Root, 2, "a disk of a volume group is missing")
        .see(
            &["disk.whole"],
            "give refloat all disks of the machine with --disk, and attach all of them",
            LVM,
        )
        .tells(&["WARNING: Couldn't find device with uuid"]),
    at(
        Initramfs,
        1,
        "the initramfs waits for a device to resume from, which is not there: the boot goes on later",
    )
    .see(&["linux.initramfs.resume"], "refloat migrate takes the device out", INITRAMFS_TOOLS)
    .tells(&["Gave up waiting for suspend/resume device"]),
    at(Mounts, 4, "the file system of /usr is not there, and the system cannot start without it")
        .see(
            &["linux.fstab.device-names", "linux.initramfs.hyperv"],
            "name it by UUID in /etc/fstab: refloat migrate does, where its volume is on the machine's disks",
            INITRAMFS_TOOLS,
        )
        .hints(&["Gave up waiting for /usr"]),
    NOT_MOUNTED.hints(&[
        " on /root failed:",
        "as root file system",
        "Can't mount root filesystem",
        "Failed to mount /sysroot",
    ]),
    Symptom {
        hints: &[
            "Failed to mount sysroot.mount",
            "Dependency failed for sysroot.mount",
            "Mounting root: failed",
        ],
        tells: &["mount: /sysroot: wrong fs type, bad option, bad superblock"],
        ..NOT_MOUNTED
    },
    Symptom {
        why: "the root file system has errors that fsck does not mend by itself",
        rules: &["disk.filesystem-state"],
        advice: "run fsck on a copy, or on the machine before the next snapshot",
        hints: &["File system check of the root filesystem failed", "requires a manual fsck"],
        source: INITRAMFS_TOOLS,
        ..NOT_MOUNTED
    },
    Symptom {
        worth: 4,
        why: "the command line names no root that the initramfs understands",
        rules: &["linux.grub.root-device"],
        hints: &["No root device specified", "Don't know how to handle 'root="],
        ..ROOT
    },
    Symptom {
        worth: 4,
        why: "the command line names no root",
        rules: &["linux.grub.root-device"],
        ends: &["No or empty root= argument"],
        source: DRACUT,
        ..ROOT
    },
    Symptom {
        why: "the initramfs gave up, and reboots for ever",
        hints: &["Rebooting automatically due to panic="],
        ..ROOT
    },
    Symptom {
        hints: &["Generating \"/run/initramfs/rdsosreport.txt\"", "dracut: Refusing to continue"],
        source: DRACUT,
        ..SHELL
    },
    at(Initramfs, 2, "the initramfs was told to stop: break= or rd.break on the command line")
        .see(
            &[],
            "take break= or rd.break out of the menu entry and /etc/default/grub on the machine",
            INITRAMFS_TOOLS,
        )
        .hints(&["Spawning shell within the initramfs", "Warning: Break before ", "Warning: Break pre-"]),
    SHELL.ends(&[
        "(initramfs)",
        "dracut:/#",
        "Entering emergency mode. Exit the shell",
        "initramfs emergency recovery shell launched",
    ]),
    at(Root, 3, "a volume is encrypted, and its passphrase is asked for")
        .see(
            &["linux.crypttab", "linux.tpm"],
            "decrypt it before the move, or type the passphrase at the serial console of Azure",
            Source::new("cryptsetup", "crypttab(5), initramfs hooks", "2026-11"),
        )
        .ends(&["Please unlock disk", "nter passphrase for"]),
];
