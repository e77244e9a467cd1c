//! What firmware and boot loaders say they cannot do.

use super::{GRUB_2, Symptom, at, from_here};
use crate::bootwalk::HopKind::{Firmware, Initramfs, Kernel, Loader, Menu};
use crate::rule::Source;

const SEABIOS: Source = Source::new("SeaBIOS", "src/boot.c", "2026-11");
const MBR: Source = Source::new("SYSLINUX", "mbr/", "2026-11");
const EDK: Source = Source::new("EDK II", "MdeModulePkg/Universal/BdsDxe", "2026-11");
const HYPER_V: Source = Source::new("Microsoft Learn", "Azure Linux VM UEFI boot failures", "2026-11");
const SHIM: Source = Source::new("shim", "shim.c", "2026-11");
const SYSLINUX: Source = Source::new("SYSLINUX", "core/, com32/", "2026-11");
const GRUB_LEGACY: Source = Source::new("GRUB Legacy", "stage2/common.c", "2026-11");
const SYSTEMD_BOOT: Source = Source::new("systemd", "src/boot/efi/boot.c", "2026-11");
const EFI_STUB: Source = Source::new("Linux", "drivers/firmware/efi/libstub", "2026-11");

const WALK: &str = "refloat check follows the boot file by file, and names the one that is missing or damaged: \
                    put it back on the machine, then take a new snapshot";
const REINSTALL: &str =
    "install GRUB anew on the machine (grub-install, or the package again), then take a new snapshot";

const NOTHING: Symptom =
    at(Firmware, 2, "the firmware finds nothing to start: no boot code in the disk's first sector").see(
        &["target.firmware", "target.paravirtual"],
        "make the disk one of the generation that its boot loader is for: refloat check says which one",
        SEABIOS,
    );
const NO_LOADER: Symptom =
    at(Firmware, 2, "the firmware finds no EFI boot loader (\\EFI\\BOOT\\BOOTX64.EFI)").see(
        &["linux.esp.fallback-loader", "target.firmware"],
        "boot entries do not travel with the disk: refloat migrate puts the loader where firmware without \
         entries looks; a disk without an EFI partition is for generation 1",
        EDK,
    );
const NO_KERNEL: Symptom = at(Kernel, 2, "the kernel that the menu names is not there, or cannot be started")
    .see(&[], WALK, EFI_STUB);
const NO_INITRD: Symptom = at(Initramfs, 4, "the initramfs that the menu names is not there").see(
    &["linux.grub.initrdless"],
    WALK,
    EFI_STUB,
);
const SYSLINUX_PARTS: Symptom = at(Loader, 2, "SYSLINUX cannot load its own parts").see(&[], WALK, SYSLINUX);

/// What any line may tell.
pub(super) static TABLE: &[Symptom] = &[
    Symptom {
        ends: &["No bootable device"],
        tells: &["Reboot and Select proper Boot device"],
        ..NOTHING
    },
    Symptom {
        worth: 3,
        why: "the disk has no boot code in its first sector",
        hints: &["Boot failed: not a bootable disk", "Boot failed: could not read the boot disk"],
        ..NOTHING
    },
    Symptom {
        why: "the boot code in the first sector finds no partition to start",
        ends: &[
            "Missing operating system",
            "Missing OS",
            "Operating system load error",
            "Error loading operating system",
            "Invalid partition table",
            "This is not a bootable disk",
        ],
        source: MBR,
        ..NOTHING
    },
    Symptom {
        worth: 1,
        why: "the firmware cannot start a boot option",
        hints: &["BdsDxe: failed to load Boot", "BdsDxe: failed to start Boot"],
        ..NO_LOADER
    },
    Symptom {
        ends: &["BdsDxe: No bootable option or device was found", "UEFI Interactive Shell"],
        ..NO_LOADER
    },
    Symptom {
        tells: &["The boot loader did not load an operating system", "No operating system was loaded"],
        source: HYPER_V,
        ..NO_LOADER
    },
    at(Firmware, 3, "Secure Boot refuses the boot loader: it is not signed by who Azure trusts")
        .see(
            &["target.secure-boot"],
            "create the virtual machine with securityType Standard, or with Secure Boot off",
            HYPER_V,
        )
        .tells(&["image's hash is not allowed"]),
    at(Firmware, 3, "the generation of the disk and the size of the virtual machine do not go together")
        .see(
            &["target.firmware"],
            "create the disk with the generation that refloat check --for says ready for, and choose a size of it",
            Source::new("Microsoft Learn", "Generation 2 virtual machines", "2026-11"),
        )
        .tells(&["cannot boot Hypervisor Generation"]),
    from_here(2, "Azure does not take the file as a disk: it is no fixed VHD of a whole number of MiB")
        .see(
            &["disk.size-mib", "disk.size-limit"],
            "refloat migrate and refloat convert write such a VHD; refloat verify says what is wrong with another",
            Source::new("Microsoft Learn", "Prepare a Linux VHD, resizing VHDs", "2026-11"),
        )
        .tells(&[
            "The size must be a whole number (in MBs)",
            "unsupported virtual hard disk",
            "cookie value in VHD footer",
        ]),
    // What the firmware starts.
    at(Loader, 3, "shim cannot start its second stage").see(&[], WALK, SHIM).hints(&[
        "start_image() returned",
        "Failed to load image",
        "Failed to open \\EFI\\",
        "Verification failed: (0x",
        "Security Violation",
        "Security Policy Violation",
        "import_mok_state() failed",
        "Could not find boot options",
    ]),
    at(Loader, 2, "GRUB's boot code cannot read its core image")
        .see(&[], REINSTALL, GRUB_2)
        .ends(&["GRUB Hard Disk Error", "GRUB Geom Error", "GRUB Read Error"]),
    at(Loader, 1, "GRUB cannot load its modules")
        .see(&["linux.boot.next-upgrade"], REINSTALL, GRUB_2)
        .ends(&["grub rescue>"]),
    at(Loader, 2, "GRUB ended itself")
        .see(&[], REINSTALL, GRUB_2)
        .ends(&["alloc magic is broken", "Aborted. Press any key to exit"]),
    SYSLINUX_PARTS.ends(&["Failed to load ldlinux", "Boot error", "Failed to load COM32 file"]),
    // A menu that starts an entry by itself says so next.
    at(Menu, 1, "the menu waits for a key: it has no timeout")
        .see(&["linux.grub.serial-menu"], "set GRUB_TIMEOUT on the machine, then take a new snapshot", GRUB_2)
        .hints(&["Press enter to boot the selected OS"]),
    at(Menu, 2, "GRUB starts its default entry only for who has a password")
        .see(
            &[],
            "add --unrestricted to the default entry on the machine, then take a new snapshot",
            GRUB_2,
        )
        .ends(&["Enter username:"]),
    at(Menu, 1, "GRUB finds no configuration")
        .see(&["linux.esp.fallback-loader"], WALK, GRUB_2)
        .ends(&["Minimal BASH-like line editing"]),
    at(Menu, 1, "GRUB cannot start the kernel it was told to")
        .see(&[], WALK, GRUB_2)
        .ends(&["Failed to boot both default and fallback entries"]),
    at(Menu, 2, "SYSLINUX finds no configuration")
        .see(&[], WALK, SYSLINUX)
        .ends(&["No DEFAULT or UI configuration directive found", "ERROR: No configuration file found"]),
    at(Menu, 3, "systemd-boot finds no entry")
        .see(&[], WALK, SYSTEMD_BOOT)
        .hints(&["No loader found. Configuration files in"]),
    at(Menu, 2, "GRUB cannot read the partition that it was told to")
        .see(&["target.paravirtual"], WALK, GRUB_LEGACY)
        .hints(&["Error 22: ", "Error 17: ", "Error 21: ", "Error 23: ", "Error 25: "]),
    at(Kernel, 2, "GRUB does not find the kernel or the initramfs, or cannot load it")
        .see(&[], WALK, GRUB_LEGACY)
        .hints(&["Error 15: ", "Error 13: ", "Error 16: ", "Error 8: ", "Error 28: "]),
    NO_KERNEL.hints(&[
        "Could not find kernel image:",
        "Invalid or corrupt kernel image",
        "Error loading EFI binary",
        "Error loading \\",
        "EFI stub: ERROR: ",
    ]),
    NO_INITRD.hints(&[
        "EFI stub: ERROR: Failed to load initrd",
        "EFI stub: ERROR: Failed to open file:",
        "Could not find ramdisk image:",
        "Error preparing initrd:",
    ]),
];
