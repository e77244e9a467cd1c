//! windows.network.static-address

use super::super::values::{Change, System, To, found, mend};
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Addresses of the network that the guest leaves.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.static-address",
        title: "no card keeps an address of the old network",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "The card of the new machine is another one, and starts with DHCP. The old one stays as a \
                ghost that holds its address; whoever gives that to the new card is asked about it, and may \
                lose the network.",
        fix: "The card takes its address by DHCP, in every control set. Give the machine its fixed address in \
              Azure, not in Windows.",
        source: &[
            Source::new("GoogleCloudPlatform/compute-image-import", "translate.ps1", "2026"),
            Source::new("MicrosoftDocs/azure-docs #27608", "", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        let cards = format!(r"{set}\Services\Tcpip\Parameters\Interfaces");
        for card in system.hive.subkeys(&cards)? {
            let key = format!(r"{cards}\{card}");
            let addresses = system.hive.texts(&key, "IPAddress")?.unwrap_or_default();
            let fixed: Vec<&str> = addresses.iter().map(String::as_str).filter(|a| *a != "0.0.0.0").collect();
            if system.hive.dword(&key, "EnableDHCP")? == Some(0) && !fixed.is_empty() {
                let what = format!("is 0, and the address is {}", fixed.join(", "));
                changes.push(Change::new(SYSTEM, key, "EnableDHCP", To::Dword(1), what));
            }
        }
    }
    Ok(changes)
}
