//! An address for the network card of the target, which is new to the guest: by DHCP, whatever address of its
//! own the old one had.

use super::service::{Fault, fault};
use super::{System, root};
use crate::bootwalk::{Hop, HopKind};
use crate::registry::{DISABLED, filters};
use crate::{Guest, Result};

/// Started by itself.
const AUTO: u32 = 2;
/// The class of network cards.
const CLASS: &str = "{4d36e972-e325-11ce-bfc1-08002be10318}";
/// A filter on every card.
const FILTER: &str = "WFPLWFS";

/// The hops at the network.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn network(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let card = guest.goal.target.platform.windows.network;
    let mut hops = Vec::new();
    for (name, latest) in [("NDIS", AUTO), ("Tcpip", AUTO), ("AFD", AUTO), ("nsi", AUTO), ("Dhcp", AUTO)] {
        let fault = fault(guest, system, name, latest)?;
        hops.extend(fault.map(|fault| fault.hop(HopKind::Network, "an address by DHCP")));
    }
    // The card is on the bus of the target.
    for bus in guest.goal.target.platform.windows.vital.iter().take(1) {
        let fault = fault(guest, system, bus, DISABLED - 1)?;
        hops.extend(fault.map(|fault| fault.hop(HopKind::Network, "the bus of the network card")));
    }
    hops.extend(root::bus_of_cards(guest, system)?);
    // 2008 R2 installs the card's driver when it finds the card.
    let installs = system.services.get(card).is_none()
        && guest.view.exists("/Windows/INF/wnetvsc.inf")?
        && system.services.unread(card).is_none();
    if !installs {
        let fault = fault(guest, system, card, DISABLED - 1)?;
        hops.extend(fault.map(|fault| fault.hop(HopKind::Network, "the network card of the target")));
    }
    // The firewall's own filter, since 2012.
    if system.services.get(FILTER).is_some()
        && let Some(found) = fault(guest, system, FILTER, DISABLED - 1)?
    {
        let found = Fault { is_sure: false, ..found };
        hops.push(found.hop(HopKind::Network, "the filter of the firewall on the network card"));
    }
    let lists = filters::of(&system.hive, &system.set)?;
    let of_cards = |key: &str| key.to_lowercase().ends_with(CLASS);
    let unread = lists.unread.iter().filter(|(key, _)| of_cards(key));
    hops.extend(unread.map(|(_, what)| Hop::unread(HopKind::Network, what)));
    for list in lists.all {
        if !of_cards(&list.key) {
            continue;
        }
        for name in &list.names {
            let found = system.services.get(name);
            if found.is_none_or(|one| one.start.is_none_or(|at| at >= DISABLED)) {
                let place = system.hive.place(&list.key, Some(list.list));
                let why = match found {
                    Some(_) => format!("{name} is disabled, and no card starts"),
                    None => format!("there is no driver {name}, and no card starts"),
                };
                hops.push(Hop::blocked(HopKind::Network, place, format!("the filter {name}"), why));
            }
        }
    }
    if hops.is_empty() {
        let place = system.hive.place(&format!(r"{}\Services\Dhcp", system.set), None);
        hops.push(Hop::reached(HopKind::Network, place, "an address by DHCP for a card that is new"));
    }
    Ok(hops)
}
