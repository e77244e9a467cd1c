//! windows.network.firewall

use super::super::values::{Change, System, To, found, stage};
use crate::registry::SYSTEM;
use crate::registry::firewall::{Reach, Rule as Filter};
use crate::rule::{Applies, Pack, Source};
use crate::{Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity};

pub(in crate::rules::windows) const POLICY: &str = r"Services\SharedAccess\Parameters\FirewallPolicy";
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
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| {
        let changes = wanted(&staged.guest()?)?;
        if changes.iter().any(|change| change.to == To::Gone) {
            let what = "run Enable-NetFirewallRule -DisplayGroup 'Remote Desktop' in the guest where it runs";
            return Ok(Fixed::ByHand(what.to_owned()));
        }
        stage(staged, changes)
    }),
};

/// Where nothing else is said.
const PORT: u32 = 3389;

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
        let listener = format!(r"{set}\Control\Terminal Server\WinStations\RDP-Tcp");
        let port = system.hive.dword(&listener, "PortNumber")?.unwrap_or(PORT);
        let key = format!(r"{policy}\FirewallRules");
        let by_hand = |name: &str, what: &str| Change::new(SYSTEM, &*key, name, To::Gone, what);
        let (mut lets_in, mut off) = (false, Vec::new());
        for name in system.hive.values(&key)? {
            let text = system.hive.text(&key, &name)?.unwrap_or_default();
            let counts = |text: &str| {
                let rule = Filter::read(SYSTEM.place(&key, Some(&name)), text);
                rule.filter(|rule| rule.is_about(port) && rule.is_public())
            };
            match counts(&text) {
                Some(rule) if rule.blocks && rule.reach() == Reach::Everybody => {
                    changes.push(by_hand(&name, "the rule blocks the port of Remote Desktop"));
                }
                Some(rule) => lets_in |= !rule.blocks && rule.reach() != Reach::Nobody,
                None if RULES.iter().any(|known| known.eq_ignore_ascii_case(&name)) => {
                    let active = activated(&text);
                    let lets = counts(&active).is_some_and(|rule| !rule.blocks) || name.ends_with("UDP");
                    if lets && active != text {
                        off.push(Change::new(SYSTEM, &*key, name, To::Text(active), "the rule is off"));
                    }
                }
                None => {}
            }
        }
        if lets_in {
            continue;
        }
        // The group's own rule for TCP is enough.
        match off.iter().any(|change: &Change| change.value.to_ascii_uppercase().ends_with("TCP")) {
            true => changes.extend(off),
            false => changes.push(by_hand(RULES[0], "no rule lets Remote Desktop in")),
        }
    }
    Ok(changes)
}

/// The rule, made active.
pub(in crate::rules::windows) fn activated(rule: &str) -> String {
    let field = |field: &str| match field.eq_ignore_ascii_case("Active=FALSE") {
        true => "Active=TRUE".to_owned(),
        false => field.to_owned(),
    };
    rule.split('|').map(field).collect::<Vec<_>>().join("|")
}
