//! windows.strict.power

use super::super::values::{Change, System, To, found, mend};
use super::PREPARE;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The scheme of high performance, by its number in every Windows.
const HIGH_PERFORMANCE: &str = "8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c";

/// What turns a machine off that nobody touches.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.strict.power",
        title: "the power scheme is that of high performance",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "Other schemes slow a machine down, or put it to sleep, when nobody is at its keyboard.",
        fix: "ActivePowerScheme is the scheme of high performance, in every control set.",
        source: &[PREPARE],
        applies: Applies::WINDOWS.strict(),
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for key in system.control(r"Power\User\PowerSchemes") {
        let found = system.hive.text(&key, "ActivePowerScheme")?.unwrap_or_default();
        if !found.trim().eq_ignore_ascii_case(HIGH_PERFORMANCE) {
            let is = if found.is_empty() { "is not set".to_owned() } else { format!("is {found}") };
            let to = To::Text(HIGH_PERFORMANCE.to_owned());
            changes.push(Change::new(SYSTEM, key, "ActivePowerScheme", to, is));
        }
    }
    Ok(changes)
}
