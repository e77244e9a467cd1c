//! Hyper-V on a host of one's own: Windows Server, Azure Local, Windows. The devices are those of Azure; what
//! the cloud adds around them (its agent, its data source, its limits, its temporary disk) is not there.

use super::{Firmware, Limit, Platform, Target, azure};
use crate::rule::Source;

/// Generation 1: BIOS and an emulated IDE disk.
pub static GEN1: Target = Target {
    id: "hyperv-gen1",
    name: "Hyper-V generation 1 (Windows Server, Azure Local): BIOS",
    firmware: Firmware::Bios,
    secure_boot: false,
    platform: &HYPERV,
};

/// Generation 2: UEFI and VMBus SCSI.
pub static GEN2: Target = Target {
    id: "hyperv-gen2",
    name: "Hyper-V generation 2 (Windows Server, Azure Local): UEFI",
    firmware: Firmware::Uefi,
    secure_boot: true,
    platform: &HYPERV,
};

/// A host of one's own.
pub static HYPERV: Platform = Platform {
    id: "hyperv",
    name: "Hyper-V",
    drivers: azure::DRIVERS,
    windows: &super::windows::HYPER_V,
    agent: None,
    data_source: None,
    resolver: None,
    ubuntu_archive: "archive.ubuntu.com",
    mtu: 1500,
    // "Hyper-V MAC address pool", Microsoft Learn, 2026
    mac: "00:15:5d",
    os_disk: Some(Limit {
        bytes: 64 << 40,
        words: "the 64 TiB of a VHDX",
        source: Source::new("Microsoft Learn", "Plan for Hyper-V scalability in Windows Server", "2026"),
    }),
    data_disk: Some(Limit {
        bytes: 64 << 40,
        words: "the 64 TiB of a VHDX",
        source: Source::new("Microsoft Learn", "Plan for Hyper-V scalability in Windows Server", "2026"),
    }),
};
