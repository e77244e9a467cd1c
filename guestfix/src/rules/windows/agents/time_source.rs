//! windows.agents.time-source

use super::super::values::{Change, System, To, found, mend};
use crate::platform::aws;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Microsoft's servers, asked as a client.
const SERVER: &str = "time.windows.com,0x9";

/// The clock of EC2.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.agents.time-source",
        title: "the time is not asked of EC2",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "EC2's clock is at an address that leads nowhere on Azure.",
        fix: "EC2's address is taken out of NtpServer, in every control set; where nothing is left, \
              time.windows.com takes its place. A member of a domain keeps asking the domain.",
        source: &[Source::new("EC2 user guide for Windows", "Amazon Time Sync Service", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for service in system.services("W32Time")? {
        let key = format!(r"{service}\Parameters");
        let servers = system.hive.text(&key, "NtpServer")?.unwrap_or_default();
        let of_aws = |server: &&str| aws::CLOCK.contains(&server.split(',').next().unwrap_or_default());
        let (go, stay): (Vec<&str>, Vec<&str>) = servers.split_whitespace().partition(of_aws);
        if !go.is_empty() {
            let to = if stay.is_empty() { SERVER.to_owned() } else { stay.join(" ") };
            changes.push(Change::new(SYSTEM, key, "NtpServer", To::Text(to), format!("is {servers}")));
        }
    }
    Ok(changes)
}
