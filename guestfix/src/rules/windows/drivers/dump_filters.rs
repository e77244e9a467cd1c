//! windows.drivers.dump-filters

use super::super::values::{Change, System, To, found, mend};
use super::filters::is_of_aws;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Drivers of AWS in the way of a crash dump.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.drivers.dump-filters",
        title: "no driver of AWS is in the way of a crash dump",
        pack: Pack::Windows,
        phase: Phase::Drivers,
        severity: Severity::Note,
        cause: "A filter of crash dumps that cannot be loaded keeps Windows from writing them.",
        fix: "Its name is taken out of DumpFilters, in every control set.",
        source: &[Source::new("Microsoft Learn", "Crash dump filter drivers", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for key in system.control("CrashControl") {
        let filters = system.hive.texts(&key, "DumpFilters")?.unwrap_or_default();
        let driver = |filter: &String| filter.trim_end_matches(".sys").to_owned();
        let (go, stay): (Vec<_>, Vec<_>) = filters.into_iter().partition(|filter| is_of_aws(&driver(filter)));
        if !go.is_empty() {
            let to = if stay.is_empty() { To::Gone } else { To::Texts(stay) };
            let what = format!("names {}", go.join(", "));
            changes.push(Change::new(SYSTEM, key, "DumpFilters", to, what));
        }
    }
    Ok(changes)
}
