//! Whether Windows' firewall lets Remote Desktop in.
//!
//! A machine in a new network has the profile for public ones, until it finds its domain.

use super::System;
use super::service::Fault;
use crate::Result;
use crate::place::Place;
use crate::registry::firewall::{self, Reach, Rule};
use crate::registry::{DISABLED, Opened, SOFTWARE};

/// Where policies of a domain have what the machine has below `SharedAccess`.
const POLICIES: &str = r"Policies\Microsoft\WindowsFirewall";
const PROFILE: &str = "PublicProfile";

/// Why the port is not reached; `None` if it is.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn fault(system: &System, software: Option<&Opened>, port: u32) -> Result<Option<Fault>> {
    let off = system.services.get("mpssvc").is_none_or(|service| service.start == Some(DISABLED));
    let own = format!(r"{}\Services\SharedAccess\Parameters\FirewallPolicy", system.set);
    // What a policy says goes before what the machine says.
    let setting = |name: &str| -> Result<Option<(u32, Place)>> {
        let policy = format!(r"{POLICIES}\{PROFILE}");
        if let Some(software) = software
            && let Some(number) = software.dword(&policy, name)?
        {
            return Ok(Some((number, SOFTWARE.place(&policy, Some(name)))));
        }
        let key = format!(r"{own}\{PROFILE}");
        let found = system.hive.dword(&key, name)?;
        Ok(found.map(|number| (number, system.hive.place(&key, Some(name)))))
    };
    if off || setting("EnableFirewall")?.is_some_and(|(on, _)| on == 0) {
        return Ok(None);
    }
    if let Some((1, place)) = setting("DoNotAllowExceptions")? {
        let why = "no connections are let in, whatever rules there are".to_owned();
        return Ok(Some(Fault { place, why, is_sure: true }));
    }
    let mut rules = firewall::rules(&system.hive, &format!(r"{own}\FirewallRules"))?;
    if setting("AllowLocalPolicyMerge")?.is_some_and(|(merge, _)| merge == 0) {
        rules.clear();
    }
    if let Some(software) = software {
        rules.extend(firewall::rules(software, &format!(r"{POLICIES}\FirewallRules"))?);
    }
    let found = |place: &Place, why: String, is_sure| Ok(Some(Fault { place: place.clone(), why, is_sure }));
    let counts = |rule: &&Rule| rule.is_about(port);
    // One that blocks a network or a few leaves all others in.
    let blocks = |rule: &&Rule| {
        rule.blocks && rule.is_public() && matches!(rule.reach(), Reach::Everybody | Reach::Some)
    };
    if let Some(rule) = rules.iter().filter(counts).find(blocks) {
        let is_sure = rule.reach() == Reach::Everybody;
        return found(&rule.place, format!("this rule blocks port {port}"), is_sure);
    }
    let allow: Vec<&Rule> = rules.iter().filter(counts).filter(|rule| !rule.blocks).collect();
    if allow.iter().any(|rule| rule.is_public() && rule.reach() == Reach::Everybody) {
        return Ok(None);
    }
    if let Some(rule) = allow.iter().find(|rule| rule.is_public() && rule.reach() != Reach::Nobody) {
        return found(&rule.place, format!("port {port} is open to some alone"), false);
    }
    if let Some(rule) = allow.first() {
        let why = format!("port {port} is open in another profile than that of a network which is new");
        return found(&rule.place, why, false);
    }
    if let Some((0, _)) = setting("DefaultInboundAction")? {
        return Ok(None);
    }
    let place = system.hive.place(&format!(r"{own}\FirewallRules"), None);
    found(&place, format!("no rule that is on lets connections to port {port} in"), true)
}
