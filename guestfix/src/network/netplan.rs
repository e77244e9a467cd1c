//! netplan: all its YAML files are merged, and made into files of networkd or NetworkManager at each boot
//! (netplan(5)).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Source;
use crate::place::Place;
use crate::programs::cannot_start;
use crate::text::lines;
use crate::text::yaml_outline::{items, outline};
use crate::{Result, View};

/// A file in an earlier one hides one of its name in a later one.
const DIRS: [&str; 4] = ["/run/netplan", "/etc/netplan", "/usr/lib/netplan", "/lib/netplan"];
const GENERATORS: [&str; 2] =
    ["/usr/lib/systemd/system-generators/netplan", "/lib/systemd/system-generators/netplan"];

/// The files that are made.
#[derive(Default)]
pub(super) struct Rendered {
    pub(super) networkd: Vec<Source>,
    pub(super) networkmanager: Vec<Source>,
    /// Where a file is no YAML: netplan ends there, and makes nothing of any file.
    pub(super) broken: Option<Place>,
}

/// One interface, as all files together have it.
struct Definition<'a> {
    /// "ethernets", "bridges".
    kind: &'a str,
    id: &'a str,
    place: Place,
    /// The keys below it, joined by dots, with their values; those of lists in order.
    values: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> Definition<'a> {
    fn last(&self, key: &str) -> Option<&'a str> {
        self.values.get(key).and_then(|values| values.last()).copied()
    }

    fn all(&self, key: &str) -> &[&'a str] {
        self.values.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    fn is_true(&self, key: &str) -> bool {
        self.last(key).is_some_and(is_true)
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "y" | "1")
}

/// Whether the program is there that systemd runs for it at each boot.
pub(super) fn is_installed(view: &dyn View) -> Result<bool> {
    for generator in GENERATORS {
        if view.exists(generator)? {
            return Ok(cannot_start(view, generator, None)?.is_none());
        }
    }
    Ok(false)
}

/// What netplan makes at boot; nothing where it is not installed.
pub(super) fn render(view: &dyn View) -> Result<Rendered> {
    if !is_installed(view)? {
        return Ok(Rendered::default());
    }
    let texts = files(view)?;
    for (file, text) in &texts {
        if let Some(line) = broken_line(text) {
            return Ok(Rendered { broken: Some(Place::line(file, line)), ..Rendered::default() });
        }
    }
    let (mut renderer, mut definitions): (&str, Vec<Definition<'_>>) = ("networkd", Vec::new());
    for (file, text) in &texts {
        for node in outline(text) {
            match node.path.as_slice() {
                ["network", "renderer"] => renderer = node.value,
                [
                    "network",
                    kind @ ("ethernets" | "bridges" | "bonds" | "vlans" | "wifis" | "dummy-devices"),
                    id,
                    rest @ ..,
                ] => {
                    let known = definitions.iter().position(|one| one.kind == *kind && one.id == *id);
                    let index = known.unwrap_or_else(|| {
                        let place = Place::line(file, node.line);
                        definitions.push(Definition { kind, id, place, values: BTreeMap::new() });
                        definitions.len() - 1
                    });
                    let values = definitions[index].values.entry(rest.join(".")).or_default();
                    values.extend(items(text, &node));
                }
                _ => {}
            }
        }
    }
    let mut rendered = Rendered::default();
    for one in &definitions {
        let own = one.last("renderer").unwrap_or(renderer);
        if own == "NetworkManager" {
            rendered.networkmanager.push(source(one, keyfile(one, &definitions), "nmconnection"));
        } else {
            rendered.networkd.push(source(one, network(one, &definitions), "network"));
        }
    }
    Ok(rendered)
}

/// The first line that is neither a key nor an item of a list, nor within brackets; and one that a tab indents.
fn broken_line(text: &str) -> Option<usize> {
    let mut open = 0_i64;
    for line in lines(text) {
        let body = line.body.split(" #").next().unwrap_or_default();
        let rest = body.trim_start_matches(' ');
        let is_item = rest.starts_with("- ") || rest == "-" || matches!(rest.trim(), "---" | "...");
        let is_nothing = rest.trim().is_empty() || rest.starts_with('#');
        if open == 0 && !is_nothing && (rest.starts_with('\t') || !is_item && !rest.contains(':')) {
            return Some(line.number);
        }
        let count = |brackets: [char; 2]| body.matches(brackets).count() as i64;
        open += count(['[', '{']) - count([']', '}']);
    }
    None
}

fn files(view: &dyn View) -> Result<Vec<(String, String)>> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for dir in DIRS {
        for path in view.glob(dir, ".yaml")? {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            found.entry(name).or_insert(path);
        }
    }
    let mut out = Vec::new();
    for path in found.into_values() {
        let text = view.text(&path)?.unwrap_or_default();
        out.push((path, text));
    }
    Ok(out)
}

fn source(one: &Definition<'_>, text: String, suffix: &str) -> Source {
    Source { name: format!("10-netplan-{}.{suffix}", one.id), place: one.place.clone(), text }
}

/// The bridges and bonds that have it as a port, and the VLANs over it: kind and name of each.
fn above<'a>(one: &Definition<'_>, all: &[Definition<'a>]) -> Vec<(&'a str, &'a str)> {
    let has = |other: &&Definition<'a>| {
        other.all("interfaces").contains(&one.id)
            || other.kind == "vlans" && other.last("link") == Some(one.id)
    };
    all.iter().filter(has).map(|other| (other.kind, other.id)).collect()
}

/// Whether it leaves the routes of the DHCP server, and has none of its own.
fn takes_no_routes(one: &Definition<'_>) -> bool {
    one.last("dhcp4-overrides.use-routes").is_some_and(|value| !is_true(value))
        && !one.values.keys().any(|key| key == "gateway4" || key.starts_with("routes"))
}

/// The `.network` file of networkd.
fn network(one: &Definition<'_>, all: &[Definition<'_>]) -> String {
    let mut text = "[Match]\n".to_owned();
    let matched = one.values.keys().any(|key| key.starts_with("match"));
    if !matched {
        _ = writeln!(text, "Name={}", one.id);
    }
    for (key, name) in
        [("match.name", "Name"), ("match.driver", "Driver"), ("match.macaddress", "MACAddress")]
    {
        let values: Vec<&str> = one.all(key).iter().copied().filter(|value| !value.is_empty()).collect();
        if !values.is_empty() {
            _ = writeln!(text, "{name}={}", values.join(" "));
        }
    }
    text += "[Network]\n";
    if one.is_true("dhcp4") {
        text += "DHCP=ipv4\n";
    }
    one.all("addresses").iter().for_each(|address| _ = writeln!(text, "Address={address}"));
    for (kind, id) in above(one, all) {
        let key = match kind {
            "bridges" => "Bridge",
            "bonds" => "Bond",
            _ => "VLAN",
        };
        _ = writeln!(text, "{key}={id}");
    }
    if matches!(one.last("activation-mode"), Some("manual" | "off")) {
        text += "[Link]\nUnmanaged=yes\n";
    }
    if let Some(address) = one.last("macaddress").filter(|_| one.kind == "ethernets") {
        _ = writeln!(text, "[Link]\nMACAddress={address}");
    }
    if takes_no_routes(one) {
        text += "[DHCPv4]\nUseRoutes=no\n";
    }
    text
}

/// The profile of NetworkManager.
fn keyfile(one: &Definition<'_>, all: &[Definition<'_>]) -> String {
    let kind = match one.kind {
        "ethernets" => "ethernet",
        "bridges" => "bridge",
        "bonds" => "bond",
        "vlans" => "vlan",
        other => other,
    };
    let mut text = format!("[connection]\nid=netplan-{}\ntype={kind}\n", one.id);
    if !one.values.keys().any(|key| key.starts_with("match")) {
        _ = writeln!(text, "interface-name={}", one.id);
    }
    if matches!(one.last("activation-mode"), Some("manual" | "off")) {
        text += "autoconnect=false\n";
    }
    for (kind, id) in above(one, all).into_iter().filter(|(kind, _)| *kind != "vlans") {
        _ = writeln!(text, "slave-type={}\nmaster={id}", kind.trim_end_matches('s'));
    }
    text += "[match]\n";
    for (key, name) in [("match.name", "interface-name"), ("match.driver", "driver")] {
        let values: Vec<&str> = one.all(key).iter().copied().filter(|value| !value.is_empty()).collect();
        if !values.is_empty() {
            _ = writeln!(text, "{name}={}", values.join(";"));
        }
    }
    text += "[ethernet]\n";
    for (key, name) in [("match.macaddress", "mac-address"), ("macaddress", "cloned-mac-address")] {
        if let Some(address) = one.last(key).filter(|_| one.kind == "ethernets") {
            _ = writeln!(text, "{name}={address}");
        }
    }
    if let Some(link) = one.last("link") {
        _ = writeln!(text, "[vlan]\nparent={link}");
    }
    let has_address = one.all("addresses").iter().any(|address| address.contains('.'));
    let method = match (one.is_true("dhcp4"), has_address) {
        (true, _) => "auto",
        (false, true) => "manual",
        (false, false) => "disabled",
    };
    _ = writeln!(text, "[ipv4]\nmethod={method}");
    if takes_no_routes(one) {
        text += "never-default=true\n";
    }
    text
}
