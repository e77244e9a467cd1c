//! Where the server listens: at addresses that the target's card has (sshd_config(5), "ListenAddress";
//! systemd.socket(5)).

use super::super::login::Door;
use super::config::Settings;
use crate::network::{self, Answer, How};
use crate::systemd::{self, Unit};
use crate::text::ini;
use crate::{Guest, Result, View};

/// Makes the socket's addresses from those of the server's own configuration.
const GENERATORS: &[&str] = &[
    "/usr/lib/systemd/system-generators/sshd-socket-generator",
    "/lib/systemd/system-generators/sshd-socket-generator",
];

/// An address, its port if it has one, and where it is named.
struct Address {
    place: String,
    host: String,
    port: Option<u16>,
}

/// Where the server listens, as its unit or its configuration names it.
pub(super) struct Listen {
    addresses: Vec<Address>,
    /// Of addresses without one of their own.
    ports: Vec<u16>,
    family: String,
}

impl Listen {
    pub(super) fn of(view: &dyn View, unit: &str, settings: &Settings) -> Result<Self> {
        if unit.ends_with(".socket")
            && let Unit::There { name, path } = Unit::find(view, unit)?
        {
            let mut is_made = false;
            for generator in GENERATORS {
                is_made |= view.exists(generator)?;
            }
            if !is_made {
                return Ok(Self::of_socket(&path, &systemd::text(view, &name, &path)?));
            }
        }
        Ok(Self {
            addresses: settings.addresses.iter().map(|(place, value)| Address::new(place, value)).collect(),
            ports: settings.ports.clone(),
            family: settings.family.clone().unwrap_or_else(|| "any".into()),
        })
    }

    /// That of a socket of systemd, which listens in the place of the server.
    fn of_socket(path: &str, text: &str) -> Self {
        let mut addresses = Vec::new();
        for value in ini::values(text, "Socket", "ListenStream") {
            match (value, value.parse::<u16>()) {
                ("", _) => addresses.clear(),
                (_, Ok(port)) => {
                    let any = Address { place: path.to_owned(), host: "0.0.0.0".into(), port: Some(port) };
                    addresses.push(any);
                }
                // `::` has IPv4 as well, as BindIPv6Only= is by itself
                _ => addresses.push(Address::new(path, &value.replacen("[::]", "0.0.0.0", 1))),
            }
        }
        Self { addresses, ports: Vec::new(), family: "any".into() }
    }

    /// Whether it is the port at which firewalls let ssh in.
    pub(super) fn is_at_22(&self) -> bool {
        let by_port = self.ports.is_empty() || self.ports.contains(&22);
        match self.addresses.is_empty() {
            true => by_port,
            false => self.addresses.iter().any(|one| one.port.map_or(by_port, |port| port == 22)),
        }
    }

    /// Why nobody reaches the server there.
    pub(super) fn shut(&self, guest: &Guest<'_>) -> Result<Option<Door>> {
        if self.family == "inet6" && !self.addresses.iter().any(|one| one.host.contains('.')) {
            let place = self.addresses.first().map_or(super::CONFIGS[0], |one| &one.place);
            let why = "sshd listens by IPv6 only, and the target's card has IPv4";
            return Ok(Some(Door::stuck(place, why)));
        }
        let mut wrong = None;
        for Address { place, host, .. } in &self.addresses {
            let door = match host.as_str() {
                "0.0.0.0" | "*" if self.family != "inet6" => return Ok(None),
                "::" => Door::stuck(place, "sshd listens by IPv6 only, and the target's card has IPv4"),
                host if is_inside(host) => {
                    Door::stuck(place, format!("sshd listens at {host}, which nobody else reaches"))
                }
                // A file that gives the card its address is judged by the network's hop.
                _ if has_fixed_address(guest)? => return Ok(None),
                host => {
                    let why = format!("sshd listens at {host} only: whether the card gets that is not said");
                    Door::Unsure { place: place.clone(), why }
                }
            };
            if !matches!(wrong, Some(Door::Unsure { .. })) {
                wrong = Some(door);
            }
        }
        Ok(wrong)
    }
}

impl Address {
    fn new(place: &str, value: &str) -> Self {
        let parts = match value.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.trim_start_matches(':'))),
            None if value.matches(':').count() == 1 => value.split_once(':'),
            None => None,
        };
        let (host, port) = parts.unwrap_or((value, ""));
        Self { place: place.to_owned(), host: host.to_owned(), port: port.parse().ok() }
    }
}

/// Whether an address is within the machine: of the loopback, a socket in a folder, or one of a hypervisor.
fn is_inside(host: &str) -> bool {
    host == "localhost"
        || host == "::1"
        || host.starts_with("127.")
        || host.starts_with(['/', '@'])
        || host.starts_with("vsock:")
}

fn has_fixed_address(guest: &Guest<'_>) -> Result<bool> {
    let answer = network::answer(guest.view, guest.goal.target.platform)?;
    Ok(matches!(answer, Answer::Address { how: How::Static, .. }))
}
