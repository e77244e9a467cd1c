//! windows.drivers.present

use super::super::values::{System, service};
use crate::registry::SYSTEM;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Drivers of the platform that are in the box, and were taken out of it.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.present",
        title: "the drivers of the disk are there",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "Without its drivers for Hyper-V, Windows finds neither its disk nor its network.",
        fix: "refloat installs no drivers. Repair the guest where it runs (sfc /scannow, DISM \
              /RestoreHealth), take a new snapshot, and start again.",
        source: &[Source::new("Azure/AzMigrate-Hydration 4337598c", "VerifyBootDriversFiles", "2025-01-03")],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let system = System::of(guest)?;
    let firmware = guest.goal.target.firmware;
    let drivers = guest.goal.target.platform.windows;
    let mut evidence = Vec::new();
    for name in drivers.vital_for(firmware) {
        let key = service(system.default_set()?, name);
        if system.hive.key(&key)?.is_none() {
            evidence.push(Evidence::new(SYSTEM.place(&key, None), "there is no such driver"));
        }
    }
    for name in drivers.files_for(firmware) {
        let path = format!("/Windows/System32/drivers/{name}");
        match guest.view.stat(&path)?.map(|file| file.size) {
            None => evidence.push(Evidence::new(path.as_str(), "is missing")),
            Some(0) => evidence.push(Evidence::new(path.as_str(), "is empty")),
            Some(_) => {}
        }
    }
    Ok(Finding::from_evidence(evidence))
}
