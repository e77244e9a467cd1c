//! Which firmware a disk has been made for, as far as its partition table tells.
//!
//! The files on the EFI system partition are another matter: who looks at file systems looks at them.

use block::{Disk, Result};

use crate::mbr::Mbr;
use crate::{Kind, PartitionTable};

/// What speaks for each kind of firmware.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firmware {
    /// The disk boots on a BIOS (Azure generation 1).
    pub bios: Evidence,
    /// The disk boots on UEFI (Azure generation 2).
    pub uefi: Evidence,
}

impl Firmware {
    /// Whether both are likely.
    pub fn is_hybrid(&self) -> bool {
        self.bios.likely && self.uefi.likely
    }
}

/// What was found for one kind of firmware.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// It is enough to expect a boot.
    pub likely: bool,
    /// Everything that was found, for people: "boot code of GRUB in the MBR".
    pub found: Vec<String>,
}

impl Evidence {
    fn add(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }
}

/// What the boot code of an MBR is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BootCode {
    None,
    /// Loads its next stage from a fixed place, whatever the partitions say.
    Grub,
    /// Loads the first sector of the active partition, most likely.
    Other,
}

impl BootCode {
    fn of(code: &[u8; 440]) -> Self {
        if code.iter().all(|byte| *byte == 0) {
            Self::None
        } else if code.windows(5).any(|text| text == b"GRUB ") {
            Self::Grub
        } else {
            Self::Other
        }
    }
}

/// Reads what `disk`, whose partition table is `table`, has been made for.
///
/// # Errors
/// What the device reports.
pub fn firmware(disk: &Disk, table: &PartitionTable) -> Result<Firmware> {
    let mut firmware = Firmware::default();
    for partition in table.partitions.iter().filter(|partition| partition.partition_type.is_esp()) {
        firmware.uefi.likely = true;
        firmware.uefi.add(format!("EFI system partition {}", partition.number));
    }

    let code = Mbr::read(disk)?.map_or(BootCode::None, |mbr| BootCode::of(mbr.boot_code()));
    let bios = &mut firmware.bios;
    match code {
        BootCode::None => {}
        BootCode::Grub => bios.add("boot code of GRUB in the MBR"),
        BootCode::Other => bios.add("boot code in the MBR"),
    }
    let core = table.partitions.iter().find(|partition| partition.partition_type.is_bios_boot());
    if let Some(partition) = core {
        bios.add(format!("BIOS boot partition {}", partition.number));
    }
    let active = table.partitions.iter().find(|partition| partition.active);
    if let Some(partition) = active {
        bios.add(format!("partition {} is active", partition.number));
    }
    bios.likely = match (code, &table.kind) {
        (BootCode::None, _) => false,
        // GRUB's next stage is in the gap after an MBR, or in the BIOS boot partition of a GPT.
        (BootCode::Grub, Kind::Gpt { .. }) => core.is_some(),
        (BootCode::Grub, _) => true,
        (BootCode::Other, _) => active.is_some(),
    };
    Ok(firmware)
}
