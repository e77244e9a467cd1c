//! The network: the driver of the target's card may be loaded, and what configures the card gives it an
//! address.

use super::{Hop, HopKind, MenuEntry, initramfs};
use crate::network::{self, Answer, How};
use crate::{Guest, Result, modprobe};

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
    let mut hops = Vec::new();
    // the bus is there by then: the root is behind it
    if let Some(place) = modprobe::line_about(&modprobe::forbidden(guest.view)?, card) {
        let why = format!("it keeps {card} from being loaded");
        hops.push(Hop::blocked(KIND, place.clone(), card, why));
    }
    hops.push(match network::answer(guest.view, guest.goal.target.platform)? {
        Answer::Address { by, how: How::Dhcp } => Hop::reached(KIND, by, "an address by DHCP"),
        Answer::Address { by, how: How::Static } => Hop::reached(KIND, by, "a fixed address"),
        Answer::None { place, why } => Hop::blocked(KIND, place, "an address", why),
        Answer::Unknown { what, why } => Hop::unknown(KIND, what, "an address", why),
    });
    Ok(hops)
}
