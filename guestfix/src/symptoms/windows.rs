//! What Windows and its boot manager say they cannot do: on the serial console (with Emergency Management
//! Services on), and on the screen that Azure's boot diagnostics show. No Windows was booted to see them: no verdict
//! hangs on them.

use super::{Symptom, at};
use crate::bootwalk::HopKind::{Firmware, Init, Kernel, Loader, Login, Menu, Root};
use crate::rule::Source;

const fn learn(article: &'static str) -> Source {
    Source::new("Microsoft Learn, troubleshoot Azure virtual machines", article, "2026")
}

const WALK: &str = "refloat check follows the start from the firmware to the drivers of the disk, and names what is \
                    missing or damaged: mend it on the machine, then take a new snapshot";
const DRIVERS: &[&str] = &[
    "windows.drivers.boot-start",
    "windows.drivers.filters",
    "windows.drivers.present",
    "windows.drivers.nvme",
    "windows.drivers.critical-devices",
    "windows.system.host-devices",
];

/// What any line may tell.
pub(super) static TABLE: &[Symptom] = &[
    at(Root, 4, "Windows has no driver for the disk that it is on (stop code 0x7B)")
        .tells(&["INACCESSIBLE_BOOT_DEVICE", "INACCESSIBLE BOOT DEVICE", "0x0000007B", "0x0000007b"])
        .see(
            DRIVERS,
            "refloat migrate has the loader start the drivers of Hyper-V, and takes out filters of Xen; run it on \
             the snapshot again",
            learn("Windows stop error 0x0000007B inaccessible boot device"),
        ),
    at(Root, 4, "the file system of the Windows volume cannot be read (stop code 0xED)")
        .tells(&["UNMOUNTABLE_BOOT_VOLUME", "0x000000ED", "0x000000ed"])
        .see(&["disk.filesystem-state"], WALK, learn("Unmountable boot volume")),
    at(Menu, 4, "the boot configuration names a disk or partition that is not there (0xc000000e)")
        .tells(&["0xc000000e", "0xC000000E"])
        .see(
            &[],
            "the disk's signature or GUID, or the partition's, is another than the boot configuration names: refloat \
             check says which; run bcdboot C:\\Windows on the machine, then take a new snapshot",
            learn("Boot error 0xC000000E"),
        ),
    at(Menu, 4, "the boot configuration is missing or damaged (0xc000000f, 0xc0000098, 0xc0000034)")
        .tells(&["0xc000000f", "0xC000000F", "0xc0000098", "0xC0000098", "0xc0000034", "0xC0000034", "The Boot Configuration Data for your PC is missing or contains errors",
            "The Windows Boot Configuration Data file from the PC does not contain a valid OS entry",
        ])
        .see(&[], WALK, learn("Boot configuration data errors")),
    at(Kernel, 4, "the loader, the kernel or a hive that Windows starts with is missing or damaged (0xc0000225)")
        .tells(&["0xc0000225", "0xC0000225", "0xc000014c", "0xC000014C", "0xc0000428", "0xC0000428", "The operating system couldn't be loaded because a required file is missing or contains errors",
            "The operating system couldn't be loaded because a critical system driver is missing or contains errors",
            "Windows cannot verify the digital signature for this file",
        ])
        .see(&["windows.drivers.present"], WALK, learn("Error code 0xC0000225 status not found")),
    at(Loader, 3, "the active partition has no boot manager")
        .tells(&["BOOTMGR is missing", "BOOTMGR is compressed", "BOOTMGR image is corrupt", "Remove disks or other media"])
        .see(&["target.firmware"], WALK, learn("BOOTMGR is missing")),
    at(Firmware, 3, "the firmware finds no operating system")
        .tells(&["An operating system wasn't found", "No operating system was loaded"])
        .see(
            &["windows.boot.fallback-loader", "target.firmware"],
            "refloat check says which generation the disk is for, and migrate puts the loader where firmware without \
             boot entries looks",
            learn("An operating system wasn't found"),
        ),
    at(Loader, 2, "the sector that starts the active partition cannot read the disk")
        .tells(&["A disk read error occurred"])
        .see(&["disk.partition-table"], WALK, learn("Disk read error occurred")),
    at(Init, 3, "Windows waits at its recovery, at a screen that nobody sees")
        .tells(&[
            "Preparing Automatic Repair",
            "Diagnosing your PC",
            "Automatic Repair couldn't repair your PC",
            "Startup Repair cannot repair this computer automatically",
        ])
        .see(
            &["windows.boot.recovery"],
            "refloat migrate turns the recovery off and has failures ignored; what failed first is told by the boot \
             walk",
            learn("Boot to recovery"),
        ),
    at(Init, 2, "Windows is busy with updates that were begun before the move")
        .tells(&[
            "Getting Windows ready, Don't turn off your computer",
            "We couldn't complete the updates, Undoing changes",
            "Failure configuring Windows updates, Reverting changes",
        ])
        .see(
            &["windows.system.pending-updates"],
            "give it time: it may take an hour; better restart the guest where it runs until nothing is pending, and \
             take a new snapshot",
            learn("Startup is stuck on Windows Update"),
        ),
    at(Root, 3, "the disk is encrypted by BitLocker, and asks for its key")
        .tells(&["Enter the recovery key to get going again", "Plug in the USB drive that has the BitLocker key"])
        .see(
            &[],
            "turn BitLocker off on the machine (manage-bde -off C:), wait until it has decrypted the disk, then take a \
             new snapshot",
            learn("BitLocker boot errors"),
        ),
    at(Login, 2, "the password of the machine in its domain is not the one that the domain has")
        .tells(&["The trust relationship between this workstation and the primary domain failed"])
        .see(
            &["windows.system.domain-controller"],
            "the machine was copied while the old one went on: join it to the domain anew (Test-ComputerSecureChannel \
             -Repair)",
            learn("Trust relationship fails"),
        ),
];
