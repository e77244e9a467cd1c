//! windows.agents.time

use super::super::values::{Change, System, found, mend};
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The clock: what the firmware's says, who keeps it, and whether the host is asked.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.agents.time",
        title: "the firmware's clock is UTC, and the host is asked for the time",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "The clock of Azure's hosts is UTC. A Windows that takes it for local time starts hours off, \
                and logins by Kerberos and certificates fail.",
        fix: "RealTimeIsUniversal is 1, the time service starts by itself, and the provider of Hyper-V's host \
              is on, in every control set.",
        source: &[
            Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026"),
            Source::new("Microsoft Learn", "Time sync for Windows VMs in Azure", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for key in system.control("TimeZoneInformation") {
        changes.extend(system.dword(&key, "RealTimeIsUniversal", 1, "the clock is taken for local time")?);
    }
    for key in system.services("W32Time")? {
        changes.extend(system.start(&key, "Start", 2, |start| start == 2)?);
        let provider = format!(r"{key}\TimeProviders\VMICTimeProvider");
        if system.hive.key(&provider)?.is_some() {
            changes.extend(system.dword(&provider, "Enabled", 1, "the host is not asked for the time")?);
        }
    }
    Ok(changes)
}
