//! windows.boot.fast-startup

use super::super::values::{Change, System, To, found, mend};
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A Windows that would hibernate instead of shutting down.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.boot.fast-startup",
        title: "Windows shuts down and does not hibernate",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Note,
        cause: "With Fast Startup a shutdown is half a hibernation: the disk cannot be changed or moved then, \
                and a size with other hardware does not wake it.",
        fix: "HiberbootEnabled and HibernateEnabled are 0, in every control set.",
        source: &[Source::new("GoogleCloudPlatform/compute-image-import", "translate.ps1", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for (path, value) in [(r"Session Manager\Power", "HiberbootEnabled"), ("Power", "HibernateEnabled")] {
        for key in system.control(path) {
            if let Some(found @ 1..) = system.hive.dword(&key, value)? {
                changes.push(Change::new(SYSTEM, key, value, To::Dword(0), format!("is {found}")));
            }
        }
    }
    Ok(changes)
}
