//! windows.system.san-policy

use super::super::values::{Change, System, found, mend};
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Every disk comes up, and can be written.
const ALL_ONLINE: u32 = 1;

/// Data disks that stay offline.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.system.san-policy",
        title: "data disks come online by themselves",
        pack: Pack::Windows,
        phase: Phase::Mounts,
        severity: Severity::Warning,
        cause: "Servers keep disks on a bus that may be shared offline until somebody brings them up. All \
                data disks of Azure are on such a bus: drive letters are missing after the move.",
        fix: "SanPolicy is 1, all disks online, in every control set.",
        source: &[
            Source::new("Azure/AzMigrate-Hydration 4337598c", "SetSANPolicy", "2025-01-03"),
            Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for key in system.services("partmgr")? {
        let key = format!(r"{key}\Parameters");
        changes.extend(system.dword(&key, "SanPolicy", ALL_ONLINE, "disks on a shared bus stay offline")?);
    }
    Ok(changes)
}
