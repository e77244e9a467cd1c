//! windows.drivers.critical-devices

use super::super::values::{Change, System, To, build, builds, found, mend};
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

const SYSTEM_CLASS: &str = "{4D36E97D-E325-11CE-BFC1-08002BE10318}";
const SCSI_CLASS: &str = "{4D36E97B-E325-11CE-BFC1-08002BE10318}";
const HDC_CLASS: &str = "{4D36E96A-E325-11CE-BFC1-08002BE10318}";
const DISK_CLASS: &str = "{4D36E967-E325-11CE-BFC1-08002BE10318}";

/// Each device of the way to the disk, with its driver and class, as Windows 7 has them from the box.
const DEVICES: [(&str, &str, &str); 6] = [
    ("ACPI#VMBus", "vmbus", SYSTEM_CLASS),
    ("VMBUS#{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}", "storvsc", SCSI_CLASS),
    ("PCI#VEN_8086&DEV_7111", "intelide", HDC_CLASS),
    ("Primary_IDE_Channel", "atapi", HDC_CLASS),
    ("Secondary_IDE_Channel", "atapi", HDC_CLASS),
    ("GenDisk", "disk", DISK_CLASS),
];

/// What 7 and 2008 R2 start on a machine they have not seen before.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.critical-devices",
        title: "7 and 2008 R2 know the devices between them and the disk",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "Up to Windows 7, devices that are needed before drivers can be installed are in \
                CriticalDeviceDatabase. One that is not there is not used at the first start: stop code 0x7B.",
        fix: "Each missing device gets its key, with the driver and class that the box has for it.",
        source: &[
            Source::new("libguestfs/virt-v2v 71376bdb", "cdb_regedits", "2026-08-21"),
            Source::new("Microsoft Learn", "How to add drivers to the CriticalDeviceDatabase", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| match build(guest)? > builds::SEVEN {
        true => Ok(Finding::NotApplicable("later versions keep this in DriverDatabase")),
        false => found(guest, wanted),
    },
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for database in system.control("CriticalDeviceDatabase") {
        for (device, driver, class) in DEVICES {
            let key = format!(r"{database}\{device}");
            for (value, to) in [("Service", driver), ("ClassGUID", class)] {
                let found = system.hive.text(&key, value)?;
                if found.as_deref().is_none_or(|found| !found.eq_ignore_ascii_case(to)) {
                    let is = found.map_or("is not there".to_owned(), |found| format!("is {found}"));
                    let what = format!("{is}, {to} is needed");
                    changes.push(Change::new(SYSTEM, &*key, value, To::Text(to.to_owned()), what));
                }
            }
        }
    }
    Ok(changes)
}
