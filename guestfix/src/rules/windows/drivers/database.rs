//! windows.drivers.database

use super::super::values::{System, build, builds};
use crate::registry::{Opened, SYSTEM};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

const DATABASE: &str = "DriverDatabase";
/// Keys of the package of VMBus.
const PARTS: [&str; 5] = [
    r"Configurations\VMBus_Device_WIN8_Child.NT",
    r"Configurations\VMBus_Support_Device.NT",
    r"Descriptors\ACPI\VMBus",
    r"Descriptors\VMBUS\SUBCHANNEL",
    "Strings",
];

/// What 2012 and 2012 R2 start on a machine they have not seen before.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.database",
        title: "2012 and 2012 R2 know the bus of the host",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "8 and 8.1 take the driver of a new device from DriverDatabase. Without the package of VMBus \
                there they do not start on Hyper-V.",
        fix: "refloat installs no drivers. Repair the guest where it runs (DISM /RestoreHealth), and take a \
              new snapshot.",
        source: &[Source::new(
            "Azure/AzMigrate-Hydration 4337598c",
            "E_REQUIRED_VMBUS_REGISTRIES_MISSING",
            "2025-01-03",
        )],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !(builds::EIGHT..=builds::EIGHT_ONE).contains(&build(guest)?) {
        return Ok(Finding::NotApplicable("only 2012 and 2012 R2 need it whole"));
    }
    let system = System::of(guest)?.hive;
    let mut evidence = Vec::new();
    let mut missing =
        |key: &str, value| evidence.push(Evidence::new(SYSTEM.place(key, value), "is not there"));
    let inf = format!(r"{DATABASE}\DriverInfFiles\wvmbus.inf");
    let package = package(&system, &inf)?;
    if package.is_none() {
        missing(&inf, Some("Active"));
    }
    let ids = format!(r"{DATABASE}\DeviceIds\ACPI\VMBus");
    if system.data(&ids, "wvmbus.inf")?.is_none() {
        missing(&ids, Some("wvmbus.inf"));
    }
    for part in package.iter().flat_map(|package| PARTS.map(|part| (package, part))) {
        let key = format!(r"{DATABASE}\DriverPackages\{}\{}", part.0, part.1);
        if system.key(&key)?.is_none() {
            missing(&key, None);
        }
    }
    Ok(Finding::from_evidence(evidence))
}

/// The folder of the package that is in use: a list of one.
fn package(system: &Opened, inf: &str) -> Result<Option<String>> {
    let Some(data) = system.data(inf, "Active")? else { return Ok(None) };
    let (units, _) = data.as_chunks::<2>();
    let text =
        String::from_utf16_lossy(&units.iter().map(|unit| u16::from_le_bytes(*unit)).collect::<Vec<_>>());
    Ok(text.split('\0').next().filter(|name| !name.is_empty()).map(str::to_owned))
}
