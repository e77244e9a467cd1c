//! Where guests come from and where they go, as data: what a platform's machines are like, and what its host
//! takes.
//!
//! To add a platform: one file here, and its targets in [`TARGETS`]. Rules ask the target's [`Platform`] and
//! name none; a rule that is for one platform only says so in its `applies`.

pub(crate) mod assessment;
pub mod aws;
pub mod azure;
pub mod hyperv;
mod windows;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::facts;
use crate::rule::Source;

pub use windows::WindowsDrivers;

/// Every target that a guest can be made ready for, in the order in which they are listed.
pub static TARGETS: &[&Target] = &[&azure::GEN1, &azure::GEN2, &hyperv::GEN1, &hyperv::GEN2];

/// What a machine starts its disk by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Firmware {
    Bios,
    Uefi,
}

impl Firmware {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        }
    }
}

/// A number of the platform's, and where it is from.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// In bytes.
    pub bytes: u64,
    /// For people: "the 4095 GiB of an OS disk".
    pub words: &'static str,
    /// Where it is from.
    pub source: Source,
}

/// A kernel driver for the platform's devices.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// The module's name, with underscores.
    pub module: &'static str,
    /// The kernel option that builds it.
    pub option: &'static str,
    /// The option that once was for this driver, and counts where the other is not mentioned.
    pub old_option: Option<&'static str>,
    /// Its folder in the kernel's `drivers/`; `None` where it is not in there.
    pub folder: Option<&'static str>,
}

impl Driver {
    /// A driver in a folder of `drivers/`.
    pub const fn new(module: &'static str, option: &'static str, folder: &'static str) -> Self {
        Self { module, option, old_option: None, folder: Some(folder) }
    }

    /// A module that is not a device driver, or one that is in no single folder.
    pub const fn elsewhere(module: &'static str, option: &'static str) -> Self {
        Self { module, option, old_option: None, folder: None }
    }
}

/// The modules by which a Linux guest sees the platform's devices.
#[derive(Debug, Clone, Copy)]
pub struct Drivers {
    /// All that are looked for in a kernel.
    pub all: &'static [Driver],
    /// What the virtual devices are on.
    pub bus: &'static str,
    /// The controller of the disk.
    pub disk: &'static str,
    /// The network card.
    pub network: &'static str,
    /// The clock of the host, and a clean shutdown.
    pub clock: &'static str,
    /// What PCI devices of the host are behind.
    pub pci: &'static str,
    /// [`pci`](Self::pci) as sysfs and udev call the driver.
    pub pci_in_udev: &'static str,
    /// The cards of the host that a guest may get.
    pub cards: &'static [&'static str],
    /// Without these in its initramfs a guest finds no root disk.
    pub required: &'static [&'static str],
    /// Those worth having in an initramfs, each skipped where the kernel does not have it.
    pub desired: &'static [&'static str],
    /// Those of both that are loaded before udev is asked.
    pub first: &'static [&'static str],
    /// Those that must not be kept from being loaded.
    pub allowed: &'static [&'static str],
    /// The functions by which they start in the kernel, as `initcall_blacklist=` names them, and the module of
    /// each.
    pub initcalls: &'static [(&'static str, &'static str)],
    /// Those that the next initramfs is to have, in the order in which they are written.
    pub early: &'static [&'static str],
    /// Directories and patterns of modules, as a feature of Alpine's mkinitfs lists them.
    pub mkinitfs: &'static [&'static str],
}

impl Drivers {
    /// Without these a kernel sees no disk.
    pub fn vital(&self) -> [&'static str; 2] {
        [self.bus, self.disk]
    }

    /// The module that starts by this function.
    pub fn of_initcall(&self, function: &str) -> Option<&'static str> {
        self.initcalls.iter().find(|(known, _)| *known == function).map(|(_, module)| *module)
    }
}

/// A program that the platform wants in its guests.
#[derive(Debug, Clone, Copy)]
pub struct Agent {
    /// Which it is.
    pub agent: facts::Agent,
    /// The program.
    pub program: &'static str,
}

/// What runs machines: a cloud, or a host of one's own.
#[derive(Debug)]
pub struct Platform {
    /// "azure".
    pub id: &'static str,
    /// "Azure".
    pub name: &'static str,
    /// How its devices are seen by Linux.
    pub drivers: Drivers,
    /// How they are seen by Windows.
    pub windows: &'static WindowsDrivers,
    /// The program that it wants in its guests, if there is one.
    pub agent: Option<Agent>,
    /// cloud-init's data source for it, if there is one.
    pub data_source: Option<&'static str>,
    /// A name server that every guest reaches, if there is one.
    pub resolver: Option<&'static str>,
    /// Ubuntu's archive that is nearest.
    pub ubuntu_archive: &'static str,
    /// The largest frame that passes everywhere, in bytes.
    pub mtu: u32,
    /// What the hardware addresses of its network cards begin with, as udev writes it: "00:0d:3a".
    pub mac: &'static str,
    /// The largest disk to boot from by UEFI, if there is a limit.
    pub os_disk: Option<Limit>,
    /// The largest of all other disks, if there is a limit.
    pub data_disk: Option<Limit>,
}

impl PartialEq for Platform {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Platform {}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id)
    }
}

/// A kind of machine of a platform: where the guest is to boot.
#[derive(Debug)]
pub struct Target {
    /// As users type it: "azure-gen1".
    pub id: &'static str,
    /// "Azure, generation 1: BIOS".
    pub name: &'static str,
    /// What it starts the disk by.
    pub firmware: Firmware,
    /// Whether the firmware can check signatures.
    pub secure_boot: bool,
    /// What runs it.
    pub platform: &'static Platform,
}

impl Target {
    /// The target of this id.
    pub fn of(id: &str) -> Option<&'static Self> {
        TARGETS.iter().copied().find(|target| target.id == id)
    }

    /// The target of the same platform with this firmware, if there is one.
    pub fn with(&self, firmware: Firmware) -> Option<&'static Self> {
        let mut same = TARGETS.iter().copied().filter(|target| target.platform == self.platform);
        same.find(|target| target.firmware == firmware)
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Target {}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id)
    }
}

/// As JSON a target is its id, one of the table.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Target {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let ids: Vec<&str> = TARGETS.iter().map(|target| target.id).collect();
        schemars::json_schema!({ "type": "string", "enum": ids })
    }
}

/// As JSON a platform is its id, one of those that targets name.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Platform {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Platform".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut ids: Vec<&str> = TARGETS.iter().map(|target| target.platform.id).collect();
        ids.dedup();
        schemars::json_schema!({ "type": "string", "enum": ids })
    }
}

/// A target by its id, for `serde(deserialize_with)`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'static Target, D::Error> {
    let id = String::deserialize(from)?;
    Target::of(&id).ok_or_else(|| serde::de::Error::custom(format!("there is no target {id:?}")))
}

/// The drivers of all platforms, each once.
pub(crate) fn drivers() -> Vec<&'static Driver> {
    let mut all: Vec<&Driver> = Vec::new();
    for driver in TARGETS.iter().flat_map(|target| target.platform.drivers.all) {
        if !all.iter().any(|known| known.module == driver.module) {
            all.push(driver);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_an_id_of_its_own_and_drivers_that_are_known() {
        for (at, target) in TARGETS.iter().enumerate() {
            assert_eq!(Target::of(target.id), Some(*target));
            assert!(TARGETS[..at].iter().all(|other| other.id != target.id), "{}", target.id);
            assert_eq!(target.with(target.firmware), Some(*target));
            let drivers = &target.platform.drivers;
            let known = |name: &&str| drivers.all.iter().any(|driver| driver.module == *name);
            for name in [drivers.bus, drivers.disk, drivers.network, drivers.clock, drivers.pci] {
                assert!(known(&name), "{}: {name}", target.id);
            }
            assert!(drivers.cards.iter().chain(drivers.early).all(known), "{}", target.id);
            let started: Vec<&str> = drivers.initcalls.iter().map(|(_, module)| *module).collect();
            for name in drivers.required.iter().chain([&drivers.network, &drivers.pci]) {
                assert!(started.contains(name), "{}: {name}", target.id);
            }
        }
    }
}
