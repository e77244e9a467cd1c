//! windows.system.services

use super::super::values::{Change, System, found, mend};
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Services that start by themselves, and those that must not be disabled.
const AUTOMATIC: [&str; 6] = ["BFE", "Dnscache", "IKEEXT", "iphlpsvc", "nsi", "mpssvc"];
const ALLOWED: [&str; 3] = ["Netlogon", "Netman", "WerSvc"];

/// Services of the network that somebody turned off.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.system.services",
        title: "the services of the network start as Windows sets them",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "Without these the network, the firewall or the names that Azure gives do not work as a whole.",
        fix: "In every control set the first of them start by themselves (2); the others are no longer \
              disabled (3).",
        source: &[Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    let named = AUTOMATIC.map(|name| (name, 2)).into_iter().chain(ALLOWED.map(|name| (name, 3)));
    for (name, to) in named {
        for key in system.services(name)? {
            changes.extend(system.start(&key, "Start", to, |start| start <= to)?);
        }
    }
    Ok(changes)
}
