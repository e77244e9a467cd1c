//! windows.network.rdp-port

use super::super::values::System;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The port that Azure's rules open.
const PORT: u32 = 3389;

/// Remote Desktop where nobody looks for it.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.rdp-port",
        title: "Remote Desktop is on port 3389",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Warning,
        cause: "The network rules that Azure proposes open port 3389 alone.",
        fix: "The port stays as it was chosen: open it in the network security group, or set PortNumber of \
              RDP-Tcp to 3389.",
        source: &[Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let system = System::of(guest)?;
    let key = format!(r"{}\Control\Terminal Server\WinStations\RDP-Tcp", system.default_set()?);
    let port = system.hive.dword(&key, "PortNumber")?.filter(|port| *port != PORT);
    let evidence = |port| Evidence::new(SYSTEM.place(&key, Some("PortNumber")), format!("is {port}"));
    Ok(Finding::from_evidence(port.map(evidence).into_iter().collect()))
}
