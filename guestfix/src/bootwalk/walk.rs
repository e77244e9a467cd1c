//! The walk over one guest: the loader's hops, those of each menu entry, those of the system.

use super::{Entry, Hop, HopKind, Route, Walk, bios, route, system, uefi};
use crate::platform::Firmware;
use crate::{Guest, Result};

/// The most entries, beside the default, that are followed to their root.
const FOLLOWED: usize = 16;

/// Walks from the firmware of the target to the login, on the files as the view shows them.
///
/// # Errors
/// If the device fails. What cannot be read of the guest is a hop that is
/// [`Unknown`](super::Outcome::Unknown).
pub fn walk(guest: &Guest<'_>) -> Result<Walk> {
    forget(guest);
    let mut loader = Vec::new();
    let entries = noted(guest, HopKind::Menu, &mut loader, |hops| match guest.goal.target.firmware {
        Firmware::Bios => bios::boot(guest, hops),
        Firmware::Uefi => uefi::boot(guest, hops),
    })?;
    let default = entries.iter().find(|entry| entry.entry.default).map(|entry| entry.entry.clone());
    let mut routes = Vec::new();
    for (number, Entry { entry, mut hops }) in entries.into_iter().enumerate() {
        if entry.default || number < FOLLOWED {
            // One that loads no kernel has said why.
            if !entry.kernel.is_empty() {
                hops.extend(route::route(guest, &entry)?);
            }
            routes.push(Route { entry, hops });
        }
    }
    let system = system::system(guest, default.as_ref())?;
    Ok(Walk { loader, routes, system })
}

/// A part of the walk, and a hop of this kind for all that it looked at and could not read.
fn noted<T: Default>(
    guest: &Guest<'_>,
    kind: HopKind,
    hops: &mut Vec<Hop>,
    part: impl FnOnce(&mut Vec<Hop>) -> Result<T>,
) -> Result<T> {
    let (value, error) = match part(hops) {
        Ok(value) => (value, None),
        Err(error) => (T::default(), Some(error.unread()?)),
    };
    let unread = [guest.view.take_unread(), guest.facts.looked_at()].concat();
    for unread in unread.into_iter().chain(error) {
        // Whoever met it may have said so, and where on the way.
        if !hops.iter().any(|hop| hop.place == unread.place && !hop.is_reached()) {
            hops.push(Hop::unread(kind, &unread));
        }
    }
    Ok(value)
}

/// What others could not read is not the walk's.
fn forget(guest: &Guest<'_>) {
    guest.view.take_unread();
    guest.facts.looked_at();
}
