//! The hives: the loader reads SYSTEM, the session manager loads the others, and a damaged one ends the start.

use super::System;
use crate::bootwalk::{Hop, HopKind};
use crate::registry::{self, ControlSets, DEFAULT, HiveFile, SAM, SECURITY, SOFTWARE, SYSTEM, Services};
use crate::{Guest, Result};

/// SYSTEM with the control set that starts, if there is one.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn hives(guest: &Guest<'_>, hops: &mut Vec<Hop>) -> Result<Option<System>> {
    let blocked = |file: HiveFile, why: &str| {
        Hop::blocked(HopKind::Registry, file.path, format!("the hive {}", file.name), why)
    };
    let before = hops.len();
    for file in [SOFTWARE, SAM, SECURITY, DEFAULT] {
        match registry::open(guest.view, file) {
            Ok(Some(_)) => {}
            Ok(None) => hops.push(blocked(file, "there is no such file")),
            Err(error) => {
                let unread = error.unread()?;
                hops.push(blocked(file, &unread.what));
            }
        }
    }
    let Some(hive) = registry::open(guest.view, SYSTEM)? else {
        hops.push(blocked(SYSTEM, "there is no such file"));
        return Ok(None);
    };
    let sets = ControlSets::of(&hive)?;
    let select = SYSTEM.place("Select", Some("Default"));
    let Some(set) = sets.default else {
        let why = "it names no control set to start";
        hops.push(Hop::blocked(HopKind::Registry, select, "the hive SYSTEM", why));
        return Ok(None);
    };
    if !sets.all.contains(&set) {
        let why = format!("it names {set}, which is not there");
        hops.push(Hop::blocked(HopKind::Registry, select, "the hive SYSTEM", why));
        return Ok(None);
    }
    let services = Services::of(&hive, &set)?;
    if hops.len() == before {
        let what = format!("{set}, {} drivers and services", services.all.len());
        hops.push(Hop::reached(HopKind::Registry, SYSTEM.path, what));
    }
    Ok(Some(System::new(hive, set, services)))
}
