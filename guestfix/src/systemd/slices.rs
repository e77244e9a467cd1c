//! The slices that a unit is in: what the administrator writes for one is for all that is below it
//! (systemd.slice(5), systemd.resource-control(5)).

use super::needs::{Directive, Fault, directives};
use super::understood::is_harmless;
use super::{DIRS, Unit};
use crate::{Result, View};

/// The slice of services, if nothing else is said.
pub(crate) const SYSTEM: &str = "system.slice";
/// That of the sessions of an ordinary account.
pub(crate) const SESSIONS: &str = "user-1000.slice";
/// The one that all are in.
const ROOT: &str = "-.slice";
/// As many are above each other.
const DEPTH: usize = 16;

/// The slice that lines of a unit put it in.
pub(super) fn of(all: &[Directive]) -> &str {
    all.iter().rfind(|line| line.key == "Slice").map_or(SYSTEM, |line| line.value.as_str())
}

/// The line of a slice, or of one that it is in, of which nobody can tell whether what is in it does its work.
pub(crate) fn fault(view: &dyn View, slice: &str) -> Result<Option<Fault>> {
    // what a specifier stands for is not known here
    if slice.contains('%') || !slice.ends_with(".slice") {
        return Ok(None);
    }
    let mut name = slice.to_owned();
    for _ in 0..DEPTH {
        if let Some(fault) = of_one(view, &name)? {
            return Ok(Some(fault));
        }
        if name == ROOT {
            break;
        }
        let stem = name.trim_end_matches(".slice");
        name = stem.rsplit_once('-').map_or_else(|| ROOT.to_owned(), |(above, _)| format!("{above}.slice"));
    }
    Ok(None)
}

fn of_one(view: &dyn View, name: &str) -> Result<Option<Fault>> {
    // Those of systemd itself have no file.
    let path = match Unit::find(view, name)? {
        Unit::There { path, .. } => path,
        _ => format!("{}/{name}", DIRS[4]),
    };
    for Directive { file, section, key, value, is_own } in directives(view, name, &path)? {
        if is_own && section == "Slice" && !is_harmless(name, &key, &value) {
            let why = format!("nobody can tell whether what is in {name} does its work with {key}={value}");
            return Ok(Some(Fault::unsure(&file, why)));
        }
    }
    Ok(None)
}
