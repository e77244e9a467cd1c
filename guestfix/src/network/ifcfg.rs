//! The files `ifcfg-*` of Red Hat in `/etc/sysconfig/network-scripts`, as the `network` service of
//! initscripts reads them, and as profiles of NetworkManager.

use super::hooks::Dispatcher;
use super::manager::{Manager, lacks_client};
use super::networkmanager::Profile;
use super::{Answer, Card, How, NO_ROUTE, ONLY_BY_VLAN, OTHER_ADDRESS, Said, dhclient};
use crate::place::Place;
use crate::text::shell_assign;
use crate::{Result, View};

const DIR: &str = "/etc/sysconfig/network-scripts";
/// Endings of copies, which initscripts leave out (`network-functions`).
const COPIES: [&str; 10] =
    ["~", ".bak", ".old", ".orig", ".rpmnew", ".rpmorig", ".rpmsave", ".swp", ".pre-azure", ".save"];
/// For all cards; its script ends without it.
const GLOBAL: &str = "/etc/sysconfig/network";
const MANAGER: Manager = Manager { unit: "network.service", programs: &[&["ifup"]] };
const CLIENTS: [&str; 2] = ["dhclient", "dhcpcd"];
/// How deep bridges over bonds over cards are followed.
const DEPTH: usize = 4;

struct File {
    path: String,
    /// Of the interface.
    name: String,
    text: String,
}

impl File {
    fn get(&self, key: &str) -> &str {
        shell_assign::get(&self.text, key).unwrap_or_default().trim()
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.get(key).eq_ignore_ascii_case(value)
    }

    /// Pinned to a hardware address that no card of the target has.
    fn is_pinned(&self) -> bool {
        !self.get("HWADDR").is_empty()
    }

    fn is_started(&self) -> bool {
        !["no", "false", "n", "0"].iter().any(|no| self.is("ONBOOT", no))
    }

    /// The bridge, bond or team that it is a port of.
    fn master(&self) -> Option<&str> {
        ["BRIDGE", "MASTER", "TEAM_MASTER", "OVS_BRIDGE"]
            .iter()
            .map(|key| self.get(key))
            .find(|name| !name.is_empty())
    }

    fn has_address(&self) -> bool {
        ["IPADDR", "IPADDR0", "IPADDR1"].iter().any(|key| !self.get(key).is_empty())
    }

    fn has_no_route(&self) -> bool {
        (self.is("DEFROUTE", "no") || self.is("PEERROUTES", "no")) && self.get("GATEWAY").is_empty()
    }

    fn asks_dhcp(&self) -> bool {
        self.is("BOOTPROTO", "dhcp") || self.is("BOOTPROTO", "bootp")
    }
}

fn files(view: &dyn View) -> Result<Vec<File>> {
    let mut out = Vec::new();
    for file in view.list(DIR)? {
        let Some(rest) = file.strip_prefix("ifcfg-") else { continue };
        if rest == "lo" || rest.contains(':') || COPIES.iter().any(|end| rest.ends_with(end)) {
            continue;
        }
        let path = format!("{DIR}/{file}");
        let text = view.text(&path)?.unwrap_or_default();
        let device = shell_assign::get(&text, "DEVICE").filter(|name| !name.is_empty()).unwrap_or(rest);
        let name = device.to_owned();
        out.push(File { path, name, text });
    }
    Ok(out)
}

pub(super) fn answer(view: &dyn View, card: &Card) -> Result<Said> {
    if !view.exists(DIR)? {
        return Ok(Said::Absent);
    }
    MANAGER.said(view, || at_work(view, card))
}

fn at_work(view: &dyn View, card: &Card) -> Result<Answer> {
    let Some(global) = view.text(GLOBAL)? else {
        return Ok(Answer::none(GLOBAL, "there is no such file, and the network service ends without it"));
    };
    if shell_assign::get(&global, "NETWORKING") == Some("no") {
        return Ok(Answer::none(GLOBAL, "NETWORKING=no keeps all cards from being started"));
    }
    let files = files(view)?;
    let lacks = lacks_client(view, &CLIENTS)?;
    let answer = match files.iter().find(|file| file.name == card.name) {
        Some(file) => given(&files, file, lacks.as_deref(), 0),
        None => Answer::none(DIR, format!("no file is for {}", card.name)),
    };
    Ok(match (dhclient::doubt(view, &CLIENTS)?, answer) {
        (Some(why), Answer::Address { by, how: How::Dhcp }) => Answer::unknown(by, why),
        (_, answer @ Answer::Address { .. }) => {
            Dispatcher::Initscripts.fault(view, &card.name)?.unwrap_or(answer)
        }
        (_, answer) => answer,
    })
}

/// What a file gives; `lacks` says why there is no DHCP client.
fn given(files: &[File], file: &File, lacks: Option<&str>, depth: usize) -> Answer {
    let place = Place::file(file.path.as_str());
    if !file.is_started() {
        return Answer::none(place, "ONBOOT=no keeps it from being started");
    }
    if file.is_pinned() {
        return Answer::none(place, format!("HWADDR={} is no card of the target", file.get("HWADDR")));
    }
    if !file.get("MACADDR").is_empty() && depth == 0 {
        return Answer::none(place, OTHER_ADDRESS);
    }
    if let Some(master) = file.master() {
        let above = files.iter().find(|other| other.name == master).filter(|_| depth < DEPTH);
        return match above {
            Some(above) => given(files, above, lacks, depth + 1),
            None => Answer::none(place, format!("the card is a port of {master}, which has no file")),
        };
    }
    let own = match lacks {
        None if file.asks_dhcp() && file.has_no_route() => return Answer::unknown(place, NO_ROUTE),
        None if file.asks_dhcp() => return Answer::address(place, How::Dhcp),
        Some(why) if file.asks_dhcp() => Answer::none(place, why),
        _ if file.has_address() => Answer::address(place, How::Static),
        _ => Answer::none(place, "it asks no DHCP server and has no address"),
    };
    let is_over = |other: &&File| {
        let on = other.get("PHYSDEV");
        on == file.name
            || on.is_empty() && other.name.split_once('.').is_some_and(|(card, _)| card == file.name)
    };
    let over = files.iter().filter(is_over).filter(|_| depth < DEPTH);
    // What is over a card in these files is a VLAN.
    let over = over.map(|other| Answer::none(other.path.as_str(), ONLY_BY_VLAN));
    over.fold(own, |best, answer| if answer.rank() > best.rank() { answer } else { best })
}

/// The same files as profiles of NetworkManager, which has a DHCP client of its own.
pub(super) fn profiles(view: &dyn View) -> Result<Vec<Profile>> {
    let profile = |file: File| {
        let kind = match file.get("TYPE").to_ascii_lowercase().as_str() {
            "bridge" => "bridge",
            "bond" => "bond",
            "team" => "team",
            "vlan" => "vlan",
            _ if !file.get("BONDING_OPTS").is_empty() => "bond",
            _ if file.is("VLAN", "yes") => "vlan",
            "" | "ethernet" => "ethernet",
            _ => "other",
        };
        let device = file.get("DEVICE").to_owned();
        let parent = match file.get("PHYSDEV") {
            "" => file.name.split_once('.').map(|(card, _)| card.to_owned()),
            card => Some(card.to_owned()),
        };
        let method = match (file.asks_dhcp(), file.has_address()) {
            (true, _) => "auto",
            (false, true) => "manual",
            (false, false) => "disabled",
        };
        Profile {
            names: vec![file.name.clone(), file.get("NAME").to_owned(), file.get("UUID").to_owned()],
            interface: Some(device).filter(|device| !device.is_empty()),
            is_pinned: file.is_pinned(),
            has_no_route: file.has_no_route(),
            is_cloned: (!file.get("MACADDR").is_empty()).then_some(true),
            autoconnect: file.is_started() && !file.is("NM_CONTROLLED", "no"),
            priority: file.get("AUTOCONNECT_PRIORITY").parse().unwrap_or(0),
            method: method.to_owned(),
            master: file.master().map(str::to_owned),
            parent: parent.filter(|_| kind == "vlan"),
            ..Profile::new(Place::file(file.path.as_str()), kind)
        }
    };
    Ok(files(view)?.into_iter().map(profile).collect())
}
