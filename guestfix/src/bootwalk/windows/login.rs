//! Somebody can log in: by Remote Desktop, through the guest's own firewall.

use super::service::{Fault, fault};
use super::{System, firewall};
use crate::bootwalk::{Hop, HopKind};
use crate::registry::{self, DISABLED, SOFTWARE};
use crate::{Guest, Result};

/// Where Remote Desktop listens unless it is told otherwise.
const PORT: u32 = 3389;
/// The engine of all filters of the network, and the firewall.
const FILTERS: [&str; 2] = ["BFE", "mpssvc"];
const NO_SESSION: &str = "it may have no session";

/// The hops at the login.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn login(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let what = "Remote Desktop";
    let mut hops = Vec::new();
    let software = registry::open(guest.view, SOFTWARE)?;
    let server = format!(r"{}\Control\Terminal Server", system.set);
    let policy = r"Policies\Microsoft\Windows NT\Terminal Services";
    let deny = "fDenyTSConnections";
    let by_policy = match &software {
        Some(software) => software.dword(policy, deny)?,
        None => None,
    };
    let denied = match by_policy {
        Some(number) => (number != 0).then(|| SOFTWARE.place(policy, Some(deny))),
        None => {
            let denied = system.hive.dword(&server, deny)? != Some(0);
            denied.then(|| system.hive.place(&server, Some(deny)))
        }
    };
    if let Some(place) = denied {
        hops.push(Hop::blocked(HopKind::Login, place, what, "it takes no connections"));
    }
    if let Some(fault) = fault(guest, system, "TermService", DISABLED - 1)? {
        hops.push(fault.hop(HopKind::Login, what));
    }
    let listener = format!(r"{server}\WinStations\RDP-Tcp");
    if system.hive.key(&listener)?.is_none() {
        let place = system.hive.place(&listener, None);
        hops.push(Hop::blocked(HopKind::Login, place, what, "there is no such key, and nothing listens"));
    }
    for (key, value, is, why) in [
        (&listener, "fEnableWinStation", 0, "its listener is off"),
        (&listener, "fLogonDisabled", 1, "its listener lets nobody log on"),
        (&listener, "MaxInstanceCount", 0, NO_SESSION),
        (&server, "TSEnabled", 0, "its services are off"),
    ] {
        // A policy goes before what the machine says.
        let by_policy = match &software {
            Some(software) if value == "MaxInstanceCount" => software.dword(policy, value)?,
            _ => None,
        };
        let (found, place) = match by_policy {
            Some(number) => (Some(number), SOFTWARE.place(policy, Some(value))),
            None => (system.hive.dword(key, value)?, system.hive.place(key, Some(value))),
        };
        if found == Some(is) {
            hops.push(Hop::blocked(HopKind::Login, place, what, why));
        }
    }
    let port = system.hive.dword(&listener, "PortNumber")?.unwrap_or(PORT);
    // Filters of the start let nobody in until the engine of all filters takes them away, and the firewall has its own.
    for name in FILTERS {
        if let Some(found) = fault(guest, system, name, DISABLED - 1)? {
            let found = Fault { is_sure: false, ..found };
            hops.push(found.hop(HopKind::Login, "Remote Desktop through the filters of the start"));
        }
    }
    if let Some(fault) = firewall::fault(system, software.as_ref(), port)? {
        hops.push(fault.hop(HopKind::Login, "Remote Desktop through the firewall"));
    }
    if hops.is_empty() {
        let at = if port == PORT { String::new() } else { format!(", at port {port}") };
        hops.push(Hop::reached(HopKind::Login, system.hive.place(&listener, None), format!("{what}{at}")));
    }
    Ok(hops)
}
