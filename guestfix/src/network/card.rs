//! The card as the guest will see it: its driver, and its name once `.link` files and udev rules have had
//! their say.

use super::networkd::{Fit, fits, link_files};
use super::{Answer, OTHER_ADDRESS};
use crate::glob::matches;
use crate::place::Place;
use crate::rules::linux::udev_rules::{self, OWN};
use crate::text::{ini, lines};
use crate::{Result, View};

/// The name that the kernel gives the first card.
pub(super) const KERNEL_NAME: &str = "eth0";

/// A network card, or what is built over one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name: "eth0".
    pub name: String,
    /// Its driver: "hv_netvsc"; empty for a bridge, bond or VLAN.
    pub driver: String,
}

impl Card {
    /// A bridge, bond or VLAN.
    pub(super) fn over(name: &str) -> Self {
        Self { name: name.to_owned(), driver: String::new() }
    }

    /// Whether it is one that the platform shows.
    pub(super) fn is_real(&self) -> bool {
        !self.driver.is_empty()
    }
}

/// The card of this driver; or why its name is not known.
pub(super) fn of(view: &dyn View, driver: &str) -> Result<Result<Card, Answer>> {
    let mut card = Card { name: KERNEL_NAME.to_owned(), driver: driver.to_owned() };
    for link in link_files(view)? {
        match fits(&link.text, &card) {
            Fit::No => continue,
            Fit::Yes => {}
            Fit::Unknown(why) => return Ok(Err(Answer::unknown(link.place, why))),
        }
        let value = |key| ini::values(&link.text, "Link", key).last().copied().unwrap_or_default();
        if !value("MACAddress").is_empty() || value("MACAddressPolicy") == "random" {
            return Ok(Err(Answer::none(link.place, OTHER_ADDRESS)));
        }
        // Of the policies only the card's address makes a name for it.
        let policy = ini::values(&link.text, "Link", "NamePolicy").join(" ");
        if policy.split_whitespace().any(|policy| policy == "mac") {
            return Ok(Err(Answer::unknown(link.place, "the card is named after its address on Azure")));
        }
        if let Some(name) = ini::values(&link.text, "Link", "Name").last().filter(|name| !name.is_empty()) {
            card.name = (*name).to_owned();
        }
        break;
    }
    renamed(view, card)
}

/// What udev rules of the administrator make of the name.
fn renamed(view: &dyn View, mut card: Card) -> Result<Result<Card, Answer>> {
    for file in view.glob(OWN, ".rules")? {
        let text = view.text(&file)?.unwrap_or_default();
        for line in lines(&text) {
            let keys: Vec<(&str, &str, &str)> = line.body.split(',').filter_map(key).collect();
            let name = keys.iter().find(|(key, with, _)| *key == "NAME" && matches!(*with, "=" | ":="));
            let is_net = keys.contains(&("SUBSYSTEM", "==", "net"));
            if line.body.trim_start().starts_with('#') {
                continue;
            }
            let sets_down = keys.iter().any(|(key, with, value)| {
                key.starts_with("RUN") && matches!(*with, "+=" | "=" | ":=") && is_down(value)
            });
            let is_late = keys.contains(&("ACTION", "==", "remove"));
            if sets_down && !is_late && (is_net || keys.iter().any(|(key, ..)| *key == "KERNEL")) {
                let place = Place::line(&file, line.number);
                match rule_fits(&keys, &card) {
                    Some(true) => return Ok(Err(Answer::none(place, "it sets the card down"))),
                    Some(false) => {}
                    None => return Ok(Err(Answer::unknown(place, "it may set the card down"))),
                }
            }
            let Some((_, _, name)) = name.filter(|_| is_net) else {
                continue;
            };
            match rule_fits(&keys, &card) {
                Some(true) => card.name = (*name).to_owned(),
                Some(false) => {}
                None => {
                    let place = Place::line(&file, line.number);
                    return Ok(Err(Answer::unknown(place, format!("the card may be named {name}"))));
                }
            }
        }
    }
    // The generator of old finds the name taken, and writes a rule that gives the card the next one.
    const GENERATOR: &str = "75-persistent-net-generator.rules";
    const WRITTEN: &str = "/etc/udev/rules.d/70-persistent-net.rules";
    if udev_rules::in_force(view, GENERATOR)?.is_some()
        && view.text(WRITTEN)?.is_some_and(|text| text.contains(&format!("NAME=\"{}\"", card.name)))
    {
        card.name = "eth1".to_owned();
    }
    Ok(Ok(card))
}

/// Whether a command sets a card down.
fn is_down(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let runs = |name: &str| words.iter().any(|word| word.rsplit('/').next() == Some(name));
    runs("ifdown") || (runs("ip") || runs("ifconfig")) && words.contains(&"down")
}

/// Key, operator and value of a part of a udev rule: `ATTR{address}=="0a:ff"`.
pub(crate) fn key(part: &str) -> Option<(&str, &str, &str)> {
    let at = part.find(['=', '!', ':', '+'])?;
    let (key, rest) = part.split_at(at);
    let value = rest.find('"')?;
    let (with, value) = rest.split_at(value);
    Some((key.trim(), with.trim(), value.trim().trim_matches('"')))
}

/// Whether a udev rule is for the card; `None` if nobody can tell.
fn rule_fits(keys: &[(&str, &str, &str)], card: &Card) -> Option<bool> {
    let mut sure = true;
    for (key, with, value) in keys {
        if !matches!(*with, "==" | "!=") {
            continue;
        }
        let any = |name: &str| value.split('|').any(|pattern| matches(pattern, name));
        let hit = match *key {
            "SUBSYSTEM" | "ACTION" => continue,
            "KERNEL" => any(&card.name) || any(KERNEL_NAME),
            "DRIVERS" => any(&card.driver) || *value == "?*",
            // The address of a card on EC2, or a place on its PCI bus.
            "ATTR{address}" | "KERNELS" | "ENV{ID_PATH}" => false,
            "ATTR{type}" => any("1"),
            "ATTR{dev_id}" => any("0x0"),
            _ => {
                sure = false;
                continue;
            }
        };
        if hit != (*with == "==") {
            return Some(false);
        }
    }
    sure.then_some(true)
}
