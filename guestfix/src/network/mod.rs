//! Which configuration wins for the network card of the target, and whether it gives the card an address.
//!
//! Hyper-V's network card sits on no bus that a name could be made of: neither systemd nor biosdevname
//! renames it, whatever `net.ifnames` says, and it stays `eth0`. A `.link` file or a udev rule that fits it
//! gives it another name. Every manager that is at work is asked, with its own files in its own order; each
//! has a file here. A bridge, bond or VLAN over the card counts where it has the card as a port. cloud-init
//! writes the files of a manager, which has to be at work as well.
//!
//! Sources: systemd.network(5), systemd.link(5), netplan(5), nm-settings-keyfile(5), NetworkManager.conf(5),
//! interfaces(5), `sysconfig.txt` of initscripts, ifcfg(5) of wicked, cloud-init's documentation, "Network
//! configuration".

mod card;
mod cloud_init;
mod commands;
mod dhclient;
mod hooks;
mod ifcfg;
mod ifupdown;
mod manager;
mod netplan;
mod networkd;
mod networkmanager;
mod permissions;
#[cfg(test)]
mod tests;
mod wicked;

use serde::Serialize;

use crate::place::{Evidence, Place};
use crate::platform::Platform;
use crate::{Result, View, services};

pub(crate) use crate::services::is_started;
pub use card::Card;
pub(crate) use card::key as udev_key;
pub(crate) use commands::takes_away;
pub(crate) use dhclient::{ENTER, EXIT};
pub(crate) use ifupdown::lists_ports;

/// How a card comes by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is written down.
    Static,
    /// A DHCP server is asked, by a client that is there.
    Dhcp,
}

/// Whether the card gets an address (of IPv4: there is no cloud without).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "address", rename_all = "kebab-case")]
pub enum Answer {
    /// It does.
    Address {
        /// The file that says so.
        by: Place,
        /// How.
        how: How,
    },
    /// It does not.
    None {
        /// The file that fits the card, or where one would be.
        place: Place,
        /// Why it gives no address.
        why: String,
    },
    /// Nobody can tell.
    Unknown {
        /// What was looked at.
        what: Place,
        /// Why it does not tell.
        why: String,
    },
}

impl Answer {
    fn none(place: impl Into<Place>, why: impl Into<String>) -> Self {
        Self::None { place: place.into(), why: why.into() }
    }

    fn unknown(what: impl Into<Place>, why: impl Into<String>) -> Self {
        Self::Unknown { what: what.into(), why: why.into() }
    }

    fn address(by: impl Into<Place>, how: How) -> Self {
        Self::Address { by: by.into(), how }
    }

    /// Whether a DHCP server is asked.
    pub fn is_dhcp(&self) -> bool {
        matches!(self, Self::Address { how: How::Dhcp, .. })
    }

    /// What keeps the card from an address that a DHCP server gives.
    pub fn fault(&self) -> Option<Evidence> {
        match self.clone() {
            Self::Address { how: How::Dhcp, .. } => None,
            Self::Address { by, how: How::Static } => {
                Some(Evidence::new(by, "gives the card a fixed address"))
            }
            Self::None { place, why } => Some(Evidence::new(place, why)),
            Self::Unknown { what, why } => Some(Evidence::new(what, why)),
        }
    }

    /// Which of two managers counts: one that gives an address, then one that may.
    fn rank(&self) -> u8 {
        match self {
            Self::Address { how: How::Dhcp, .. } => 3,
            Self::Address { how: How::Static, .. } => 2,
            Self::Unknown { .. } => 1,
            Self::None { .. } => 0,
        }
    }
}

/// A file of a manager, or what another program makes for it.
#[derive(Debug, Clone)]
struct Source {
    /// By which files are sorted.
    name: String,
    place: Place,
    text: String,
}

/// The switch of the host lets no card through that says it is another.
const OTHER_ADDRESS: &str = "it gives the card another hardware address";

/// The network of the target has no tags of VLANs.
const ONLY_BY_VLAN: &str =
    "the card gets an address by a VLAN only, which the target's network does not carry";

/// Nobody outside of the card's own net gets an answer.
const NO_ROUTE: &str = "it takes no default route, and only its own net reaches the machine";

/// What a manager says of the card.
enum Said {
    /// It is not installed.
    Absent,
    /// It is installed and does nothing: why.
    Idle(Evidence),
    /// It is at work.
    Answer(Answer),
}

impl Said {
    /// Nobody can tell whether it is at work.
    fn doubtful(why: Evidence) -> Self {
        Self::Answer(Answer::unknown(why.place, why.what))
    }
}

/// Asks a manager.
type Ask = fn(&dyn View, &Card) -> Result<Said>;

const MANAGERS: [Ask; 5] =
    [networkd::answer, networkmanager::answer, ifupdown::answer, ifcfg::answer, wicked::answer];

/// Units and services of others, of which only this is looked at: whether they are started.
const OTHERS: [&str; 5] =
    ["dhcpcd.service", "connman.service", "netctl-auto@eth0.service", "net.eth0", "dhclient.service"];

/// Whether the card that the platform shows gets an address, and from which configuration.
///
/// # Errors
/// If the guest cannot be read.
pub fn answer(view: &dyn View, platform: &Platform) -> Result<Answer> {
    let card = match card::of(view, platform.drivers.network)? {
        Ok(card) => card,
        Err(unknown) => return Ok(unknown),
    };
    let mut best: Option<Answer> = None;
    let mut idle = Vec::new();
    for ask in MANAGERS {
        match ask(view, &card)? {
            Said::Absent => {}
            Said::Idle(why) => idle.push(why),
            Said::Answer(answer) => {
                best = Some(match best {
                    Some(best) if best.rank() >= answer.rank() => best,
                    _ => answer,
                });
            }
        }
    }
    let best = match best {
        Some(answer @ Answer::Address { .. }) => return Ok(answer),
        best => best,
    };
    if let Some(by) = cloud_init::configures(view)?
        && (best.is_some() || networkd::may_start(view)?)
    {
        return Ok(Answer::address(by, How::Dhcp));
    }
    for unit in OTHERS {
        if let Some(link) = services::starting_links(view, unit)?.into_iter().next() {
            let why = format!("it starts {unit}: what that configures is not looked at");
            return Ok(Answer::unknown(Place::file(link), why));
        }
    }
    Ok(best.unwrap_or_else(|| nobody(idle)))
}

/// The name of the target's card, as far as it is known: the kernel's where it is not.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn card_name(view: &dyn View, platform: &Platform) -> Result<String> {
    Ok(card::of(view, platform.drivers.network)?
        .map_or_else(|_| card::KERNEL_NAME.to_owned(), |card| card.name))
}

/// Why nothing configures the network, of all that could.
fn nobody(idle: Vec<Evidence>) -> Answer {
    let mut why = "nothing that is started configures the network".to_owned();
    let place = idle.first().map_or(Place::Platform, |first| first.place.clone());
    let reasons: Vec<String> = idle.into_iter().map(|one| one.what).collect();
    if !reasons.is_empty() {
        why = format!("{why}: {}", reasons.join("; "));
    }
    Answer::none(place, why)
}
