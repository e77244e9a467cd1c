//! From the session manager to the logon: the programs that no start does without.

use super::System;
use super::image::{self, Look};
use super::service::fault;
use super::{logon, required, subsystem};
use crate::bootwalk::{Hop, HopKind, service};
use crate::registry::{self, DISABLED, SOFTWARE};
use crate::{Guest, Result};

/// Programs and libraries, in the order in which they are needed, below System32.
const PROGRAMS: [&str; 22] = [
    "ntdll.dll",
    "smss.exe",
    "csrss.exe",
    "csrsrv.dll",
    "basesrv.dll",
    "winsrv.dll",
    "kernel32.dll",
    "KernelBase.dll",
    "rpcrt4.dll",
    "advapi32.dll",
    "sechost.dll",
    "user32.dll",
    "gdi32.dll",
    "wininit.exe",
    "services.exe",
    "lsass.exe",
    "lsasrv.dll",
    "msv1_0.dll",
    "svchost.exe",
    "winlogon.exe",
    "LogonUI.exe",
    "userinit.exe",
];

/// Services that nobody logs on without, and the first build that has them (hives of 7, 8.1 and 10).
const SERVICES: [(&str, u32); 6] =
    [("DcomLaunch", 0), ("RpcEptMapper", 0), ("SamSs", 0), ("LSM", 9200), ("ProfSvc", 0), ("PlugPlay", 0)];

/// The hops from the session manager to the logon.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn session(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let mut hops = Vec::new();
    let setup = "Setup";
    for value in ["SystemSetupInProgress", "OOBEInProgress", "SetupType"] {
        if system.hive.dword(setup, value)?.is_some_and(|number| number != 0) {
            let place = system.hive.place(setup, Some(value));
            let why = "it goes on with its setup, and does not come to a logon by itself";
            hops.push(Hop::unknown(HopKind::Init, place, "the setup of Windows", why));
        }
    }
    let software = registry::open(guest.view, SOFTWARE)?;
    if let Some(software) = &software {
        let key = r"Microsoft\Windows\CurrentVersion\Setup\State";
        let state = software.text(key, "ImageState")?;
        if let Some(state) = state.filter(|state| !state.eq_ignore_ascii_case("IMAGE_STATE_COMPLETE")) {
            let place = SOFTWARE.place(key, Some("ImageState"));
            let why = format!("it is {state}: the next start is that of a new machine");
            hops.push(Hop::unknown(HopKind::Init, place, "a generalised Windows", why));
        }
    }
    let mut paths: Vec<String> = PROGRAMS.iter().map(|name| format!("/Windows/System32/{name}")).collect();
    match subsystem::programs(system)? {
        Ok(programs) => paths.extend(programs),
        Err(hop) => hops.push(hop),
    }
    // Nothing talks to anything else without these.
    for (name, latest) in [("Npfs", 1), ("RpcSs", 2)] {
        let fault = fault(guest, system, name, latest)?;
        hops.extend(fault.map(|fault| fault.hop(HopKind::Init, "what programs talk to each other by")));
    }
    // Which Windows it is, is asked before.
    let build = software.as_ref().map(registry::build).transpose()?.flatten().unwrap_or(0);
    for (name, _) in SERVICES.into_iter().filter(|(_, since)| *since <= build) {
        let fault = fault(guest, system, name, DISABLED - 1)?;
        hops.extend(fault.map(|fault| fault.hop(HopKind::Init, "what a logon goes through")));
    }
    if let Some(fault) = image::first_fault(guest, &paths, Look::Nearby)? {
        hops.push(service::hop(HopKind::Init, "what starts before the logon", fault));
    }
    for path in &paths {
        let fault = image::unlinked(guest, system, path)?;
        hops.extend(fault.map(|fault| service::hop(HopKind::Init, "what programs are linked with", fault)));
    }
    hops.extend(required::required(guest, system)?);
    if let Some(software) = &software {
        hops.extend(logon::logon(guest, system, software)?);
    }
    if hops.is_empty() {
        let unseen = image::not_looked_at(guest);
        let what = format!("the session manager, and all that it starts up to the logon{unseen}");
        hops.push(Hop::reached(HopKind::Init, "/Windows/System32/smss.exe", what));
    }
    Ok(hops)
}
