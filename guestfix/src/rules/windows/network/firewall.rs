//! windows.network.firewall

use super::super::values::{Change, System, To, finding, stage};
use crate::registry::SYSTEM;
use crate::rule::{Applies, Pack, Source};
use crate::{Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity};

const POLICY: &str = r"Services\SharedAccess\Parameters\FirewallPolicy";
/// What a new network is, until somebody says otherwise, and what else it may be.
const PROFILES: [&str; 3] = ["PublicProfile", "StandardProfile", "DomainProfile"];
/// The rules of Windows' own group "Remote Desktop": from 8 on, and in 7.
const RULES: [&str; 3] =
    ["RemoteDesktop-UserMode-In-TCP", "RemoteDesktop-UserMode-In-UDP", "RemoteDesktop-In-TCP"];

/// A firewall that lets no Remote Desktop in.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.network.firewall",
        title: "the firewall lets Remote Desktop in",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Blocker,
        cause: "With the firewall on and the rules of Remote Desktop off, nobody can reach the machine.",
        fix: "The rules of the group Remote Desktop that are there are made active, in every control set. The \
              firewall stays on or off as it is.",
        source: &[Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect: |guest| Ok(finding(wanted(guest)?)),
    fix: Some(|staged| {
        let changes = wanted(&staged.guest()?)?;
        if changes.iter().any(|change| change.to == To::Gone) {
            let what = "run Enable-NetFirewallRule -DisplayGroup 'Remote Desktop' in the guest where it runs";
            return Ok(Fixed::ByHand(what.to_owned()));
        }
        stage(staged, changes)
    }),
};

/// The port of Remote Desktop.
const PORT: &str = "3389";

/// Rules that are there and off; where none lets it in or one blocks it, its place, which is not changed.
fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let system = System::of(guest)?;
    let mut changes = Vec::new();
    for set in &system.sets.all {
        let policy = format!(r"{set}\{POLICY}");
        let mut on = false;
        for profile in PROFILES {
            on |= system.hive.dword(&format!(r"{policy}\{profile}"), "EnableFirewall")? != Some(0);
        }
        if !on {
            continue;
        }
        let key = format!(r"{policy}\FirewallRules");
        let by_hand = |name: &str, what: &str| Change::new(SYSTEM, &*key, name, To::Gone, what);
        let (mut lets_in, mut off) = (false, Vec::new());
        for name in system.hive.values(&key)? {
            let text = system.hive.text(&key, &name)?.unwrap_or_default();
            let rule = Rule3389::of(&text);
            if rule.active && rule.blocks {
                changes.push(by_hand(&name, "the rule blocks the port of Remote Desktop"));
            }
            lets_in |= rule.active && rule.allows;
            if RULES.iter().any(|known| known.eq_ignore_ascii_case(&name))
                && !rule.active
                && is(&text, "Action=Allow")
            {
                off.push(Change::new(SYSTEM, &*key, name, To::Text(activated(&text)), "the rule is off"));
            }
        }
        // The group's own rule for TCP is enough.
        let mends = off.iter().any(|change: &Change| change.value.to_ascii_uppercase().ends_with("TCP"));
        if !lets_in && !mends {
            changes.push(by_hand(RULES[0], "no rule lets Remote Desktop in"));
        }
        if !lets_in {
            changes.extend(off);
        }
    }
    Ok(changes)
}

/// What a rule does to TCP on the port of Remote Desktop from anywhere (MS-FASP 2.2.37; MS-GPFAS 2.2.2.20).
struct Rule3389 {
    active: bool,
    allows: bool,
    blocks: bool,
}

impl Rule3389 {
    fn of(rule: &str) -> Self {
        let values = |name: &str| -> Vec<&str> {
            let of_name = |field: &&str| {
                field.split_once('=').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name))
            };
            rule.split('|')
                .filter(of_name)
                .filter_map(|field| field.split_once('='))
                .map(|(_, value)| value)
                .collect()
        };
        let fits = |name: &str, wanted: &dyn Fn(&str) -> bool| {
            let found = values(name);
            found.is_empty() || found.iter().any(|value| wanted(value))
        };
        // Limits to programs, services and addresses are others' business, but for the server itself.
        let is_server = |service: &str| service.eq_ignore_ascii_case("termservice") || service == "*";
        let concerns = is(rule, "Dir=In")
            && fits("Protocol", &|protocol| protocol == "6" || protocol == "256")
            && fits("LPort", &|ports| ports.split(',').any(within))
            && fits("Svc", &is_server)
            && fits("App", &|app| {
                app.to_ascii_lowercase().ends_with("svchost.exe") || app.eq_ignore_ascii_case("System")
            });
        let anywhere = ["RA4", "RA42", "RA6", "RA62"].iter().all(|name| values(name).is_empty());
        Self {
            active: is(rule, "Active=TRUE"),
            allows: concerns && is(rule, "Action=Allow"),
            blocks: concerns && anywhere && is(rule, "Action=Block"),
        }
    }
}

/// Whether a port, or a range of them, has that of Remote Desktop.
fn within(ports: &str) -> bool {
    match ports.split_once('-') {
        Some((first, last)) => {
            let number = |text: &str| text.trim().parse::<u16>().ok();
            matches!((number(first), number(last)), (Some(first), Some(last)) if (first..=last).contains(&3389))
        }
        None => ports.trim() == PORT,
    }
}

/// Whether a rule, fields with `|` between, has this field.
fn is(rule: &str, field: &str) -> bool {
    rule.split('|').any(|found| found.eq_ignore_ascii_case(field))
}

/// The rule, made active.
fn activated(rule: &str) -> String {
    let field = |field: &str| match field.eq_ignore_ascii_case("Active=FALSE") {
        true => "Active=TRUE".to_owned(),
        false => field.to_owned(),
    };
    rule.split('|').map(field).collect::<Vec<_>>().join("|")
}
