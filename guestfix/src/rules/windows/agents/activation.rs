//! windows.agents.activation

use super::super::values::{Change, To, found, mend, open};
use crate::platform::{aws, azure};
use crate::registry::SOFTWARE;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

const KEY: &str = r"Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform";

/// Activation by a server of AWS.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.agents.activation",
        title: "Windows is not activated by a server of AWS",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "The activation servers of AWS answer on EC2 alone. Windows loses its activation after a while.",
        fix: "KeyManagementServiceName is Azure's server, with its port. A server of one's own stays.",
        source: &[
            Source::new("Microsoft Learn", "Troubleshoot Azure Windows activation", "2026"),
            Source::new("EC2 user guide for Windows", "Activate Windows", "2026"),
        ],
        applies: Applies::WINDOWS.on(&azure::AZURE),
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let software = open(guest, SOFTWARE)?;
    let mut changes = Vec::new();
    let Some(server) = software.text(KEY, "KeyManagementServiceName")? else { return Ok(changes) };
    if !aws::windows::ACTIVATION.contains(&server.trim())
        && !server.to_ascii_lowercase().contains("amazonaws")
    {
        return Ok(changes);
    }
    let (name, port) = azure::ACTIVATION;
    let set =
        |value, to: &str, what: String| Change::new(SOFTWARE, KEY, value, To::Text(to.to_owned()), what);
    changes.push(set("KeyManagementServiceName", name, format!("is {server}, a server of AWS")));
    changes.push(set("KeyManagementServicePort", port, format!("goes with {server}")));
    Ok(changes)
}
