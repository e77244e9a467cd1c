//! The network: the driver of the target's card may be loaded, and what configures the card gives it an
//! address.

use super::{Hop, HopKind, MenuEntry, initramfs};
use crate::place::Place;
use crate::rules::linux::network;
use crate::{Finding, Guest, Result, Rule, modprobe};

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
    hops.extend(of_rule(guest, &network::RULE, "an address")?);
    if hops.is_empty() {
        hops.push(Hop::reached(KIND, Place::Platform, "the card gets its address by DHCP"));
    }
    Ok(hops)
}

/// What a rule says that judges a part of it.
fn of_rule(guest: &Guest<'_>, rule: &Rule, what: &str) -> Result<Vec<Hop>> {
    Ok(match rule.find(guest)? {
        Finding::Ok | Finding::NotApplicable(_) => Vec::new(),
        Finding::Wrong { evidence } => {
            evidence.into_iter().map(|one| Hop::blocked(KIND, one.place, what, one.what)).collect()
        }
        Finding::Unknown { unread } => unread.iter().map(|one| Hop::unread(KIND, one)).collect(),
    })
}
