//! Where the server listens: at addresses that the target's card has (sshd_config(5), "ListenAddress").

use super::super::login::Door;
use crate::systemd::{self, Unit};
use crate::text::ini;
use crate::{Result, View};

/// Why nobody reaches the server at the addresses that are named; of these each is a line and a value.
pub(super) fn shut(addresses: &[(String, String)], family: &str) -> Option<Door> {
    if family == "inet6" && !addresses.iter().any(|(_, address)| host(address).contains('.')) {
        let place = addresses.first().map_or(super::CONFIGS[0], |(place, _)| place);
        return Some(Door::stuck(place, "sshd listens by IPv6 only, and the target's card has IPv4"));
    }
    let mut wrong = None;
    for (place, address) in addresses {
        let host = host(address);
        let why = match host {
            "0.0.0.0" | "*" if family != "inet6" => return None,
            "::" if family == "any" => {
                format!("sshd listens at {host}, which is IPv6 alone, and the target's card has IPv4")
            }
            "localhost" | "::1" => format!("sshd listens at {host}, which nobody else reaches"),
            _ if host.starts_with("127.") => format!("sshd listens at {host}, which nobody else reaches"),
            _ if host.contains(|c: char| !c.is_ascii_digit() && c != '.') && !host.contains(':') => {
                let why = format!("sshd listens at {host}: which address that is cannot be told");
                wrong = Some(Door::Unsure { place: place.clone(), why });
                continue;
            }
            // One that a file may give the card: linux.sshd warns of it.
            _ => return None,
        };
        wrong = wrong.or(Some(Door::stuck(place, why)));
    }
    wrong
}

/// The address without the port behind it.
fn host(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match address.matches(':').count() {
        1 => address.split(':').next().unwrap_or(address),
        _ => address,
    }
}

/// The same for a socket of systemd, which listens in the place of the server.
pub(super) fn of_socket(view: &dyn View, unit: &str) -> Result<Option<Door>> {
    let Unit::There { name, path } = Unit::find(view, unit)? else { return Ok(None) };
    let text = systemd::text(view, &name, &path)?;
    let mut addresses = Vec::new();
    for value in ini::values(&text, "Socket", "ListenStream") {
        match value {
            "" => addresses.clear(),
            // A port alone is one at all addresses.
            value if value.parse::<u16>().is_ok() => addresses.push((path.clone(), "0.0.0.0".to_owned())),
            value if value.starts_with("[::]") => addresses.push((path.clone(), "0.0.0.0".to_owned())),
            value if value.starts_with(['/', '@']) => addresses.push((path.clone(), "127.0.0.1".to_owned())),
            value => addresses.push((path.clone(), value.to_owned())),
        }
    }
    Ok(shut(&addresses, "any"))
}
