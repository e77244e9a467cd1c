//! Whether the guest's own firewall lets ssh in: at port 22, from anywhere, by the target's card.
//!
//! nft, iptables and firewalld are three ways to write one thing. Each has a reader here, which makes of its
//! files the chains as one packet sees them ([`ruleset`]); three packets are sent through: the first of a
//! client, the server's answer, and what the client sends from then on ([`packet`]).

mod commands;
mod firewalld;
mod iptables;
mod loaders;
mod nft;
mod packet;
mod ruleset;
#[cfg(test)]
mod tests;
mod ufw;
mod xml;

pub(crate) use self::commands::shut;
use self::packet::{Packet, Way};
use self::ruleset::{Fate, Ruleset};
use crate::place::Evidence;
use crate::platform::Platform;
use crate::services::starting_links;
use crate::systemd::Unit;
use crate::{Result, View, network};

/// A file of rules, what loads it, and whether it is nft's or iptables'.
const RULES: &[(&str, &[&str], Language)] = &[
    ("/etc/nftables.conf", &["nftables.service"], Language::Nft),
    ("/etc/sysconfig/nftables.conf", &["nftables.service"], Language::Nft),
    ("/etc/nftables.nft", &["nftables.service"], Language::Nft),
    ("/etc/sysconfig/iptables", &["iptables.service"], Language::Iptables),
    (
        "/etc/iptables/rules.v4",
        &["netfilter-persistent.service", "iptables-persistent.service"],
        Language::Iptables,
    ),
    ("/etc/iptables/iptables.rules", &["iptables.service"], Language::Iptables),
    ("/etc/iptables/rules-save", &["iptables.service"], Language::Iptables),
];
/// Firewalls whose files are not looked at.
const OTHERS: &[&str] = &[
    "shorewall.service",
    "ferm.service",
    "csf.service",
    "SuSEfirewall2.service",
    "SuSEfirewall2_setup.service",
    "arno-iptables-firewall.service",
    "fwbuilder.service",
    "firehol.service",
    "apf.service",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    Nft,
    Iptables,
}

/// What a firewall does to ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// It keeps everybody out.
    Shut(Evidence),
    /// It lets some in: from where.
    Limited(Evidence),
    /// Nobody can tell.
    Unknown(Evidence),
    /// It is one whose files are not looked at.
    Unread(Evidence),
}

/// The firewalls that do not let everybody in.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn doors(view: &dyn View, platform: &Platform) -> Result<Vec<Door>> {
    let card = network::card_name(view, platform)?;
    let mut out = Vec::new();
    let first = Packet { way: Way::First, card: &card, is_tracked: true };
    if is_started(view, &[ufw::UNIT])?
        && let Some(rules) = ufw::rules(view)?
    {
        out.extend(door(ufw::CONFIG, &card, |packet| iptables::ruleset(&rules, packet)));
    }
    if is_started(view, &["firewalld.service"])? {
        let (file, fate) = firewalld::fate(view, &first)?;
        out.extend(said(&file, Way::First, fate, &[], &card));
    }
    let mut files = loaders::files(view)?;
    for (file, units, language) in RULES {
        if view.exists(file)? && is_started(view, units)? && !files.iter().any(|(known, _)| known == file) {
            files.push(((*file).to_owned(), *language));
        }
    }
    for (file, language) in files {
        let Some(rules) = view.text(&file)? else { continue };
        out.extend(match language {
            Language::Nft => nft(view, &file, &card)?,
            Language::Iptables => door(&file, &card, |packet| iptables::ruleset(&rules, packet)),
        });
    }
    for unit in OTHERS {
        if is_started(view, &[unit])?
            && let Unit::There { path, .. } = Unit::find(view, unit)?
        {
            let why = format!("what {unit} lets in is not looked at");
            out.push(Door::Unread(Evidence::new(path, why)));
        }
    }
    Ok(out)
}

fn is_started(view: &dyn View, units: &[&str]) -> Result<bool> {
    for unit in units {
        if !starting_links(view, unit)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn nft(view: &dyn View, file: &str, card: &str) -> Result<Option<Door>> {
    let document = nft::Document::read(view, file)?;
    let found = door(file, card, |packet| document.ruleset(packet));
    Ok(match document.unknown() {
        Some(what) if !matches!(found, Some(Door::Shut(_))) => {
            let why = format!("whether it lets ssh in cannot be told: {what}");
            Some(Door::Unknown(Evidence::new(file, why)))
        }
        _ => found,
    })
}

/// What the rules of a file do to the three packets.
fn door(file: &str, card: &str, ruleset: impl Fn(&Packet<'_>) -> Ruleset) -> Option<Door> {
    let mut found = None;
    for way in [Way::First, Way::Answer, Way::More] {
        let packet = Packet { way, card, is_tracked: true };
        let mut set = ruleset(&packet);
        if set.untracks() {
            set = ruleset(&Packet { is_tracked: false, ..packet });
        }
        let (fate, cards) = set.fate();
        match said(file, way, fate, &cards, card) {
            Some(door @ Door::Shut(_)) => return Some(door),
            door => found = found.or(door),
        }
    }
    found
}

/// The same of one packet, in words.
fn said(file: &str, way: Way, fate: Fate, cards: &[&str], card: &str) -> Option<Door> {
    let what = match way {
        Way::First => "lets no ssh in",
        Way::Answer => "lets no answer of sshd out",
        Way::More => "lets no connection of ssh go on once it stands",
    };
    let evidence = |what: String| Evidence::new(file, what);
    Some(match fate {
        Fate::In => return None,
        Fate::Limited(which) => {
            let which = which.join(" or ");
            Door::Limited(evidence(match way {
                Way::Answer => format!("lets sshd answer only {which}"),
                _ => format!("lets ssh in only {which}"),
            }))
        }
        Fate::Out(_) if !cards.is_empty() => {
            let cards = cards.join(" and ");
            Door::Shut(evidence(format!("lets ssh in by {cards} only, and the target's card is {card}")))
        }
        Fate::Out(None) => Door::Shut(evidence(what.into())),
        Fate::Out(Some(rule)) => Door::Shut(evidence(format!("{what}: {rule}"))),
        Fate::Elsewhere(rule) => Door::Shut(evidence(format!("sends ssh elsewhere: {rule}"))),
        Fate::Unknown(what) => {
            Door::Unknown(evidence(format!("whether it lets ssh in cannot be told: {what}")))
        }
    })
}
