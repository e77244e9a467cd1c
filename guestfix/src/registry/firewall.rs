//! The rules of Windows' firewall ("[MS-GPFAS]: Group Policy: Firewall and Advanced Security Data Structure",
//! 2026): fields with `|` between.

use std::net::Ipv4Addr;

use super::Opened;
use crate::Result;
use crate::place::Place;

/// TCP.
const TCP: u32 = 6;

/// A rule that is on, and about what comes in.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Where it is written.
    pub(crate) place: Place,
    /// What it is about is not let in; it is, where this is not so.
    pub(crate) blocks: bool,
    protocol: Option<u32>,
    ports: Vec<String>,
    profiles: Vec<String>,
    service: Option<String>,
    program: Option<String>,
    /// Addresses that it is for, of IPv4; and whether it names some of IPv6.
    remote: Vec<String>,
    remote_6: bool,
    /// It is for other cards than the one that a machine of the platform has.
    other_cards: bool,
    /// It is for some programs at the other end, cards or users alone, or asks for IPsec.
    is_narrow: bool,
}

/// For whom a rule is, of those who come by IPv4 to the card of a new machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// For all.
    Everybody,
    /// For many, or for whom cannot be told.
    Some,
    /// For one network or a few.
    Few,
    /// For none of them.
    Nobody,
}

/// Those of a key that are on, and about what comes in.
///
/// # Errors
/// `Registry` if one cannot be read.
pub(crate) fn rules(hive: &Opened, key: &str) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for name in hive.values(key)? {
        let text = hive.text(key, &name)?.unwrap_or_default();
        rules.extend(Rule::read(hive.place(key, Some(&name)), &text));
    }
    Ok(rules)
}

impl Rule {
    /// A rule as the registry has it; `None` for one that is off, or about what goes out.
    pub(crate) fn read(place: Place, text: &str) -> Option<Self> {
        let mut rule = Self {
            place,
            blocks: true,
            protocol: None,
            ports: Vec::new(),
            profiles: Vec::new(),
            service: None,
            program: None,
            remote: Vec::new(),
            remote_6: false,
            other_cards: false,
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
                "ra4" | "ra42" => rule.remote.push(value.to_owned()),
                "ra6" | "ra62" => rule.remote_6 = true,
                "iftype" => rule.other_cards |= !["lan", "all"].contains(&&*value.to_ascii_lowercase()),
                "security" | "security2" | "security2_9" => {
                    rule.is_narrow |= !value.eq_ignore_ascii_case("NotRequired");
                }
                "la4" | "la6" | "rport" | "if" | "luauth" | "rmauth" | "rmauth2_24" | "luown"
                | "luapppkgid" => {
                    rule.is_narrow = true;
                }
                _ => {}
            }
        }
        (active && inward).then_some(rule)
    }

    /// Whether it is about Remote Desktop at this port.
    pub(crate) fn is_about(&self, port: u32) -> bool {
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

    /// For whom it is.
    pub(crate) fn reach(&self) -> Reach {
        if self.other_cards || (self.remote_6 && self.remote.is_empty()) {
            return Reach::Nobody;
        }
        let widest = self.remote.iter().map(|addresses| leading_bits(addresses)).min();
        match widest {
            None | Some(Some(0)) if self.is_narrow => Reach::Some,
            None | Some(Some(0)) => Reach::Everybody,
            Some(Some(bits)) if bits >= NETWORK => Reach::Few,
            Some(_) => Reach::Some,
        }
    }

    /// Whether it counts in networks that are new.
    pub(crate) fn is_public(&self) -> bool {
        self.profiles.is_empty() || self.profiles.iter().any(|profile| profile.eq_ignore_ascii_case("Public"))
    }
}

/// What has as many leading bits in common, or more, is one network.
const NETWORK: u32 = 8;

/// How many leading bits the addresses of a range have in common: `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, a range with
/// `-` or one address; `None` for words, as `LocalSubnet`.
fn leading_bits(addresses: &str) -> Option<u32> {
    let address = |text: &str| text.trim().parse::<Ipv4Addr>().ok().map(u32::from);
    if let Some((_, mask)) = addresses.split_once('/') {
        return mask.parse().ok().or_else(|| Some(address(mask)?.leading_ones()));
    }
    match addresses.split_once('-') {
        Some((first, last)) => Some((address(first)? ^ address(last)?).leading_zeros()),
        None => address(addresses).map(|_| u32::BITS),
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

    #[test]
    fn a_rule_is_for_all_or_for_some() {
        for (limits, reach) in [
            ("", Reach::Everybody),
            ("RA4=0.0.0.0/0|", Reach::Everybody),
            ("RA4=0.0.0.0-255.255.255.255|", Reach::Everybody),
            ("IFType=Lan|", Reach::Everybody),
            ("RA4=203.0.113.0/24|", Reach::Few),
            ("RA4=203.0.113.0/255.255.255.0|RA4=198.51.100.7|", Reach::Few),
            ("RA4=0.0.0.0/1|RA4=128.0.0.0/1|", Reach::Some),
            ("RA42=LocalSubnet|", Reach::Some),
            ("Security=Authenticate|", Reach::Some),
            ("LA4=10.0.0.20|", Reach::Some),
            ("RA6=fe80::/10|", Reach::Nobody),
            ("IFType=Wireless|", Reach::Nobody),
        ] {
            let text = format!("v2.30|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=3389|{limits}");
            assert_eq!(Rule::read(Place::DISK, &text).unwrap().reach(), reach, "{limits}");
        }
    }
}
