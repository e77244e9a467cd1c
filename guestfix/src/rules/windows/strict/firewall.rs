//! windows.strict.firewall

use super::super::network::firewall::{POLICY, activated};
use super::super::values::{Change, System, To, found, mend};
use super::PREPARE;
use crate::platform::azure::{AZURE, SERVER};
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The rule of Windows' own group "File and Printer Sharing" for echo requests.
const PING: &str = "FPS-ICMP4-ERQ-In";

/// Doors of the firewall beside that for Remote Desktop.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.strict.firewall",
        title: "the firewall lets Azure's own server in and out, and echo requests in",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Note,
        cause: "Addresses, names and health come of Azure's own server: a firewall that is closed in both directions \
                cuts the machine off from it. Echo requests show that it is there.",
        fix: "Two rules, AzurePlatform-In and AzurePlatform-Out, let that address through, and the rule \
              FPS-ICMP4-ERQ-In, where it is there, is made active, in every control set.",
        source: &[PREPARE],
        applies: Applies::WINDOWS.on(&AZURE).strict(),
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        let key = format!(r"{set}\{POLICY}\FirewallRules");
        let mut rules = Vec::new();
        for name in system.hive.values(&key)? {
            let text = system.hive.text(&key, &name)?.unwrap_or_default();
            let active = activated(&text);
            if name.eq_ignore_ascii_case(PING) && active != text {
                changes.push(Change::new(SYSTEM, &*key, name, To::Text(active), "the rule is off"));
            }
            rules.push(text.to_ascii_lowercase());
        }
        for way in ["In", "Out"] {
            if !rules.iter().any(|rule| lets_through(rule, way)) {
                let rule =
                    format!("v2.10|Action=Allow|Active=TRUE|Dir={way}|RA4={SERVER}|Name=AzurePlatform|");
                let what = format!("no rule lets {SERVER} through");
                changes.push(Change::new(
                    SYSTEM,
                    &*key,
                    format!("AzurePlatform-{way}"),
                    To::Text(rule),
                    what,
                ));
            }
        }
    }
    Ok(changes)
}

/// Whether a rule, in small letters, lets all of Azure's server through this way, and nothing narrows it.
fn lets_through(rule: &str, way: &str) -> bool {
    let way = &*format!("dir={}", way.to_ascii_lowercase());
    let fields: Vec<&str> = rule.split('|').filter(|field| field.contains('=')).collect();
    let of_server = |field: &&str| {
        field.strip_prefix("ra4=").is_some_and(|address| address.split('/').next() == Some(SERVER))
    };
    let is_text =
        |field: &str| ["name=", "desc=", "embedctxt=", "edge="].iter().any(|text| field.starts_with(text));
    let is_asked = |field: &&str| ["action=allow", "active=true", way].contains(field);
    fields.iter().filter(|field| is_asked(field)).count() == 3
        && fields.iter().any(of_server)
        && fields.iter().all(|field| is_asked(field) || of_server(field) || is_text(field))
}
