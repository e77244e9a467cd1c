//! A start of Windows, as its own loaders make it: the firmware, bootmgr, its boot configuration, winload, the
//! control set that starts, the drivers that the loader brings, the volume of the system, the programs up to
//! the logon, the network, Remote Desktop.
//!
//! Written from Microsoft's documentation (the load order of drivers, boot configuration data, the services
//! tree) and what is known of real starts. Two things are inferred, for Microsoft documents neither: that a
//! value of `StartOverride` takes the place of `Start`, and on which machines. No Windows was started.

mod drivers;
mod firewall;
mod firmware;
mod hives;
mod image;
mod kernel;
mod login;
mod logon;
mod network;
mod required;
mod root;
mod service;
mod session;
mod store;
mod subsystem;

use std::cell::RefCell;
use std::collections::HashSet;

use super::look::{follow, look};
use super::{Entry, Hop, HopKind};
use crate::facts::OsKind;
use crate::platform::Firmware;
use crate::registry::{Opened, Services};
use crate::{Guest, Result};

/// Whether the guest is a Windows.
pub(super) fn is(guest: &Guest<'_>) -> bool {
    guest.facts.os.peek().as_ref().is_some_and(|os| os.kind == OsKind::Windows)
}

/// From the firmware to the default entry of the boot configuration.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn boot(guest: &Guest<'_>, firmware: Firmware, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let store = match firmware {
        Firmware::Bios => firmware::by_bios(guest, hops)?,
        Firmware::Uefi => firmware::by_uefi(guest, hops)?,
    };
    match store {
        Some(store) => store::entries(guest, store, firmware, hops),
        None => Ok(Vec::new()),
    }
}

/// What of SYSTEM the loader and all that comes after it look at.
struct System {
    hive: Opened,
    /// The control set that starts.
    set: String,
    services: Services,
    /// Files of which it was looked at what they are linked with.
    linked: RefCell<HashSet<String>>,
}

impl System {
    fn new(hive: Opened, set: String, services: Services) -> Self {
        Self { hive, set, services, linked: RefCell::default() }
    }
}

/// From the kernel, which winload loads, to the root.
///
/// # Errors
/// If the device fails.
pub(super) fn route(guest: &Guest<'_>, kernel: &str) -> Result<Vec<Hop>> {
    let mut hops = Vec::new();
    hops.extend(look(guest, HopKind::Kernel, |guest| kernel::kernel(guest, kernel))?);
    let system = follow(guest, HopKind::Registry, &mut hops, hives::hives)?;
    hops.extend(with(guest, HopKind::Kernel, system.as_ref(), kernel::letters)?);
    hops.extend(with(guest, HopKind::Drivers, system.as_ref(), drivers::drivers)?);
    hops.extend(with(guest, HopKind::Root, system.as_ref(), root::root)?);
    Ok(hops)
}

/// From the session manager to the login.
///
/// # Errors
/// If the device fails.
pub(super) fn system(guest: &Guest<'_>) -> Result<Vec<Hop>> {
    // What is wrong with it is told before.
    let system = follow(guest, HopKind::Registry, &mut Vec::new(), hives::hives)?;
    let mut hops = with(guest, HopKind::Init, system.as_ref(), session::session)?;
    hops.extend(with(guest, HopKind::Network, system.as_ref(), network::network)?);
    hops.extend(with(guest, HopKind::Login, system.as_ref(), login::login)?);
    Ok(hops)
}

/// The hops of a part that looks at SYSTEM.
fn with(
    guest: &Guest<'_>,
    kind: HopKind,
    system: Option<&System>,
    find: fn(&Guest<'_>, &System) -> Result<Vec<Hop>>,
) -> Result<Vec<Hop>> {
    look(guest, kind, |guest| match system {
        Some(system) => find(guest, system),
        None => {
            let why = "without its control set nobody can tell";
            Ok(vec![Hop::unknown(kind, crate::registry::SYSTEM.path, "", why)])
        }
    })
}
