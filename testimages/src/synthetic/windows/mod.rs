//! Windows guests: from 2008 R2 to 2025, Windows 10 and 11, for BIOS and for UEFI, as EC2 leaves them.
//!
//! The volumes are made by `mkntfs` and `ntfs-3g`, the hives by `hivexregedit` from our own text. No file of
//! Microsoft's is inside: programs and drivers are headers without code.

mod bcd;
mod drivers;
mod files;
mod guests;
mod hive;
mod reg;
mod software;
mod system;
mod volume;

use std::path::Path;

use anyhow::{Context, Result};

use self::bcd::Partition;
use self::drivers::Driver;
use self::system::Mounted;
use self::volume::Ntfs;
use super::disk::{MIB, make_gpt, make_mbr, make_vfat, place};

pub(super) use guests::{ALL, LARGE};

/// What these need beside the tools of the others.
pub(super) const TOOLS: &[&str] =
    &["mkntfs", "ntfs-3g", "hivexregedit", "mkfs.vfat", "mcopy", "sfdisk", "sgdisk"];

/// All that decides what a Windows guest holds, for the cache's key.
pub(super) const RECIPE: &[&[u8]] = &[
    include_bytes!("mod.rs"),
    include_bytes!("bcd.rs"),
    include_bytes!("drivers.rs"),
    include_bytes!("files.rs"),
    include_bytes!("guests.rs"),
    include_bytes!("hive.rs"),
    include_bytes!("reg.rs"),
    include_bytes!("software.rs"),
    include_bytes!("system.rs"),
    include_bytes!("volume.rs"),
    include_bytes!("../disk.rs"),
    include_bytes!("../tree.rs"),
];

/// Versions whose drivers are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// 7 and Server 2008 R2: NT 6.1.
    Seven,
    /// 8.1 and Server 2012 R2: NT 6.3.
    Eight,
    /// 10, 11 and Server 2016 to 2025: NT 10.0.
    Ten,
}

impl Line {
    /// `CurrentVersion`, which stopped at 6.3.
    fn kernel(self) -> &'static str {
        if self == Self::Seven { "6.1" } else { "6.3" }
    }

    fn numbers(self) -> Option<(u32, u32)> {
        (self == Self::Ten).then_some((10, 0))
    }

    /// The minor version of its hives, and of its store.
    fn hive_minor(self) -> u32 {
        if self == Self::Seven { 3 } else { 5 }
    }
}

/// One version of Windows.
#[derive(Clone, Copy, Debug)]
struct Version {
    line: Line,
    build: &'static str,
    product: &'static str,
    edition: &'static str,
    display: Option<&'static str>,
    client: bool,
    host: &'static str,
}

/// How it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmware {
    Bios,
    Uefi,
}

/// How EC2, and its administrator, dressed it.
#[derive(Clone, Copy, Debug)]
struct Dress {
    firmware: Firmware,
    /// bootmgr and the store are on a partition of their own (as they always are with UEFI).
    system_partition: bool,
    /// The ESP has a loader where firmware without a boot entry looks.
    fallback: bool,
    control_sets: u32,
    drivers: &'static [&'static [Driver]],
    services: &'static [(&'static str, u32, &'static str)],
    /// UpperFilters of classes.
    filters: &'static [(&'static str, &'static [&'static str])],
    /// UpperFilters of devices, by the path below `Enum`.
    device_filters: &'static [(&'static str, &'static [&'static str])],
    files: &'static [&'static str],
    routes: &'static [&'static str],
    search_list: &'static str,
    time_server: &'static str,
    kms: Option<&'static str>,
    address: Option<&'static str>,
    no_rdp: bool,
    reboot_pending: bool,
    product_type: Option<&'static str>,
    /// MiB of the Windows volume.
    mib: u64,
    /// See [`Ntfs::between`].
    between: Option<usize>,
}

impl Dress {
    /// Whether its disk was one of NVMe.
    fn nitro(&self) -> bool {
        self.drivers.iter().copied().flatten().any(|driver| driver.name == "AWSNVMe")
    }
}

const DISK_SIGNATURE: u32 = 0x5e8a_41c7;
const DISK_GUID: &str = "6c1f0a2e-7d3b-4e58-9a64-c2b7f1d05e93";
const ESP_GUID: &str = "0f8e7d6c-5b4a-4938-a716-253443526170";
const MSR_GUID: &str = "1a2b3c4d-5e6f-4071-8293-a4b5c6d7e8f9";
const WINDOWS_GUID: &str = "9b8a7c6d-1e2f-4a3b-8c4d-5e6f70819203";
/// What a Windows volume has, if nothing else is said; its files need a quarter of it.
const WINDOWS_MIB: u64 = 48;

/// A GUID as it stands on a disk: its first three parts in little-endian order.
fn guid_bytes(guid: &str) -> [u8; 16] {
    let digits: String = guid.chars().filter(|c| *c != '-').collect();
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hexadecimal");
    }
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// Where the parts of a disk are, in bytes.
struct Layout {
    system: Option<(u64, u64)>,
    windows: (u64, u64),
    size: u64,
}

fn layout(dress: &Dress) -> Layout {
    let mib = dress.mib;
    match (dress.firmware, dress.system_partition) {
        (Firmware::Bios, false) => Layout { system: None, windows: (MIB, mib * MIB), size: (mib + 2) * MIB },
        (Firmware::Bios, true) => {
            let system = (MIB, 12 * MIB);
            Layout { system: Some(system), windows: (13 * MIB, mib * MIB), size: (mib + 14) * MIB }
        }
        // The ESP, 1 MiB reserved for Microsoft, Windows.
        (Firmware::Uefi, _) => {
            let system = (MIB, 34 * MIB);
            Layout { system: Some(system), windows: (36 * MIB, mib * MIB), size: (mib + 38) * MIB }
        }
    }
}

/// Makes the disk of a Windows.
fn build(out: &Path, version: &Version, dress: &Dress) -> Result<()> {
    let layout = layout(dress);
    let named = |(start, _): (u64, u64), guid: &str| match dress.firmware {
        Firmware::Bios => Partition::Mbr { signature: DISK_SIGNATURE, start },
        Firmware::Uefi => Partition::Gpt { disk: guid_bytes(DISK_GUID), partition: guid_bytes(guid) },
    };
    let windows = named(layout.windows, WINDOWS_GUID);
    let system = named(layout.system.unwrap_or(layout.windows), ESP_GUID);
    let letter = match windows {
        Partition::Mbr { signature, start } => [&signature.to_le_bytes()[..], &start.to_le_bytes()].concat(),
        Partition::Gpt { partition, .. } => [b"DMIO:ID:", &partition[..]].concat(),
    };

    let mut tree = files::windows(version, dress);
    let config = "/Windows/System32/config";
    let minor = version.line.hive_minor();
    let hive = |name: &str, reg: &reg::Reg| hive::make(name, minor, reg);
    tree.file(
        &format!("{config}/SYSTEM"),
        hive("SYSTEM", &system::compose(version, dress, &Mounted(letter)))?,
    );
    tree.file(&format!("{config}/SOFTWARE"), hive("SOFTWARE", &software::compose(version, dress))?);
    for name in ["SAM", "SECURITY", "DEFAULT"] {
        let mut reg = reg::Reg::default();
        reg.key(match name {
            "SAM" => "SAM\\Domains\\Account\\Users\\000001F4",
            "SECURITY" => "Policy\\PolEKList",
            _ => "Software",
        });
        tree.file(&format!("{config}/{name}"), hive(name, &reg)?);
    }
    let mut starts = files::system_partition(dress.firmware, dress.fallback)?;
    let uefi = dress.firmware == Firmware::Uefi;
    let store = bcd::make(minor, uefi, system, windows, version.product)?;
    starts.file(if uefi { "/EFI/Microsoft/Boot/BCD" } else { "/Boot/BCD" }, store);

    let folder = tempfile::tempdir()?;
    let image = |name: &str| folder.path().join(name);
    match (dress.firmware, layout.system) {
        (Firmware::Bios, None) => {
            tree.merge(starts);
            make_mbr(out, layout.size, &format!("{DISK_SIGNATURE:#x}"), &mbr_line(layout.windows, true))?;
        }
        (Firmware::Bios, Some(system)) => {
            let lines = format!("{}\n{}", mbr_line(system, true), mbr_line(layout.windows, false));
            make_mbr(out, layout.size, &format!("{DISK_SIGNATURE:#x}"), &lines)?;
            let volume = Ntfs { label: "System Reserved", start: system.0 / 512, boots: true, between: None };
            volume.make(&image("system"), system.1, &starts)?;
            place(&image("system"), out, system.0)?;
        }
        (Firmware::Uefi, system) => {
            let system = system.context("an ESP")?;
            make_gpt(
                out,
                layout.size,
                DISK_GUID,
                &gpt_arguments(system, layout.windows).each_ref().map(String::as_str),
            )?;
            make_vfat(&image("esp"), system.1, "SYSTEM", &starts)?;
            place(&image("esp"), out, system.0)?;
        }
    }
    if dress.firmware == Firmware::Bios {
        volume::put_master_boot_code(out)?;
    }
    let volume = Ntfs {
        label: "",
        start: layout.windows.0 / 512,
        boots: layout.system.is_none(),
        between: dress.between,
    };
    volume.make(&image("windows"), layout.windows.1, &tree)?;
    place(&image("windows"), out, layout.windows.0)
}

fn mbr_line((start, size): (u64, u64), active: bool) -> String {
    let active = if active { ", bootable" } else { "" };
    format!("start={}, size={}, type=7{active}", start / 512, size / 512)
}

fn gpt_arguments(esp: (u64, u64), windows: (u64, u64)) -> [String; 12] {
    let range = |number: u32, (start, size): (u64, u64)| {
        format!("--new={number}:{}:{}", start / 512, (start + size) / 512 - 1)
    };
    let reserved = (esp.0 + esp.1, windows.0 - esp.0 - esp.1);
    [
        range(1, esp),
        "--typecode=1:ef00".into(),
        format!("--partition-guid=1:{ESP_GUID}"),
        "--change-name=1:EFI system partition".into(),
        range(2, reserved),
        "--typecode=2:0c01".into(),
        format!("--partition-guid=2:{MSR_GUID}"),
        "--change-name=2:Microsoft reserved partition".into(),
        range(3, windows),
        "--typecode=3:0700".into(),
        format!("--partition-guid=3:{WINDOWS_GUID}"),
        "--change-name=3:Basic data partition".into(),
    ]
}

/// The store of a Windows that is started by UEFI.
///
/// # Errors
/// If `hivexregedit` is not there.
pub(super) fn store() -> Result<Vec<u8>> {
    let named = |guid: &str| Partition::Gpt { disk: guid_bytes(DISK_GUID), partition: guid_bytes(guid) };
    bcd::make(Line::Ten.hive_minor(), true, named(ESP_GUID), named(WINDOWS_GUID), "Windows")
}

/// Puts further files onto the volume of a Windows that is the first partition of a disk.
pub(super) fn add(disk: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let mut tree = super::tree::Tree::default();
    for (path, content) in files {
        tree.file(path, content);
    }
    volume::add(disk, &tree)
}

/// A driver, or a library, that is headers and no code.
pub(super) fn driver(name: &str) -> Vec<u8> {
    files::program(name, files::Subsystem::Native, false)
}
