//! windows.strict.environment

use super::super::values::{Change, System, found, mend};
use super::PREPARE;
use crate::rule::{Applies, Pack};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Where programs put what they need for a while.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.strict.environment",
        title: "temporary files of the machine are in its own folder",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "A TEMP on a drive that is not there after the move stops installers and updates.",
        fix: "TEMP and TMP of the machine are %SystemRoot%\\TEMP, in every control set.",
        source: &[PREPARE],
        applies: Applies::WINDOWS.strict(),
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for key in system.control(r"Session Manager\Environment") {
        for value in ["TEMP", "TMP"] {
            changes.extend(Change::expandable(&system.hive, &key, value, r"%SystemRoot%\TEMP")?);
        }
    }
    Ok(changes)
}
