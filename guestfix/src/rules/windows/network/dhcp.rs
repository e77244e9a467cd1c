//! windows.network.dhcp

use super::super::values::{Change, System, found, mend};
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A Windows that asks nobody for an address.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.dhcp",
        title: "the DHCP client starts",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Blocker,
        cause: "Azure gives addresses by DHCP, to a card that the guest has never seen.",
        fix: "The start of the service Dhcp is 2, in every control set.",
        source: &[
            Source::new("Azure/AzMigrate-Hydration 4337598c", "RecoveryHelpers.cpp", "2025-01-03"),
            Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    System::of(guest)?.starts(["Dhcp"], 2)
}
