//! windows.drivers.nvme

use super::super::values::{Change, System, found, mend};
use super::boot_start::overrides;
use crate::registry::BOOT_START;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The in-box driver of NVMe, which newer sizes have their disks on.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.nvme",
        title: "the loader starts the drivers of an NVMe disk",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Warning,
        cause: "Sizes of version 6 and later have their disks on NVMe alone. A Windows that ran with other \
                disks has a later start for those drivers, and does not come up there.",
        fix: "In every control set the start of stornvme is 0, and each StartOverride of it and of the PCI \
              drivers above it. Windows sets them again when it starts with other disks.",
        source: &[Source::new(
            "Azure/SAP-on-Azure-Scripts-and-Utilities",
            "Azure-NVMe-Conversion.ps1 and #147",
            "2026-08",
        )],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for (place, name) in guest.goal.target.platform.windows.nvme.iter().enumerate() {
        for key in system.services(name)? {
            // The first is the disk's; those above it start with their devices.
            changes.extend(
                system.start(&key, "Start", BOOT_START, |start| start == BOOT_START)?.filter(|_| place == 0),
            );
            changes.extend(overrides(&system, &key)?);
        }
    }
    Ok(changes)
}
