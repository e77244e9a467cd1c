//! Services that the machine is reached by: they start, with what they depend on.

use super::image::{self, Look};
use super::{System, drivers};
use crate::place::Place;
use crate::registry::{DISABLED, path_of};
use crate::{Guest, Result};

/// The most services that depend on each other in a row.
const DEPTH: usize = 32;

/// What services are in, where the registry does not say it.
const LIBRARIES: [(&str, &str); 2] =
    [("TermService", r"%SystemRoot%\System32\termsrv.dll"), ("RpcSs", r"%SystemRoot%\System32\rpcss.dll")];

/// Why a service does not do its work.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) why: String,
    /// Else nobody can tell.
    pub(super) is_sure: bool,
}

impl Fault {
    /// The hop at what the service is needed for.
    pub(super) fn hop(self, kind: crate::bootwalk::HopKind, what: &str) -> crate::bootwalk::Hop {
        match self.is_sure {
            true => crate::bootwalk::Hop::blocked(kind, self.place, what, self.why),
            false => crate::bootwalk::Hop::unknown(kind, self.place, what, self.why),
        }
    }
}

/// Why a service is not started: it has to have a `Start` of at most `latest`, its program, and what it
/// depends on.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn fault(guest: &Guest<'_>, system: &System, name: &str, latest: u32) -> Result<Option<Fault>> {
    let mut seen = Vec::new();
    fault_in(guest, system, name, latest, &mut seen)
}

fn fault_in(
    guest: &Guest<'_>,
    system: &System,
    name: &str,
    latest: u32,
    seen: &mut Vec<String>,
) -> Result<Option<Fault>> {
    if seen.len() > DEPTH || seen.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(None);
    }
    seen.push(name.to_owned());
    let place = |value| system.hive.place(&format!(r"{}\Services\{name}", system.set), value);
    let found = |place, why: String, is_sure| Ok(Some(Fault { place, why, is_sure }));
    let Some(service) = system.services.get(name) else {
        return match system.services.unread(name) {
            Some(unread) => found(unread.place.clone(), unread.what.clone(), false),
            None => found(place(None), format!("there is no service {name}"), true),
        };
    };
    match service.start {
        Some(DISABLED) => return found(place(Some("Start")), format!("{name} is disabled"), true),
        Some(start) if start <= latest => {}
        Some(start) => {
            let why = format!("{name} is not started by itself: Start is {start}");
            return found(place(Some("Start")), why, true);
        }
        None => return found(place(Some("Start")), format!("{name} has no Start"), true),
    }
    if service.is_driver() {
        if let Some((why, is_sure)) = drivers::fault(guest, service)? {
            return found(place(Some("ImagePath")), why, is_sure);
        }
    } else {
        let usual = LIBRARIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let library = service.library.as_deref().or(usual.map(|(_, library)| *library));
        for (value, command) in [("ImagePath", service.image.as_deref()), ("ServiceDll", library)] {
            let Some(command) = command else {
                if value == "ImagePath" {
                    return found(place(Some(value)), format!("{name} has no program"), true);
                }
                continue;
            };
            let file = match path_of(command) {
                Ok(file) => file,
                Err(why) => return found(place(Some(value)), why, false),
            };
            if let Some(fault) = image::fault(guest, &file, Look::Nearby)? {
                return found(Place::file(fault.place), format!("{name}: {}", fault.why), fault.is_sure);
            }
        }
    }
    // A group, with a plus sign, is there if one of it is.
    for needed in service.needs.iter().filter(|needed| !needed.starts_with('+')) {
        if let Some(fault) = fault_in(guest, system, needed, DISABLED - 1, seen)? {
            return Ok(Some(Fault { why: format!("{name} needs it: {}", fault.why), ..fault }));
        }
    }
    Ok(None)
}
