//! systemd-networkd: of all `.network` files the first that fits a card counts (systemd.network(5)).

use std::collections::BTreeMap;

use super::hooks::Dispatcher;
use super::manager::{Manager, State};
use super::{
    Answer, Card, How, NO_ROUTE, ONLY_BY_VLAN, OTHER_ADDRESS, Said, Source, dhclient, netplan, permissions,
};
use crate::glob::matches;
use crate::place::Place;
use crate::text::ini;
use crate::{Result, View, services};

/// Where its files are; a name in an earlier one hides that name in the later ones.
const DIRS: [&str; 5] = [
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
];
/// How deep bridges over bonds over cards are followed.
const DEPTH: usize = 4;

/// Whether a file is for a card.
pub(super) enum Fit {
    Yes,
    No,
    /// Nobody can tell, and why.
    Unknown(String),
}

const MANAGER: Manager = Manager {
    unit: "systemd-networkd.service",
    programs: &[&["/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"]],
};
/// Starts it as soon as the kernel tells of a card.
const SOCKET: &str = "systemd-networkd.socket";

pub(super) fn answer(view: &dyn View, card: &Card) -> Result<Said> {
    let netplan::Rendered { networkd: rendered, broken, .. } = netplan::render(view)?;
    let pulled_in = !rendered.is_empty() || services::is_started(view, SOCKET)?;
    match MANAGER.state(view, pulled_in)? {
        State::Absent => return Ok(Said::Absent),
        State::Idle(why) => {
            let broken =
                broken.map(|place| Answer::none(place, "netplan cannot read it, and configures nothing"));
            return Ok(broken.map_or(Said::Idle(why), Said::Answer));
        }
        State::Doubtful(why) => return Ok(Said::doubtful(why)),
        State::Works => {}
    }
    let (mut networks, mut closed) = (Vec::new(), Vec::new());
    for file in files(view, ".network")? {
        let path = file.place.path().unwrap_or_default().to_owned();
        if permissions::may_read(view, MANAGER.unit, &path)? {
            networks.push(file)
        } else {
            closed.push(file)
        }
    }
    networks.extend(rendered);
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Said::Answer(match of(&networks, card, 0) {
        none @ Answer::None { .. } => {
            match closed.iter().find(|file| matches!(fits(&file.text, card), Fit::Yes)) {
                Some(file) => Answer::none(file.place.clone(), "systemd-networkd may not read it"),
                None => none,
            }
        }
        answer @ Answer::Address { .. } => Dispatcher::Networkd.fault(view, &card.name)?.unwrap_or(answer),
        answer => answer,
    }))
}

/// Whether netplan starts it once something writes a file for netplan.
pub(super) fn may_start(view: &dyn View) -> Result<bool> {
    Ok(netplan::is_installed(view)? && matches!(MANAGER.state(view, true)?, State::Works))
}

/// The `.link` files, which udev reads whoever configures the network.
pub(super) fn link_files(view: &dyn View) -> Result<Vec<Source>> {
    files(view, ".link")
}

/// All files of this kind in their order, each with its drop-ins behind it.
fn files(view: &dyn View, suffix: &str) -> Result<Vec<Source>> {
    let mut out: BTreeMap<String, Source> = BTreeMap::new();
    for dir in DIRS {
        for path in view.glob(dir, suffix)? {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            if out.contains_key(&name) {
                continue;
            }
            let mut text = view.text(&path)?.unwrap_or_default();
            // An empty file, or a link to /dev/null, hides those of the same name.
            if !text.is_empty() {
                for more in drop_ins(view, &name)? {
                    text = format!("{text}\n{}", view.text(&more)?.unwrap_or_default());
                }
            }
            out.insert(name.clone(), Source { name, place: Place::file(path), text });
        }
    }
    Ok(out.into_values().filter(|file| !file.text.trim().is_empty()).collect())
}

/// The files that add to one of this name, in their order.
fn drop_ins(view: &dyn View, name: &str) -> Result<Vec<String>> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for dir in DIRS {
        for path in view.glob(&format!("{dir}/{name}.d"), ".conf")? {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            out.entry(name).or_insert(path);
        }
    }
    Ok(out.into_values().collect())
}

fn of(networks: &[Source], card: &Card, depth: usize) -> Answer {
    for file in networks {
        match fits(&file.text, card) {
            Fit::No => {}
            Fit::Yes => return given(networks, file, depth),
            Fit::Unknown(why) => return Answer::unknown(file.place.clone(), why),
        }
    }
    let place = networks.first().map_or_else(|| Place::file(DIRS[0]), |file| file.place.clone());
    match place {
        Place::File { path, .. } if path.starts_with("/etc/netplan") => {
            Answer::none(path, format!("nothing in it is for {}", card.name))
        }
        _ => Answer::none(DIRS[0], format!("no file is for {}", card.name)),
    }
}

/// What the file that fits gives.
fn given(networks: &[Source], file: &Source, depth: usize) -> Answer {
    let (text, place) = (file.text.as_str(), file.place.clone());
    let value = |section, key| ini::values(text, section, key).last().copied().unwrap_or_default().to_owned();
    if is_yes(&value("Link", "Unmanaged")) || value("Link", "ActivationPolicy").contains("down") {
        return Answer::none(place, "the card is not to be managed");
    }
    if !value("Link", "MACAddress").is_empty() {
        return Answer::none(place, OTHER_ADDRESS);
    }
    let dhcp = value("Network", "DHCP");
    if is_yes(&dhcp) || matches!(dhcp.as_str(), "ipv4" | "both" | "v4") {
        let is_refused = |key| ["DHCPv4", "DHCP"].into_iter().any(|section| is_no(&value(section, key)));
        // The router is one of the routes that the server tells, and may be left out by itself.
        let gateway = match is_yes(&value("DHCPv4", "UseGateway")) {
            true => false,
            false => is_refused("UseGateway") || is_refused("UseRoutes"),
        };
        let has_own = ["Network", "Route"].iter().any(|section| !value(section, "Gateway").is_empty());
        if let Some(why) = routes_elsewhere(text) {
            return Answer::unknown(place, why);
        }
        return match (takes_no_answer(text), gateway && !has_own) {
            (true, _) => Answer::none(place, "it takes no answer of the target's DHCP server"),
            (_, true) => Answer::unknown(place, NO_ROUTE),
            (_, false) => Answer::address(place, How::Dhcp),
        };
    }
    let mut addresses = ini::values(text, "Network", "Address");
    addresses.extend(ini::values(text, "Address", "Address"));
    if addresses.iter().any(|address| address.contains('.')) {
        return Answer::address(place, How::Static);
    }
    let over = ["Bridge", "Bond", "IPVLAN"].map(|key| ini::values(text, "Network", key));
    for name in over.into_iter().flatten().flat_map(str::split_whitespace).filter(|_| depth < DEPTH) {
        let above = of(networks, &Card::over(name), depth + 1);
        if !matches!(above, Answer::None { .. }) {
            return above;
        }
    }
    let tagged = ["VLAN", "MACVLAN"].map(|key| ini::values(text, "Network", key));
    if tagged.iter().any(|names| !names.is_empty()) {
        return Answer::none(place, ONLY_BY_VLAN);
    }
    Answer::none(place, "the file that fits the card gives no address")
}

/// Whether the servers that are taken, or left out, leave the target's out.
fn takes_no_answer(text: &str) -> bool {
    let list = |keys: [&str; 2]| {
        let values = keys.into_iter().flat_map(|key| ini::values(text, "DHCPv4", key));
        let mut out: Vec<&str> = Vec::new();
        for value in values {
            match value {
                "" => out.clear(),
                value => out.extend(value.split_whitespace()),
            }
        }
        out
    };
    let (allowed, denied) = (list(["AllowList", "WhiteList"]), list(["DenyList", "BlackList"]));
    match allowed.is_empty() {
        true => denied.into_iter().any(dhclient::has_server),
        false => !allowed.into_iter().any(dhclient::has_server),
    }
}

/// Why the route that the server tells is not the one by which answers go.
fn routes_elsewhere(text: &str) -> Option<String> {
    let values = |section, key| ini::values(text, section, key);
    let table = values("DHCPv4", "RouteTable").pop().unwrap_or_default();
    if !matches!(table, "" | "main" | "254") {
        return Some(format!("its routes are in the table {table}, and rules say who takes them"));
    }
    if let Some(vrf) = values("Network", "VRF").pop().filter(|name| !name.is_empty()) {
        return Some(format!("the card is a part of the VRF {vrf}"));
    }
    let refuses = |section| values(section, "Type").into_iter().find(|kind| REFUSING.contains(kind));
    let kind = refuses("RoutingPolicyRule").or_else(|| refuses("Route"))?;
    Some(format!("it has rules of the type {kind}"))
}

/// Types of rules and routes by which nothing goes.
const REFUSING: [&str; 4] = ["blackhole", "prohibit", "throw", "unreachable"];

/// Whether all conditions of the section `[Match]` hold for a card.
pub(super) fn fits(text: &str, card: &Card) -> Fit {
    let mut conditions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in ini::entries(text).iter().filter(|entry| entry.section == "Match") {
        let values = conditions.entry(entry.key).or_default();
        match entry.value {
            "" => values.clear(),
            value => values.push(value),
        }
    }
    let mut unknown = None;
    for (key, values) in conditions.into_iter().filter(|(_, values)| !values.is_empty()) {
        let value = values.join(" ");
        match holds(key, &value, card) {
            Some(true) => {}
            Some(false) => return Fit::No,
            None => unknown = Some(format!("[Match] {key}={value} is not judged")),
        }
    }
    unknown.map_or(Fit::Yes, Fit::Unknown)
}

/// Whether one condition holds; `None` if nobody can tell.
fn holds(key: &str, value: &str, card: &Card) -> Option<bool> {
    let list = |name: &str| {
        let (negated, value) = value.strip_prefix('!').map_or((false, value), |value| (true, value));
        value.split_whitespace().any(|pattern| matches(pattern, name)) != negated
    };
    Some(match key {
        "Name" | "OriginalName" => list(&card.name),
        "Driver" => card.is_real() && list(&card.driver),
        "Type" => !card.is_real() || list("ether"),
        "Kind" => card.is_real() && value.starts_with('!'),
        // An address that the platform has not given away.
        "MACAddress" | "PermanentMACAddress" => false,
        "Path" if value.split_whitespace().all(is_on_another_bus) => false,
        "Path" if value == "*" => true,
        "Virtualization" => {
            let (negated, value) = value.strip_prefix('!').map_or((false, value), |value| (true, value));
            (matches!(value, "microsoft" | "vm") || is_yes(value)) != negated
        }
        "WLANInterfaceType" | "SSID" | "BSSID" => false,
        _ => return None,
    })
}

/// Whether a pattern of paths, as udev's `path_id` makes them ("pci-0000:00:05.0", "*-usb-*"), names a bus that
/// a card on VMBus is not behind.
fn is_on_another_bus(pattern: &str) -> bool {
    const BUSES: [&str; 9] = ["pci", "usb", "usbv2", "usbv3", "platform", "xen", "virtio", "bcma", "ccw"];
    let mut parts = pattern.split('-');
    !pattern.starts_with('!') && (pattern.starts_with("xen") || parts.any(|part| BUSES.contains(&part)))
}

fn is_no(value: &str) -> bool {
    matches!(value, "no" | "false" | "off" | "0")
}

fn is_yes(value: &str) -> bool {
    matches!(value, "yes" | "true" | "on" | "1")
}
