//! windows.boot.safe-mode

use super::super::values::{Change, found, mend};
use super::store;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A guest that was left in safe mode.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.boot.safe-mode",
        title: "Windows does not start in safe mode",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "In safe mode there is no Remote Desktop, and often no network: nobody can reach the machine.",
        fix: "The elements for safe mode are taken from the default entry of the boot configuration.",
        source: &[Source::new("Microsoft Learn", "Azure VM boots into safe mode", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for store in store::all(guest)? {
        let Some(default) = &store.default else { continue };
        changes.extend(store.take(default, 0x2500_0080, "safe mode is set")?);
        changes.extend(store.take(default, 0x2600_0081, "safe mode with another shell is set")?);
    }
    Ok(changes)
}
