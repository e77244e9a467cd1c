//! windows.drivers.boot-start

use super::super::values::{Change, System, found, mend};
use crate::registry::BOOT_START;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Drivers of the new machine's disk that the loader leaves out, as they had no device on EC2.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.boot-start",
        title: "the loader starts the drivers of the disk",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "What the loader does not start is not there when Windows looks for its own volume: stop code \
                0x7B, INACCESSIBLE_BOOT_DEVICE. Windows sets drivers whose devices it did not see to a later \
                start, since 8 by a StartOverride beside them.",
        fix: "In every control set their Start is 0, and so is each StartOverride of theirs. No driver is \
              added: these are in the box since 2008 R2.",
        source: &[
            Source::new(
                "Azure/AzMigrate-Hydration 4337598c",
                "SetBootDriversStartTypeOnRegistry",
                "2025-01-03",
            ),
            Source::new("Azure/repair-script-library #156", "win-fix-inaccessible-boot-device", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let drivers = guest.goal.target.platform.windows;
    let vital = drivers.vital_for(guest.goal.target.firmware);
    let mut changes = system.starts(vital.iter().copied(), BOOT_START)?;
    for name in vital.iter().chain(drivers.wanted) {
        for key in system.services(name)? {
            changes.extend(overrides(&system, &key)?);
        }
    }
    Ok(changes)
}

/// What says of a driver that on this machine it starts later.
pub(super) fn overrides(system: &System, service: &str) -> Result<Vec<Change>> {
    let key = format!(r"{service}\StartOverride");
    let mut changes = Vec::new();
    for value in system.hive.values(&key)? {
        changes.extend(system.start(&key, &value, BOOT_START, |start| start == BOOT_START)?);
    }
    Ok(changes)
}
