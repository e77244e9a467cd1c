//! How a Windows guest sees the devices of a platform: services of its registry and files of its drivers.

use super::Firmware;

/// The drivers by which Windows sees the platform's devices, by the names of their services.
#[derive(Debug)]
pub struct WindowsDrivers {
    /// Without these no disk is found; the loader has to start them.
    pub vital: &'static [&'static str],
    /// What a start by BIOS needs beside them: the controller that the boot loader sees.
    pub bios: &'static [&'static str],
    /// Drivers of the platform that the loader starts where there are any.
    pub wanted: &'static [&'static str],
    /// The files of the vital ones and of those for BIOS, below `System32\drivers`.
    pub files: &'static [&'static str],
    /// As above.
    pub bios_files: &'static [&'static str],
    /// What a machine with NVMe disks needs.
    pub nvme: &'static [&'static str],
    /// The network card.
    pub network: &'static str,
}

impl WindowsDrivers {
    /// Without these a machine with this firmware finds no disk.
    pub fn vital_for(&self, firmware: Firmware) -> Vec<&'static str> {
        let bios = if firmware == Firmware::Bios { self.bios } else { &[] };
        self.vital.iter().chain(bios).copied().collect()
    }

    /// All services by which the platform is seen.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        let lists = [self.vital, self.bios, self.wanted, self.nvme];
        lists.into_iter().flatten().copied().chain([self.network])
    }

    /// The files of those.
    pub fn files_for(&self, firmware: Firmware) -> Vec<&'static str> {
        let bios = if firmware == Firmware::Bios { self.bios_files } else { &[] };
        self.files.iter().chain(bios).copied().collect()
    }
}

/// The devices of Hyper-V, in the box since 2008 R2 (AzMigrate-Hydration 4337598c, `RecoveryHelpers.cpp`,
/// 2026; Azure/repair-script-library #156, 2026; SAP-on-Azure-Scripts-and-Utilities #147, 2026).
pub(super) const HYPER_V: WindowsDrivers = WindowsDrivers {
    vital: &["vmbus", "storvsc"],
    bios: &["intelide", "atapi"],
    wanted: &["storflt", "pciide", "storahci", "vdrvroot", "bttflt"],
    files: &["vmbus.sys", "storvsc.sys", "vmstorfl.sys"],
    bios_files: &["intelide.sys", "pciidex.sys", "atapi.sys", "ataport.sys"],
    nvme: &["stornvme", "pci", "vpci"],
    network: "netvsc",
};
