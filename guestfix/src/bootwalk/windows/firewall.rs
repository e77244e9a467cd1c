//! Whether Windows' firewall lets Remote Desktop in ("[MS-GPFAS]: Group Policy: Firewall and Advanced Security
//! Data Structure", the format of its rules, 2026).
//!
//! A machine in a new network has the profile for public ones, until it finds its domain.

use super::System;
use super::service::Fault;
use crate::Result;
use crate::place::Place;
use crate::registry::{DISABLED, Opened, SOFTWARE};

/// TCP.
const TCP: u32 = 6;
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
    let mut rules = rules(&system.hive, &format!(r"{own}\FirewallRules"))?;
    if setting("AllowLocalPolicyMerge")?.is_some_and(|(merge, _)| merge == 0) {
        rules.clear();
    }
    if let Some(software) = software {
        rules.extend(self::rules(software, &format!(r"{POLICIES}\FirewallRules"))?);
    }
    let found = |place: &Place, why: String, is_sure| Ok(Some(Fault { place: place.clone(), why, is_sure }));
    let counts = |rule: &&Rule| rule.is_about(port);
    if let Some(rule) = rules.iter().filter(counts).find(|rule| rule.blocks && rule.is_public()) {
        return found(&rule.place, format!("this rule blocks port {port}"), !rule.is_narrow);
    }
    let allow: Vec<&Rule> = rules.iter().filter(counts).filter(|rule| !rule.blocks).collect();
    if allow.iter().any(|rule| rule.is_public() && !rule.is_narrow) {
        return Ok(None);
    }
    if let Some(rule) = allow.iter().find(|rule| rule.is_public()) {
        return found(&rule.place, format!("port {port} is open for some machines alone"), false);
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

/// A rule that is on, and about what comes in.
#[derive(Debug)]
struct Rule {
    place: Place,
    blocks: bool,
    protocol: Option<u32>,
    ports: Vec<String>,
    profiles: Vec<String>,
    service: Option<String>,
    program: Option<String>,
    /// It is for some addresses, cards or users alone.
    is_narrow: bool,
}

fn rules(hive: &Opened, key: &str) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for name in hive.values(key)? {
        let text = hive.text(key, &name)?.unwrap_or_default();
        rules.extend(Rule::read(hive.place(key, Some(&name)), &text));
    }
    Ok(rules)
}

impl Rule {
    /// A rule as the registry has it; `None` for one that is off, or about what goes out.
    fn read(place: Place, text: &str) -> Option<Self> {
        let mut rule = Self {
            place,
            blocks: true,
            protocol: None,
            ports: Vec::new(),
            profiles: Vec::new(),
            service: None,
            program: None,
            is_narrow: false,
        };
        let (mut active, mut inward) = (false, false);
        for field in text.split('|').skip(1) {
            let Some((name, value)) = field.split_once('=') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "active" => active = value.eq_ignore_ascii_case("TRUE"),
                "dir" => inward = value.eq_ignore_ascii_case("In"),
                "action" => rule.blocks = !value.eq_ignore_ascii_case("Allow"),
                "protocol" => rule.protocol = value.parse().ok(),
                "lport" | "lport2_10" | "lport2_20" | "lport2_24" => rule.ports.push(value.to_owned()),
                "profile" => rule.profiles.push(value.to_owned()),
                "svc" => rule.service = Some(value.to_owned()),
                "app" => rule.program = Some(value.to_owned()),
                "ra4" | "ra6" | "la4" | "la6" | "ra42" | "ra62" | "rport" | "if" | "iftype" | "luauth"
                | "rmauth" | "luown" | "luapppkgid" => rule.is_narrow = true,
                _ => {}
            }
        }
        (active && inward).then_some(rule)
    }

    /// Whether it is about Remote Desktop at this port.
    fn is_about(&self, port: u32) -> bool {
        let in_range = |text: &String| match text.split_once('-') {
            Some((first, last)) => {
                let bounds = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
                bounds.is_some_and(|(first, last)| (first..=last).contains(&port))
            }
            None => text.parse() == Ok(port),
        };
        let of_service = self
            .service
            .as_deref()
            .is_none_or(|name| name == "*" || name.eq_ignore_ascii_case("termservice"));
        let of_program = self.program.as_deref().is_none_or(|program| {
            program.eq_ignore_ascii_case("System") || program.to_lowercase().ends_with(r"\svchost.exe")
        });
        self.protocol.is_none_or(|protocol| protocol == TCP)
            && (self.ports.is_empty() || self.ports.iter().any(in_range))
            && of_service
            && of_program
    }

    /// Whether it counts in networks that are new.
    fn is_public(&self) -> bool {
        self.profiles.is_empty() || self.profiles.iter().any(|profile| profile.eq_ignore_ascii_case("Public"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(text: &str) -> Option<(bool, bool, bool)> {
        let rule = Rule::read(Place::DISK, text)?;
        Some((rule.is_about(3389), rule.is_public(), rule.blocks))
    }

    #[test]
    fn rules_are_read_as_windows_writes_them() {
        let tail = r"App=%SystemRoot%\system32\svchost.exe|Svc=termservice|Name=@FirewallAPI.dll,-28775|";
        let rule = |head: &str| format!("v2.30|{head}|{tail}");
        let on = "Action=Allow|Active=TRUE|Dir=In|Protocol=6";
        assert_eq!(about(&rule(&format!("{on}|LPort=3389"))), Some((true, true, false)));
        assert_eq!(about(&rule(&format!("{on}|LPort=3000-4000"))), Some((true, true, false)));
        assert_eq!(about(&rule(&format!("{on}|LPort=80|LPort=3389"))), Some((true, true, false)));
        assert_eq!(about(&rule(&format!("{on}|LPort=3390"))), Some((false, true, false)));
        assert_eq!(about(&rule(&format!("{on}|Profile=Domain|LPort=3389"))), Some((true, false, false)));
        let both = "Profile=Private|Profile=Public|LPort=3389";
        assert_eq!(about(&rule(&format!("{on}|{both}"))), Some((true, true, false)));
        assert_eq!(about(&rule("Action=Allow|Active=FALSE|Dir=In|Protocol=6|LPort=3389")), None);
        assert_eq!(about(&rule("Action=Allow|Active=TRUE|Dir=Out|Protocol=6|LPort=3389")), None);
        let blocks = "v2.10|Action=Block|Active=TRUE|Dir=In|Name=x|";
        assert_eq!(about(blocks), Some((true, true, true)));
        assert_eq!(about(r"v2.10|Action=Block|Active=TRUE|Dir=In|App=C:\x.exe|"), Some((false, true, true)));
        assert_eq!(about(""), None);
    }
}
