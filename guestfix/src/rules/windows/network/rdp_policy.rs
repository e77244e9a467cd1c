//! windows.network.rdp-policy

use super::super::values::open;
use crate::registry::SOFTWARE;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

const KEY: &str = r"Policies\Microsoft\Windows NT\Terminal Services";

/// A policy that lets nobody in from afar.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.rdp-policy",
        title: "no policy turns Remote Desktop off",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Blocker,
        cause: "A policy wins over the setting. With this one nobody can reach the machine by Remote Desktop.",
        fix: "refloat overrides no policy. Change it where it comes from (gpedit.msc, or the domain), run \
              gpupdate /force in the guest, and take a new snapshot.",
        source: &[Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

/// What a policy says, if one does: 0 lets connections in.
pub(super) fn says(guest: &Guest<'_>) -> Result<Option<u32>> {
    open(guest, SOFTWARE)?.dword(KEY, "fDenyTSConnections")
}

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let denied = says(guest)?.filter(|denied| *denied != 0);
    let place = SOFTWARE.place(KEY, Some("fDenyTSConnections"));
    let evidence = |denied| Evidence::new(place, format!("is {denied}: connections are refused"));
    Ok(Finding::from_evidence(denied.map(evidence).into_iter().collect()))
}
