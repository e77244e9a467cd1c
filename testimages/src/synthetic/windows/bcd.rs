//! The store of boot configuration data: a hive of objects with elements (*BCD WMI provider classes*,
//! Microsoft Learn).

use anyhow::Result;

use super::hive;
use super::reg::Reg;

/// A partition as the store names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Partition {
    /// By the signature of a DOS table and the byte that it starts at.
    Mbr { signature: u32, start: u64 },
    /// By the GUIDs of disk and partition, as they stand on the disk.
    Gpt { disk: [u8; 16], partition: [u8; 16] },
}

/// The 88 bytes of a device element: no options, a partition, and which.
fn device(partition: Partition) -> Vec<u8> {
    let mut out = vec![0; 88];
    out[0x10..0x14].copy_from_slice(&6_u32.to_le_bytes());
    out[0x18..0x1c].copy_from_slice(&0x48_u32.to_le_bytes());
    match partition {
        Partition::Mbr { signature, start } => {
            out[0x20..0x28].copy_from_slice(&start.to_le_bytes());
            out[0x34..0x38].copy_from_slice(&1_u32.to_le_bytes());
            out[0x38..0x3c].copy_from_slice(&signature.to_le_bytes());
        }
        Partition::Gpt { disk, partition } => {
            out[0x20..0x30].copy_from_slice(&partition);
            out[0x38..0x48].copy_from_slice(&disk);
        }
    }
    out
}

const BOOTMGR: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
const DEFAULT: &str = "{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}";
const EMS: &str = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}";
const GLOBAL: &str = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}";
const LOADER_SETTINGS: &str = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}";
const MEMTEST: &str = "{b2721d73-1db4-4c62-bf78-c548a880142d}";

/// A store whose default entry starts the Windows on `windows`; bootmgr itself is on `system`.
pub(super) fn make(
    minor: u32,
    uefi: bool,
    system: Partition,
    windows: Partition,
    title: &str,
) -> Result<Vec<u8>> {
    let mut reg = Reg::default();
    reg.text("Description", "KeyName", "BCD00000000");
    reg.dword("Description", "System", 1);
    reg.dword("Description", "TreatAsSystem", 1);
    let object = |reg: &mut Reg, name: &str, kind: u32| {
        reg.dword(&format!("Objects\\{name}\\Description"), "Type", kind);
        reg.key(&format!("Objects\\{name}\\Elements"));
    };
    let at = |name: &str, element: &str| format!("Objects\\{name}\\Elements\\{element}");
    object(&mut reg, BOOTMGR, 0x1010_0002);
    object(&mut reg, DEFAULT, 0x1020_0003);
    object(&mut reg, EMS, 0x2010_0000);
    object(&mut reg, GLOBAL, 0x2010_0000);
    object(&mut reg, LOADER_SETTINGS, 0x2020_0003);
    object(&mut reg, MEMTEST, 0x1020_0005);

    let (manager, loader, tester) = match uefi {
        true => {
            ("\\EFI\\Microsoft\\Boot\\bootmgfw.efi", "winload.efi", "\\EFI\\Microsoft\\Boot\\memtest.efi")
        }
        false => ("\\bootmgr", "winload.exe", "\\Boot\\memtest.exe"),
    };
    reg.binary(&at(BOOTMGR, "11000001"), "Element", &device(system));
    if uefi {
        reg.text(&at(BOOTMGR, "12000002"), "Element", manager);
    }
    reg.text(&at(BOOTMGR, "12000004"), "Element", "Windows Boot Manager");
    reg.text(&at(BOOTMGR, "12000005"), "Element", "en-US");
    reg.texts(&at(BOOTMGR, "14000006"), "Element", &[GLOBAL]);
    reg.text(&at(BOOTMGR, "23000003"), "Element", DEFAULT);
    reg.texts(&at(BOOTMGR, "24000001"), "Element", &[DEFAULT]);
    reg.texts(&at(BOOTMGR, "24000010"), "Element", &[MEMTEST]);
    reg.binary(&at(BOOTMGR, "25000004"), "Element", &30_u64.to_le_bytes());

    reg.binary(&at(DEFAULT, "11000001"), "Element", &device(windows));
    reg.text(&at(DEFAULT, "12000002"), "Element", &format!("\\Windows\\system32\\{loader}"));
    reg.text(&at(DEFAULT, "12000004"), "Element", title);
    reg.text(&at(DEFAULT, "12000005"), "Element", "en-US");
    reg.texts(&at(DEFAULT, "14000006"), "Element", &[LOADER_SETTINGS]);
    reg.binary(&at(DEFAULT, "21000001"), "Element", &device(windows));
    reg.text(&at(DEFAULT, "22000002"), "Element", "\\Windows");
    reg.binary(&at(DEFAULT, "25000020"), "Element", &1_u64.to_le_bytes()); // nx OptOut

    reg.binary(&at(EMS, "16000020"), "Element", &[0]);
    reg.texts(&at(GLOBAL, "14000006"), "Element", &[EMS]);
    reg.texts(&at(LOADER_SETTINGS, "14000006"), "Element", &[GLOBAL]);
    reg.binary(&at(MEMTEST, "11000001"), "Element", &device(system));
    reg.text(&at(MEMTEST, "12000002"), "Element", tester);
    hive::make("BCD", minor, &reg)
}
