//! The walk over one guest: the loader's hops, those of each menu entry, those of the system.

use super::look::follow;
use super::{Entry, Hop, HopKind, Route, Start, Walk, bios, route, system, uefi, windows};
use crate::facts::OsKind;
use crate::instance::Hardware;
use crate::place::Place;
use crate::platform::{Firmware, TARGETS};
use crate::{Archives, Error, Facts, Goal, Guest, Result, View};

/// The most entries, beside the default, that are followed to their root.
const FOLLOWED: usize = 16;

/// Walks from the firmware of the target to the login, on the files as the view shows them.
///
/// # Errors
/// If the device fails. What cannot be read of the guest is a hop that is
/// [`Unknown`](super::Outcome::Unknown).
pub fn walk(guest: &Guest<'_>) -> Result<Walk> {
    let (loader, entries) = to_menu(guest, guest.goal.target.firmware)?;
    let default = entries.iter().find(|entry| entry.entry.default).map(|entry| entry.entry.clone());
    let is_windows = windows::is(guest);
    let mut routes = Vec::new();
    for (number, Entry { entry, mut hops }) in entries.into_iter().enumerate() {
        if entry.default || number < FOLLOWED {
            // One that loads no kernel has said why.
            if !entry.kernel.is_empty() {
                hops.extend(match is_windows {
                    true => windows::route(guest, &entry.kernel)?,
                    false => route::route(guest, &entry)?,
                });
            }
            routes.push(Route { entry, hops });
        }
    }
    let (os, system) = match is_windows {
        true => (OsKind::Windows, windows::system(guest)?),
        false => (OsKind::Linux, system::system(guest, default.as_ref())?),
    };
    Ok(Walk { os, loader, routes, system })
}

/// The first steps of the walk, as far as the menu, for each firmware that finds something to start; kernels
/// and initramfs images are not opened.
///
/// # Errors
/// As [`walk`].
pub fn starts(view: &dyn View, facts: &Facts) -> Result<Vec<Start>> {
    let machine = view.machine();
    let mut out = Vec::new();
    for (evidence, firmware) in [(&machine.bios, Firmware::Bios), (&machine.uefi, Firmware::Uefi)] {
        if evidence.is_empty() {
            continue;
        }
        let (loader, entries) = start(view, facts, firmware)?;
        let routes = entries.into_iter().map(|Entry { entry, hops }| Route { entry, hops }).collect();
        out.push(Start { firmware, loader, routes });
    }
    Ok(out)
}

/// Where the entry is that starts by itself, for each firmware that comes to one.
///
/// # Errors
/// As [`walk`].
pub(crate) fn defaults(view: &dyn View, facts: &Facts) -> Result<Vec<Place>> {
    let default = |start: Start| start.routes.into_iter().find(|route| route.entry.default);
    let starts = match starts(view, facts) {
        // files without a disk below them
        Err(Error::Refused(_)) => Vec::new(),
        starts => starts?,
    };
    Ok(starts.into_iter().filter_map(default).map(|route| route.entry.place).collect())
}

fn start(view: &dyn View, facts: &Facts, firmware: Firmware) -> Result<(Vec<Hop>, Vec<Entry>)> {
    let Some(target) = TARGETS.iter().copied().find(|target| target.firmware == firmware) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let (goal, archives) = (Goal::new(target), Archives::default());
    to_menu(&Guest { view, facts, goal: &goal, archives: &archives, hardware: Hardware::default() }, firmware)
}

/// The hops from the firmware to the menu, and the entries of that.
fn to_menu(guest: &Guest<'_>, firmware: Firmware) -> Result<(Vec<Hop>, Vec<Entry>)> {
    let mut hops = Vec::new();
    let entries = follow(guest, HopKind::Menu, &mut hops, |guest, hops| match firmware {
        _ if windows::is(guest) => windows::boot(guest, firmware, hops),
        Firmware::Bios => bios::boot(guest, hops),
        Firmware::Uefi => uefi::boot(guest, hops),
    })?;
    Ok((hops, entries))
}
