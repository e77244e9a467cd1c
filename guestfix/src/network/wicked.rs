//! The files `ifcfg-*` of SUSE in `/etc/sysconfig/network`, which wicked reads, and its scripts did before it
//! (ifcfg(5)). The name of the file is that of the interface.

use super::manager::{Manager, State, lacks_client};
use super::{Answer, Card, How, OTHER_ADDRESS, Said};
use crate::place::Place;
use crate::text::shell_assign;
use crate::{Result, View};

const DIR: &str = "/etc/sysconfig/network";
const COPIES: [&str; 7] = ["~", ".bak", ".old", ".orig", ".rpmnew", ".rpmsave", ".pre-azure"];
/// How deep bridges over bonds over cards are followed.
const DEPTH: usize = 4;

/// Interface, path and text of each.
type File = (String, String, String);

/// It brings its own DHCP client.
const WICKED: Manager = Manager { unit: "wicked.service", programs: &[&["wicked"], &["wickedd"]] };
/// The scripts before it need one.
const SCRIPTS: Manager = Manager { unit: "network.service", programs: &[&["ifup"]] };
const CLIENTS: [&str; 2] = ["dhcpcd", "dhclient"];

pub(super) fn answer(view: &dyn View, card: &Card) -> Result<Said> {
    let alias = view.read_link("/etc/systemd/system/network.service")?;
    let is_alias = alias.is_some_and(|to| to.ends_with("/wicked.service"));
    let wicked = WICKED.state(view, is_alias)?;
    if let State::Works = wicked {
        return Ok(Said::Answer(at_work(view, card, None)?));
    }
    if !is_alias
        && view.exists("/etc/sysconfig/network/config")?
        && let State::Works = SCRIPTS.state(view, false)?
    {
        let lacks = lacks_client(view, &CLIENTS)?;
        return Ok(Said::Answer(at_work(view, card, lacks.as_deref())?));
    }
    Ok(match wicked {
        State::Idle(why) => Said::Idle(why),
        State::Doubtful(why) => Said::doubtful(why),
        State::Absent | State::Works => Said::Absent,
    })
}

/// What the files give; `lacks` says why there is no DHCP client.
fn at_work(view: &dyn View, card: &Card, lacks: Option<&str>) -> Result<Answer> {
    let mut files: Vec<File> = Vec::new();
    for file in view.list(DIR)? {
        let Some(name) = file.strip_prefix("ifcfg-") else { continue };
        if name != "lo" && !COPIES.iter().any(|end| name.ends_with(end)) {
            let path = format!("{DIR}/{file}");
            let text = view.text(&path)?.unwrap_or_default();
            files.push((name.to_owned(), path, text));
        }
    }
    Ok(of(&files, &card.name, lacks, 0))
}

fn of(files: &[File], card: &str, lacks: Option<&str>, depth: usize) -> Answer {
    let own = match files.iter().find(|(name, ..)| name == card) {
        Some((_, path, text)) => given(path, text, lacks),
        None => Answer::none(DIR, format!("no file is for {card}")),
    };
    if matches!(own, Answer::Address { .. }) || depth >= DEPTH {
        return own;
    }
    // Bridges, bonds and VLANs name their ports.
    let has = |(_, _, text): &&File| {
        shell_assign::assignments(text).iter().any(|one| {
            let is_port = one.key == "BRIDGE_PORTS"
                || one.key == "ETHERDEVICE"
                || one.key.starts_with("BONDING_SLAVE")
                || one.key.starts_with("TEAM_PORT_DEVICE");
            is_port && one.value.split_whitespace().any(|port| port == card)
        })
    };
    let above = files.iter().filter(has).filter(|(name, ..)| name != card);
    let above = above.map(|(name, ..)| of(files, name, lacks, depth + 1));
    above.fold(own, |best, answer| if answer.rank() > best.rank() { answer } else { best })
}

fn given(path: &str, text: &str, lacks: Option<&str>) -> Answer {
    let get = |key: &str| shell_assign::get(text, key).unwrap_or_default().to_ascii_lowercase();
    let place = Place::file(path);
    let mode = get("STARTMODE");
    if matches!(mode.as_str(), "off" | "manual" | "") {
        return Answer::none(place, format!("STARTMODE='{mode}' keeps it from being started"));
    }
    if !get("LLADDR").is_empty() {
        return Answer::none(place, OTHER_ADDRESS);
    }
    let protocol = get("BOOTPROTO");
    let asks = protocol.split('+').any(|one| matches!(one, "dhcp" | "dhcp4"));
    let has_address = !get("IPADDR").is_empty() || !get("IPADDR_0").is_empty();
    match (asks, lacks, has_address) {
        (true, None, _) => Answer::address(place, How::Dhcp),
        (true, Some(why), _) => Answer::none(place, why),
        (false, _, true) => Answer::address(place, How::Static),
        (false, _, false) => Answer::none(place, "it asks no DHCP server and has no address"),
    }
}
