//! The network: the driver of the target's card may be loaded, and what configures the card gives it an
//! address.

use super::{Hop, HopKind, MenuEntry, initramfs};
use crate::network::{self, Answer, How};
use crate::{Guest, Result, modprobe};

const KIND: HopKind = HopKind::Network;

/// The hops of the network.
pub(super) fn network(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let card = guest.goal.target.platform.drivers.network;
    if let Some(entry) = entry
        && let Some((_, token)) =
            initramfs::forbidden_by(&entry.cmdline).into_iter().find(|(module, _)| module == card)
    {
        let why = format!("{token} keeps the driver of the card from being loaded");
        return Ok(vec![Hop::blocked(KIND, &entry.place, card, why)]);
    }
    let mut hops = Vec::new();
    let forbidden = modprobe::forbidden(guest.view)?;
    for module in [guest.goal.target.platform.drivers.bus, card] {
        if let Some(place) = modprobe::line_about(&forbidden, module) {
            let why = format!("it keeps {module} from being loaded");
            hops.push(Hop::blocked(KIND, place.clone(), module, why));
        }
    }
    hops.push(match network::answer(guest.view, guest.goal.target.platform)? {
        Answer::Address { by, how: How::Dhcp } => Hop::reached(KIND, by, "an address by DHCP"),
        Answer::Address { by, how: How::Static } => Hop::reached(KIND, by, "a fixed address"),
        Answer::None { place, why } => Hop::blocked(KIND, place, "an address", why),
        Answer::Unknown { what, why } => Hop::unknown(KIND, what, "an address", why),
    });
    Ok(hops)
}
