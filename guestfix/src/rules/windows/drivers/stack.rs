//! windows.drivers.stack

use super::super::values::{System, service, start_in_words};
use crate::registry::SYSTEM;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// What stands between a disk's driver and the system volume, whatever the disk.
const STACK: [&str; 6] = ["ACPI", "pci", "disk", "partmgr", "volmgr", "mountmgr"];

/// Drivers of every disk that are not started by the loader.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.stack",
        title: "the loader starts what lies between the disk and the system volume",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "Without ACPI, pci, disk, partmgr, volmgr and mountmgr no Windows reaches its volume, \
                wherever it runs.",
        fix: "refloat leaves these as they are: somebody changed them on purpose. Set the Start that is \
              named to 0 in the guest where it runs, and take a new snapshot.",
        source: &[Source::new(
            "Azure/repair-script-library #156",
            "win-fix-inaccessible-boot-device",
            "2026",
        )],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let system = System::of(guest)?;
    let mut evidence = Vec::new();
    for name in STACK {
        let key = service(system.default_set()?, name);
        if system.hive.key(&key)?.is_none() {
            evidence.push(Evidence::new(SYSTEM.place(&key, None), "there is no such driver"));
            continue;
        }
        let start = system.hive.dword(&key, "Start")?;
        if start != Some(0) {
            evidence.push(Evidence::new(SYSTEM.place(&key, Some("Start")), start_in_words(start)));
        }
    }
    Ok(Finding::from_evidence(evidence))
}
