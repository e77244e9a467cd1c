//! windows.network.rdp

use super::super::values::{Change, System, To, found, mend};
use super::rdp_policy;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A Windows that lets nobody in from afar.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.rdp",
        title: "Remote Desktop is on, on every card",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Blocker,
        cause: "A machine in Azure has no screen. With Remote Desktop off, or bound to a card of the old \
                machine, only the serial console is left.",
        fix: "In every control set connections are allowed, on all cards, the service may start, and a \
              certificate of the old machine is no longer asked for. Security settings stay as they are.",
        source: &[
            Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026"),
            Source::new("Azure/AzMigrate-Hydration 4337598c", "EnableRDP", "2025-01-03"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    // What a policy says goes before it.
    let by_policy = rdp_policy::says(guest)?.is_some();
    for key in system.control("Terminal Server") {
        if !by_policy {
            changes.extend(system.dword(&key, "fDenyTSConnections", 0, "connections are refused")?);
        }
        let listener = format!(r"{key}\WinStations\RDP-Tcp");
        if let Some(card @ 1..) = system.hive.dword(&listener, "LanAdapter")? {
            let what = format!("is {card}: only one card of the old machine is listened on");
            changes.push(Change::new(SYSTEM, &*listener, "LanAdapter", To::Dword(0), what));
        }
        if system.hive.dword(&listener, "fEnableWinStation")? == Some(0) {
            let what = "is 0: nothing listens";
            changes.push(Change::new(SYSTEM, &*listener, "fEnableWinStation", To::Dword(1), what));
        }
        if system.hive.data(&listener, "SSLCertificateSHA1Hash")?.is_some() {
            let what = "names a certificate of the old machine";
            changes.push(Change::new(SYSTEM, listener, "SSLCertificateSHA1Hash", To::Gone, what));
        }
    }
    for key in system.services("TermService")? {
        changes.extend(system.start(&key, "Start", 3, |start| start <= 3)?);
    }
    Ok(changes)
}
