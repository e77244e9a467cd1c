//! NetworkManager: of the profiles that fit a card the one of the highest priority counts; a card without any
//! gets one that asks for DHCP, unless that is forbidden (NetworkManager.conf(5), nm-settings-keyfile(5)).

use super::hooks::Dispatcher;
use super::manager::Manager;
use super::{
    Answer, Card, How, NO_ROUTE, ONLY_BY_VLAN, OTHER_ADDRESS, Said, Source, dhclient, ifcfg, netplan,
};
use crate::glob::matches;
use crate::place::Place;
use crate::text::ini;
use crate::{Result, View};

const PROFILES: [&str; 3] = [
    "/etc/NetworkManager/system-connections",
    "/run/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
];
const CONF: &str = "/etc/NetworkManager/NetworkManager.conf";
const CONF_DIRS: [&str; 3] =
    ["/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"];
/// What it keeps: whether somebody has switched the network off.
const STATE: &str = "/var/lib/NetworkManager/NetworkManager.state";
/// How deep bridges over bonds over cards are followed.
const DEPTH: usize = 4;
/// It has a DHCP client of its own.
const MANAGER: Manager = Manager { unit: "NetworkManager.service", programs: &[&["NetworkManager"]] };

/// A connection profile, of whichever format.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    pub(super) place: Option<Place>,
    /// What others name it by: its id, UUID and interface.
    pub(super) names: Vec<String>,
    /// "ethernet", "bridge".
    pub(super) kind: String,
    /// The interface that it is for, where it is for one only.
    pub(super) interface: Option<String>,
    /// Patterns of interfaces and of drivers.
    pub(super) interfaces: Vec<String>,
    pub(super) drivers: Vec<String>,
    /// It is for one hardware address, or a place on a bus.
    pub(super) is_pinned: bool,
    /// Whether it gives the card another hardware address, where it says anything of that.
    pub(super) is_cloned: Option<bool>,
    /// It takes no default route.
    pub(super) has_no_route: bool,
    /// It takes no answer of the target's DHCP server.
    pub(super) takes_no_answer: bool,
    pub(super) autoconnect: bool,
    pub(super) priority: i64,
    /// "auto", "manual".
    pub(super) method: String,
    /// The bridge or bond that it is a port of.
    pub(super) master: Option<String>,
    /// What a VLAN is over.
    pub(super) parent: Option<String>,
}

impl Profile {
    /// As any program of it would start.
    pub(super) fn new(place: Place, kind: &str) -> Self {
        let (place, kind) = (Some(place), kind.to_owned());
        Self { place, kind, autoconnect: true, method: "auto".into(), ..Self::default() }
    }

    fn place(&self) -> Place {
        self.place.clone().unwrap_or_else(|| Place::file(PROFILES[0]))
    }

    fn fits(&self, card: &Card) -> bool {
        let any = |patterns: &[String], name: &str| patterns.is_empty() || is_listed(patterns, name);
        self.kind == "ethernet"
            && self.autoconnect
            && !self.is_pinned
            && self.interface.as_ref().is_none_or(|name| *name == card.name)
            && any(&self.interfaces, &card.name)
            && any(&self.drivers, &card.driver)
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// Whether a list of patterns, those behind `!` and `&` with their meaning, has the name.
fn is_listed(patterns: &[String], name: &str) -> bool {
    let fits = |pattern: &str| matches(pattern.trim_start_matches(['|', '&', '!']), name);
    let (must, may): (Vec<&String>, Vec<&String>) =
        patterns.iter().partition(|pattern| pattern.starts_with(['!', '&']));
    must.iter().all(|pattern| fits(pattern) != pattern.contains('!'))
        && (may.is_empty() || may.iter().any(|pattern| fits(pattern)))
}

pub(super) fn answer(view: &dyn View, card: &Card) -> Result<Said> {
    MANAGER.said(view, || at_work(view, card))
}

fn at_work(view: &dyn View, card: &Card) -> Result<Answer> {
    let kept = view.text(STATE)?.unwrap_or_default();
    if ini::values(&kept, "main", "NetworkingEnabled").last().is_some_and(|value| is_no(value)) {
        return Ok(Answer::none(STATE, "NetworkingEnabled=false switches all cards off"));
    }
    let conf = configuration(view)?;
    if let Some(place) = unmanaged(view, &conf, card)? {
        return Ok(Answer::none(place, format!("NetworkManager does not manage {}", card.name)));
    }
    let profiles = profiles(view, &conf)?;
    let fitting = profiles.iter().filter(|profile| profile.fits(card));
    let best = fitting.clone().map(|profile| profile.priority).max();
    // Among equals the one that was used last counts, which is written down nowhere: one that gives an
    // address is none that a machine would have been without.
    let fitting = fitting.filter(|profile| Some(profile.priority) == best);
    if let Some((file, value)) = value(&conf, "connection", "ethernet.cloned-mac-address")
        && !matches!(value, "" | "permanent" | "preserve")
        && !fitting.clone().any(|profile| profile.is_cloned == Some(false))
    {
        return Ok(Answer::none(file.place.clone(), OTHER_ADDRESS));
    }
    let answer = fitting.map(|one| given(&profiles, one, 0)).max_by_key(Answer::rank);
    let answer = answer.unwrap_or_else(|| match makes_none(&conf, card) {
        Some(place) => Answer::none(place, "no card gets a profile by itself, and none has one"),
        None => Answer::address(CONF, How::Dhcp),
    });
    Ok(match answer {
        Answer::Address { .. } => Dispatcher::NetworkManager.fault(view, &card.name)?.unwrap_or(answer),
        answer => answer,
    })
}

/// What a profile gives its card.
fn given(profiles: &[Profile], profile: &Profile, depth: usize) -> Answer {
    let place = profile.place();
    if profile.is_cloned == Some(true) && profile.kind == "ethernet" {
        return Answer::none(place, OTHER_ADDRESS);
    }
    if let Some(master) = &profile.master {
        let above = profiles.iter().find(|other| other.autoconnect && other.is_named(master));
        return match above.filter(|_| depth < DEPTH) {
            Some(above) => given(profiles, above, depth + 1),
            None => Answer::none(place, format!("the card is a port of {master}, which has no profile")),
        };
    }
    let own = match profile.method.as_str() {
        "auto" if profile.takes_no_answer => {
            return Answer::none(place, "it takes no answer of the target's DHCP server");
        }
        "auto" if profile.has_no_route => return Answer::unknown(place, NO_ROUTE),
        "auto" => return Answer::address(place, How::Dhcp),
        "manual" => Answer::address(place, How::Static),
        method => Answer::none(place, format!("the method of IPv4 is {method:?}")),
    };
    let over = profiles.iter().filter(|other| {
        other.autoconnect && other.parent.as_ref().is_some_and(|parent| profile.is_named(parent))
    });
    let over = over.filter(|_| depth < DEPTH).map(|other| match other.kind.as_str() {
        "vlan" | "macvlan" => Answer::none(other.place(), ONLY_BY_VLAN),
        _ => given(profiles, other, depth + 1),
    });
    [own].into_iter().chain(over).max_by_key(Answer::rank).unwrap_or_else(|| Answer::none(CONF, ""))
}

/// The files of its configuration, in the order in which they are read.
fn configuration(view: &dyn View) -> Result<Vec<Source>> {
    let mut files: Vec<(String, String)> = Vec::new();
    for dir in CONF_DIRS {
        for path in view.glob(dir, ".conf")? {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            files.retain(|(known, _)| *known != name);
            files.push((name, path));
        }
    }
    files.sort();
    // Of /usr/lib come first, then the main file, then those of /etc.
    let of_packages = files.iter().filter(|(_, path)| path.starts_with("/usr")).map(|(_, path)| path.clone());
    let others = files.iter().filter(|(_, path)| !path.starts_with("/usr")).map(|(_, path)| path.clone());
    let mut out = Vec::new();
    for path in of_packages.chain([CONF.to_owned()]).chain(others) {
        if let Some(text) = view.text(&path)? {
            out.push(Source { name: path.clone(), place: Place::file(path), text });
        }
    }
    Ok(out)
}

/// The last value of a key, and the file it is in.
fn value<'a>(conf: &'a [Source], section: &str, key: &str) -> Option<(&'a Source, &'a str)> {
    conf.iter().rev().find_map(|file| Some((file, *ini::values(&file.text, section, key).last()?)))
}

/// The file that keeps NetworkManager from the card.
fn unmanaged(view: &dyn View, conf: &[Source], card: &Card) -> Result<Option<Place>> {
    if let Some((file, list)) = value(conf, "keyfile", "unmanaged-devices")
        && is_specified(list, card)
    {
        return Ok(Some(file.place.clone()));
    }
    for file in conf {
        for entry in ini::entries(&file.text) {
            let is_off = entry.section.starts_with("device") && entry.key == "managed" && is_no(entry.value);
            let device = ini::values(&file.text, entry.section, "match-device");
            if is_off && device.last().is_none_or(|list| is_specified(list, card)) {
                return Ok(Some(file.place.clone()));
            }
        }
    }
    // Debian's plugin leaves alone what ifupdown has, unless it is told otherwise.
    let plugins = value(conf, "main", "plugins").map(|(_, list)| list).unwrap_or_default();
    let managed = value(conf, "ifupdown", "managed").is_some_and(|(_, value)| !is_no(value));
    if plugins.split([',', ';']).any(|plugin| plugin.trim() == "ifupdown") && !managed {
        return super::ifupdown::names(view, &card.name);
    }
    Ok(None)
}

fn is_no(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0")
}

/// Whether a list of device specifications has the card.
fn is_specified(list: &str, card: &Card) -> bool {
    let fits = |spec: &str| match spec.split_once(':') {
        None => matches(spec, &card.name),
        Some(("interface-name", "=*")) => true,
        Some(("interface-name", name)) => matches(name.trim_start_matches(['=', '~']), &card.name),
        Some(("driver", driver)) => matches(driver.split('/').next().unwrap_or(driver), &card.driver),
        Some(("type", kind)) => kind == "ethernet",
        // An address that the card on Azure does not have; and what else is none of its names.
        Some(_) => false,
    };
    let specs = || list.split([',', ';']).map(str::trim).filter(|spec| !spec.is_empty());
    let except = specs().filter_map(|spec| spec.strip_prefix("except:")).any(fits);
    let has_others = specs().any(|spec| !spec.starts_with("except:"));
    !except
        && (specs().filter(|spec| !spec.starts_with("except:")).any(fits) || !has_others && !list.is_empty())
}

/// The file by which a card without a profile gets none.
fn makes_none(conf: &[Source], card: &Card) -> Option<Place> {
    let (file, list) = value(conf, "main", "no-auto-default")?;
    is_specified(list, card).then(|| file.place.clone())
}

/// All profiles: keyfiles, what netplan makes, and those of initscripts.
fn profiles(view: &dyn View, conf: &[Source]) -> Result<Vec<Profile>> {
    let mut out: Vec<Profile> = netplan::render(view)?
        .networkmanager
        .iter()
        .filter_map(|file| keyfile(file.place.clone(), &file.text))
        .collect();
    let mut names = Vec::new();
    for dir in PROFILES {
        for path in view.glob(dir, "")? {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            let is_copy = name.starts_with('.')
                || [".pre-azure", "~", ".rpmsave", ".rpmnew"].iter().any(|end| name.ends_with(end));
            if is_copy || names.contains(&name) {
                continue;
            }
            let text = view.text(&path)?.unwrap_or_default();
            if !is_open(view, &path)? {
                out.extend(keyfile(Place::file(path), &text));
            }
            names.push(name);
        }
    }
    let plugins = value(conf, "main", "plugins").map(|(_, list)| list);
    if plugins.is_none_or(|list| list.contains("ifcfg-rh")) {
        out.extend(ifcfg::profiles(view)?);
    }
    Ok(out)
}

/// Whether others may read or write a file, or have it: NetworkManager takes no such one for a keyfile.
fn is_open(view: &dyn View, path: &str) -> Result<bool> {
    let packaged = path.starts_with("/usr/");
    Ok(!packaged && view.stat(path)?.is_some_and(|node| node.mode & 0o077 != 0 || node.uid != 0))
}

/// A keyfile; `None` if it is none: NetworkManager leaves out what it cannot read as a whole.
fn keyfile(place: Place, text: &str) -> Option<Profile> {
    let is_entry = |line: &str| {
        let is_section = line.starts_with('[') && line.ends_with(']');
        line.is_empty() || line.starts_with('#') || is_section || line.contains('=')
    };
    if !text.lines().all(|line| is_entry(line.trim())) || !text.contains("[connection]") {
        return None;
    }
    let value =
        |section, key| ini::values(text, section, key).last().copied().filter(|value| !value.is_empty());
    let list = |section, key| -> Vec<String> {
        let words = value(section, key).unwrap_or_default().split([';', ',']);
        words.map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let either = |section, keys: [&'static str; 2]| keys.into_iter().find_map(|key| value(section, key));
    let kind = match value("connection", "type").unwrap_or("ethernet") {
        "802-3-ethernet" => "ethernet",
        kind => kind,
    };
    let pins = [
        ("ethernet", "mac-address"),
        ("802-3-ethernet", "mac-address"),
        ("match", "path"),
        ("match", "kernel-command-line"),
    ];
    let names = ["id", "uuid", "interface-name"].into_iter().filter_map(|key| value("connection", key));
    Some(Profile {
        names: names.map(str::to_owned).collect(),
        interface: value("connection", "interface-name").map(str::to_owned),
        interfaces: list("match", "interface-name"),
        drivers: list("match", "driver"),
        is_pinned: pins.into_iter().any(|(section, key)| value(section, key).is_some()),
        is_cloned: ["ethernet", "802-3-ethernet"]
            .into_iter()
            .find_map(|section| value(section, "cloned-mac-address"))
            .map(|value| !matches!(value, "permanent" | "preserve")),
        has_no_route: ["never-default", "ignore-auto-routes"]
            .into_iter()
            .any(|key| value("ipv4", key).is_some_and(|value| !is_no(value)))
            && value("ipv4", "gateway").is_none()
            && value("ipv4", "route1").is_none()
            || value("ipv4", "route-table").is_some_and(|table| !matches!(table, "0" | "254")),
        takes_no_answer: list("ipv4", "dhcp-reject-servers").iter().any(|net| dhclient::has_server(net)),
        // That of a user waits until the user has logged in.
        autoconnect: !value("connection", "autoconnect").is_some_and(is_no)
            && value("connection", "permissions").is_none(),
        priority: value("connection", "autoconnect-priority")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0),
        method: value("ipv4", "method").unwrap_or("auto").to_owned(),
        master: either("connection", ["controller", "master"]).map(str::to_owned),
        parent: value("vlan", "parent").or_else(|| value("macvlan", "parent")).map(str::to_owned),
        ..Profile::new(place, kind)
    })
}
