//! Services that the machine is reached by: they start, with what they depend on.

use super::image::{self, Look};
use super::{System, drivers};
use crate::place::Place;
use crate::registry::{self, DISABLED, SOFTWARE, Service, path_of};
use crate::{Guest, Result};

/// The most services that depend on each other in a row.
const DEPTH: usize = 32;

/// What services are in, where the registry does not say it.
const LIBRARIES: [(&str, &str); 2] =
    [("TermService", r"%SystemRoot%\System32\termsrv.dll"), ("RpcSs", r"%SystemRoot%\System32\rpcss.dll")];

/// What Microsoft does not say of `StartOverride`.
pub(super) const INFERRED: &str = "(inferred: Microsoft says not when)";

/// Where in SOFTWARE the services of each `svchost -k` are.
const GROUPS: &str = r"Microsoft\Windows NT\CurrentVersion\Svchost";

/// What accounts begin with that every Windows has.
const OWN_ACCOUNTS: [&str; 2] = [r"NT AUTHORITY\", r"NT SERVICE\"];

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
    if let Some((machine, start)) = service.overrides.iter().find(|(_, start)| *start > latest) {
        let place = system.hive.place(&format!(r"{}\StartOverride", service.key), Some(machine));
        let why = format!("{name}: StartOverride has {start} in the place of its Start {INFERRED}");
        return found(place, why, true);
    }
    if let Some(why) = service.wrong_type() {
        return found(place(Some("Type")), format!("{name}: {why}"), true);
    }
    if service.is_driver() {
        // What others depend on need not be of Windows itself.
        let fault = match seen.len() {
            1 => drivers::own_fault(guest, system, service)?,
            _ => drivers::fault(guest, service)?,
        };
        if let Some((why, is_sure)) = fault {
            return found(place(Some("ImagePath")), why, is_sure);
        }
        if let Ok(file) = service.file()
            && let Some(fault) = image::unlinked(guest, system, &file)?
        {
            return found(Place::file(fault.place), format!("{name}: {}", fault.why), fault.is_sure);
        }
    } else {
        if let Some(fault) = process(guest, system, service)? {
            return Ok(Some(fault));
        }
        let usual = LIBRARIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let library = service.library.as_deref().or(usual.map(|(_, library)| *library));
        for (value, command) in [("ImagePath", service.image.as_deref()), ("ServiceDll", library)] {
            let Some(command) = command else {
                match value {
                    "ImagePath" => return found(place(Some(value)), format!("{name} has no program"), true),
                    _ if group_of(service).is_some() => {
                        let why = format!("{name} has no {value} that its process could load");
                        return found(place(None), why, true);
                    }
                    _ => continue,
                }
            };
            let file = match path_of(command) {
                Ok(file) => file,
                Err(why) => return found(place(Some(value)), why, false),
            };
            let fault = match image::fault(guest, &file, Look::Nearby)? {
                None => image::unlinked(guest, system, &file)?,
                fault => fault,
            };
            if let Some(fault) = fault {
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

/// Why a service is not in the process that it is to be in: it is not in the list of its `svchost`, or runs as
/// somebody who may not be there.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn process(guest: &Guest<'_>, system: &System, service: &Service) -> Result<Option<Fault>> {
    let account = service.account.as_deref().unwrap_or("LocalSystem");
    let is_own =
        |start: &str| account.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    if !account.eq_ignore_ascii_case("LocalSystem") && !OWN_ACCOUNTS.iter().any(|start| is_own(start)) {
        let why = format!("{} runs as {account}, and whether that can log on is not known", service.name);
        let place = system.hive.place(&service.key, Some("ObjectName"));
        return Ok(Some(Fault { place, why, is_sure: false }));
    }
    let (Some(group), Some(software)) = (group_of(service), registry::open(guest.view, SOFTWARE)?) else {
        return Ok(None);
    };
    let names = software.texts(GROUPS, group)?.unwrap_or_default();
    if names.iter().any(|name| name.eq_ignore_ascii_case(&service.name)) {
        return Ok(None);
    }
    let why = format!("{} is not in it, and its process does not start it", service.name);
    Ok(Some(Fault { place: SOFTWARE.place(GROUPS, Some(group)), why, is_sure: true }))
}

/// The group of a service that shares its process: what is behind `svchost -k`.
fn group_of(service: &Service) -> Option<&str> {
    let mut words = service.image.as_deref()?.split_whitespace();
    let program = words.next()?.trim_matches('"').to_ascii_lowercase();
    let is_shared = program.ends_with("svchost.exe") && words.any(|word| word.eq_ignore_ascii_case("-k"));
    words.next().filter(|_| is_shared)
}
