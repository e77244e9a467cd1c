//! The network: the driver of the target's card may be loaded, and what configures the card gives it an
//! address.

use super::wanted::MANAGERS;
use super::{Hop, HopKind, MenuEntry, initramfs, service};
use crate::network::{self, Answer, How};
use crate::systemd::Unit;
use crate::systemd::needs::Start;
use crate::{Guest, Result, modprobe, services};

const KIND: HopKind = HopKind::Network;

/// Whether the list of this key is in force behind the initramfs.
fn is_read(key: &str) -> bool {
    key != "blacklist"
}

/// The hops of the network.
pub(super) fn network(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let card = guest.goal.target.platform.drivers.network;
    if let Some(entry) = entry
        && let Some(forbidden) =
            initramfs::forbidden_by(&entry.cmdline, is_read).into_iter().find(|one| one.module == card)
    {
        let why = format!("{} keeps the driver of the card from being loaded", forbidden.place);
        return Ok(vec![Hop::blocked(KIND, &entry.place, card, why)]);
    }
    // One that nothing starts is not missed.
    let view = guest.view;
    let is_started = |unit: &str| {
        MANAGERS.contains(&unit) && services::is_started(view, unit).unwrap_or(true)
            || unit.starts_with("dbus")
                && services::is_started(view, "NetworkManager.service").unwrap_or(true)
    };
    if let Some(hop) = service::masked(KIND, entry, is_started) {
        return Ok(vec![hop]);
    }
    let mut hops = Vec::new();
    // the bus is there by then: the root is behind it
    if let Some(place) = modprobe::line_about(&modprobe::forbidden(guest.view)?, card)
        && !entry.map_or(Ok(false), |entry| initramfs::loads(guest, entry, card))?
    {
        let why = format!("it keeps {card} from being loaded");
        hops.push(Hop::blocked(KIND, place.clone(), card, why));
    }
    hops.push(match network::answer(guest.view, guest.goal.target.platform)? {
        Answer::Address { by, how: How::Dhcp } => Hop::reached(KIND, by, "an address by DHCP"),
        Answer::Address { by, how: How::Static } => Hop::reached(KIND, by, "a fixed address"),
        Answer::None { place, why } => Hop::blocked(KIND, place, "an address", why),
        Answer::Unknown { what, why } => Hop::unknown(KIND, what, "an address", why),
    });
    // What configures the card is judged without the command line.
    let arch = guest.facts.os.as_ref().and_then(|os| os.arch);
    for unit in MANAGERS {
        if services::is_started(view, unit)?
            && let Unit::There { name, path } = Unit::find(view, unit)?
        {
            let fault = |arguments| Start { view, arguments, arch }.fault(&name, &path);
            let by_line = fault(entry.map(|entry| entry.cmdline.as_str()))?;
            if let Some(by_line) = by_line.filter(|_| matches!(fault(None), Ok(None))) {
                hops.push(service::hop(KIND, unit, by_line));
            }
        }
    }
    Ok(hops)
}
