//! windows.strict.services

use super::super::values::{Change, System, found, mend};
use super::PREPARE;
use crate::rule::{Applies, Pack};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// What administrators of many machines use.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.strict.services",
        title: "the registry can be edited from afar",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "Microsoft asks for the service RemoteRegistry: its support mends a machine by it. Hardened \
                machines, and clients, have it off on purpose.",
        fix: "RemoteRegistry starts by itself (2), in every control set.",
        source: &[PREPARE],
        applies: Applies::WINDOWS.strict(),
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    System::of(guest)?.starts(["RemoteRegistry"], 2)
}
