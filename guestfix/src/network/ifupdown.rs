//! ifupdown: `/etc/network/interfaces` and the files it sources (interfaces(5)).

use std::collections::BTreeSet;

use super::manager::{Manager, State, lacks_client};
use super::{Answer, Card, How, ONLY_BY_VLAN, OTHER_ADDRESS, Said, dhclient, hooks};
use crate::glob::matches;
use crate::place::{Evidence, Place};
use crate::text::{lines, shell_assign};
use crate::{Result, View};

const MAIN: &str = "/etc/network/interfaces";
/// What its service is told.
const DEFAULTS: &str = "/etc/default/networking";
const MANAGER: Manager = Manager { unit: "networking.service", programs: &[&["ifup"]] };
/// In the order in which ifupdown looks for them.
const CLIENTS: [&str; 6] = ["dhclient", "dhclient3", "udhcpc", "dhcpcd", "pump", "dhcpcd5"];
/// Debian's cloud images configure any card when it appears.
const HELPER: &str = "/etc/network/cloud-ifupdown-helper";
const HELPER_RULES: [&str; 3] = [
    "/etc/udev/rules.d/75-cloud-ifupdown.rules",
    "/usr/lib/udev/rules.d/75-cloud-ifupdown.rules",
    "/lib/udev/rules.d/75-cloud-ifupdown.rules",
];
/// How deep files that source files are followed.
const DEPTH: usize = 8;
/// How deep bridges over bonds over cards are followed.
const PORTS: usize = 4;

/// A stanza `iface`.
#[derive(Default)]
struct Interface {
    name: String,
    family: String,
    method: String,
    /// The options below it, each with its words.
    options: Vec<Vec<String>>,
    place: Option<Place>,
}

/// All that is configured.
#[derive(Default)]
struct Configuration {
    /// Names, or patterns behind a slash, that are started at boot or when they appear.
    started: Vec<String>,
    interfaces: Vec<Interface>,
    /// Names that scripts map to others.
    mapped: Vec<(String, Place)>,
    read: BTreeSet<String>,
    /// Where an option belongs to no stanza.
    misplaced: Option<Place>,
}

impl Configuration {
    fn is_started(&self, name: &str) -> bool {
        self.started.iter().any(|one| fits(one, name))
    }

    /// What is written for an interface, of IPv4.
    fn of(&self, name: &str) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter().filter(move |one| one.name == name && one.family == "inet")
    }
}

impl Configuration {
    /// What is written for a card, or for what is over it.
    fn concerning(&self, name: &str) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter().filter(move |one| {
            one.family == "inet" && (one.name == name || !is_vlan(one) && has_port(one, name))
        })
    }
}

/// Why the bridge or bond over the card does not come to be: what makes it of the options is a script of
/// another package (bridge-utils-interfaces(5)).
fn lacks_tool(view: &dyn View, configuration: &Configuration, name: &str) -> Result<Option<Answer>> {
    const TOOLS: [(&[&str], &str, &[&str]); 2] = [
        (
            &["bridge-ports"],
            "bridge-utils",
            &["/etc/network/if-pre-up.d/bridge", "/usr/libexec/ifupdown-ng/bridge"],
        ),
        (
            &["bond-slaves", "slaves"],
            "ifenslave",
            &["/etc/network/if-pre-up.d/ifenslave", "/usr/libexec/ifupdown-ng/bond"],
        ),
    ];
    if configuration.of(name).any(|one| one.method != "manual") {
        return Ok(None);
    }
    for one in configuration.concerning(name).filter(|one| one.name != name) {
        let option = |wanted: &str| {
            one.options.iter().any(|words| words.first().is_some_and(|key| key.replace('_', "-") == wanted))
        };
        // It is made by hand.
        if option("pre-up") {
            continue;
        }
        for (options, package, scripts) in TOOLS {
            if !options.iter().any(|name| option(name)) {
                continue;
            }
            let mut is_there = false;
            for script in scripts {
                is_there |= view.exists(script)?;
            }
            if !is_there {
                let place = one.place.clone().unwrap_or_else(|| Place::file(MAIN));
                let why = format!("nothing makes {} of its options: {package} is not installed", one.name);
                return Ok(Some(Answer::none(place, why)));
            }
        }
    }
    Ok(None)
}

/// Whether a name of `auto` is this one: behind a slash it is a pattern.
fn fits(written: &str, name: &str) -> bool {
    written == name || written.strip_prefix('/').is_some_and(|pattern| matches(pattern, name))
}

pub(super) fn answer(view: &dyn View, card: &Card) -> Result<Said> {
    Ok(match MANAGER.state(view, false)? {
        State::Absent => Said::Absent,
        State::Idle(why) => Said::Idle(why),
        State::Doubtful(why) => Said::doubtful(why),
        State::Works if !view.exists(MAIN)? => {
            Said::Idle(Evidence::new(MAIN, "there is no file of ifupdown"))
        }
        State::Works => Said::Answer(at_work(view, card)?),
    })
}

fn at_work(view: &dyn View, card: &Card) -> Result<Answer> {
    let defaults = view.text(DEFAULTS)?.unwrap_or_default();
    if shell_assign::get(&defaults, "CONFIGURE_INTERFACES") == Some("no") {
        return Ok(Answer::none(DEFAULTS, "CONFIGURE_INTERFACES=no keeps all cards from being started"));
    }
    let excluded = shell_assign::get(&defaults, "EXCLUDE_INTERFACES").unwrap_or_default();
    if excluded.split_whitespace().any(|pattern| matches(pattern, &card.name)) {
        return Ok(Answer::none(DEFAULTS, format!("EXCLUDE_INTERFACES keeps {} out", card.name)));
    }
    let configuration = configuration(view)?;
    if let Some(place) = &configuration.misplaced {
        return Ok(Answer::none(
            place.clone(),
            "this option belongs to no stanza, and ifupdown gives up at it",
        ));
    }
    let lacks = lacks_client(view, &CLIENTS)?;
    if let Some((_, place)) = configuration.mapped.iter().find(|(pattern, _)| matches(pattern, &card.name)) {
        return Ok(Answer::unknown(place.clone(), format!("a script says what {} is", card.name)));
    }
    let own = of(&configuration, &card.name, lacks.as_deref(), 0);
    if matches!(own, Answer::Address { .. }) {
        if let Some(answer) = lacks_tool(view, &configuration, &card.name)? {
            return Ok(answer);
        }
        for one in configuration.concerning(&card.name) {
            let place = one.place.clone().unwrap_or_else(|| Place::file(MAIN));
            if let Some(answer) = hooks::fault(view, &one.name, &place, &one.options)? {
                return Ok(answer);
            }
        }
    }
    if own.is_dhcp()
        && let Some(why) = dhclient::doubt(view, &CLIENTS)?
        && let Answer::Address { by, .. } = own
    {
        return Ok(Answer::unknown(by, why));
    }
    if matches!(own, Answer::None { .. }) && lacks.is_none() && view.exists(HELPER)? {
        for rules in HELPER_RULES {
            let masked = view.read_link(HELPER_RULES[0])?.as_deref() == Some("/dev/null");
            if !masked && view.exists(rules)? && configuration.of(&card.name).next().is_none() {
                return Ok(Answer::address(rules, How::Dhcp));
            }
        }
    }
    Ok(own)
}

/// The file that names an interface, if one does.
pub(super) fn names(view: &dyn View, interface: &str) -> Result<Option<Place>> {
    let configuration = configuration(view)?;
    Ok(configuration.of(interface).find_map(|one| one.place.clone()))
}

/// What is written for an interface; `lacks` says why there is no DHCP client.
fn of(configuration: &Configuration, name: &str, lacks: Option<&str>, depth: usize) -> Answer {
    let mut best = Answer::none(MAIN, format!("no stanza is for {name}"));
    for one in configuration.of(name) {
        best = given(configuration, one, lacks);
        if matches!(best, Answer::Address { .. }) {
            return best;
        }
    }
    // A bridge or bond starts its ports.
    for above in configuration.interfaces.iter().filter(|_| depth < PORTS) {
        if above.name != name && has_port(above, name) {
            let answer = match is_vlan(above) {
                true => Answer::none(above.place.clone().unwrap_or_else(|| Place::file(MAIN)), ONLY_BY_VLAN),
                false => of(configuration, &above.name, lacks, depth + 1),
            };
            // That it is there tells more than that the card itself has nothing.
            if answer.rank() > best.rank() {
                best = answer;
            }
        }
    }
    // A port may name its bond itself.
    for own in configuration.of(name).filter(|_| depth < PORTS) {
        for words in &own.options {
            if let [key, master, ..] = words.as_slice()
                && matches!(key.replace('_', "-").as_str(), "bond-master" | "bridge-master")
            {
                let answer = of(configuration, master, lacks, depth + 1);
                if answer.rank() > best.rank() {
                    best = answer;
                }
            }
        }
    }
    best
}

/// Whether the option names what a bridge, bond or VLAN is over.
pub(crate) fn lists_ports(option: &str) -> bool {
    let option = option.replace('_', "-");
    matches!(option.as_str(), "bridge-ports" | "bond-slaves" | "slaves" | "vlan-raw-device")
}

/// Whether it is a VLAN: by its name, or by what it is over.
fn is_vlan(one: &Interface) -> bool {
    let mut keys = one.options.iter().filter_map(|words| words.first());
    let is_named = one.name.split_once('.').is_some_and(|(_, id)| id.parse::<u16>().is_ok());
    is_named || keys.any(|key| key.replace('_', "-") == "vlan-raw-device")
}

/// Whether the bridge, bond or VLAN is over this interface.
fn has_port(above: &Interface, name: &str) -> bool {
    let listed = above.options.iter().any(|words| match words.as_slice() {
        [key, ports @ ..] => {
            lists_ports(key)
                && ports.iter().any(|port| port == name || matches!(port.as_str(), "all" | "regex"))
        }
        [] => false,
    });
    listed || above.name.split_once('.').is_some_and(|(card, _)| card == name)
}

fn given(configuration: &Configuration, one: &Interface, lacks: Option<&str>) -> Answer {
    let place = one.place.clone().unwrap_or_else(|| Place::file(MAIN));
    if !configuration.is_started(&one.name) {
        return Answer::none(place, format!("no line \"auto {}\" starts it", one.name));
    }
    if one.options.iter().any(|words| words.first().is_some_and(|key| key == "hwaddress")) {
        return Answer::none(place, OTHER_ADDRESS);
    }
    let uses_dhcp = one.options.iter().any(|words| *words == ["use", "dhcp"]);
    match (one.method.as_str(), lacks) {
        ("dhcp", Some(why)) => Answer::none(place, why),
        ("dhcp", None) => Answer::address(place, How::Dhcp),
        (_, None) if uses_dhcp => Answer::address(place, How::Dhcp),
        ("static", _) => Answer::address(place, How::Static),
        (_, Some(why)) if uses_dhcp => Answer::none(place, why),
        (method, _) => Answer::none(place, format!("the method {method} gives no address")),
    }
}

fn configuration(view: &dyn View) -> Result<Configuration> {
    let mut configuration = Configuration::default();
    read(view, MAIN, &mut configuration, 0)?;
    Ok(configuration)
}

/// What a line of options is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Interface,
    /// A mapping, a template.
    Other,
}

fn read(view: &dyn View, path: &str, out: &mut Configuration, depth: usize) -> Result<()> {
    if depth > DEPTH || !out.read.insert(path.to_owned()) {
        return Ok(());
    }
    let text = view.text(path)?.unwrap_or_default().replace("\\\n", " ");
    // What the options behind it belong to: an interface, or something that is not looked into.
    let mut open = None;
    for line in lines(&text) {
        let words: Vec<&str> = line.words().collect();
        match words.as_slice() {
            [] => {}
            ["auto" | "allow-auto" | "allow-hotplug", names @ ..] => {
                out.started.extend(names.iter().map(|name| (*name).to_owned()));
                open = None;
            }
            ["iface", name, rest @ ..] => {
                // Without a family it is as if both were given no method of their own (ifupdown-ng).
                let (family, method) = (rest.first().unwrap_or(&"inet"), rest.get(1).unwrap_or(&"none"));
                out.interfaces.push(Interface {
                    name: (*name).to_owned(),
                    family: (*family).to_owned(),
                    method: (*method).to_owned(),
                    options: Vec::new(),
                    place: Some(Place::line(path, line.number)),
                });
                open = Some(Open::Interface);
            }
            ["mapping", names @ ..] => {
                let place = Place::line(path, line.number);
                out.mapped.extend(names.iter().map(|name| ((*name).to_owned(), place.clone())));
                open = Some(Open::Other);
            }
            ["source", patterns @ ..] => {
                open = None;
                for pattern in patterns {
                    for file in expand(view, path, pattern, false)? {
                        read(view, &file, out, depth + 1)?;
                    }
                }
            }
            ["source-directory", patterns @ ..] => {
                open = None;
                for pattern in patterns {
                    for file in expand(view, path, pattern, true)? {
                        read(view, &file, out, depth + 1)?;
                    }
                }
            }
            ["template", ..] => open = Some(Open::Other),
            [keyword, ..]
                if keyword.starts_with("allow-")
                    || matches!(*keyword, "no-auto-down" | "no-scripts" | "rename") =>
            {
                open = None;
            }
            _ if open == Some(Open::Interface) => {
                if let Some(last) = out.interfaces.last_mut() {
                    last.options.push(words.iter().map(|word| (*word).to_owned()).collect());
                }
            }
            _ if open == Some(Open::Other) => {}
            _ => drop(out.misplaced.get_or_insert_with(|| Place::line(path, line.number))),
        }
    }
    Ok(())
}

/// The files that a pattern stands for, or those in the directory.
fn expand(view: &dyn View, from: &str, pattern: &str, directory: bool) -> Result<Vec<String>> {
    let base = from.rsplit_once('/').map_or("", |(dir, _)| dir);
    let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{base}/{pattern}") };
    let (dir, name) = if directory {
        (pattern.trim_end_matches('/'), "*")
    } else {
        pattern.rsplit_once('/').unwrap_or((base, &pattern))
    };
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let files = view.glob(dir, "")?.into_iter().filter(|file| {
        let last = file.rsplit('/').next().unwrap_or(file);
        matches(name, last) && (!last.starts_with('.')) && (!directory || plain(last))
    });
    Ok(files.collect())
}
