//! The subsystems that the session manager starts ("Session Manager\\SubSystems" of a control set). Without the
//! one of Windows it ends the start (stop code C000021A).

use super::System;
use crate::Result;
use crate::bootwalk::{Hop, HopKind};
use crate::registry::path_of;

/// What a library of the subsystem is named behind, in the command that starts it.
const LIBRARY: &str = "ServerDll=";

/// The files of those that have to start, in the guest's tree; the inner error is where the session manager does
/// not go on.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn programs(system: &System) -> Result<Result<Vec<String>, Hop>> {
    let key = format!(r"{}\Control\Session Manager\SubSystems", system.set);
    let stop = |value, is_sure: bool, why: String| {
        let place = system.hive.place(&key, value);
        let what = "the subsystems";
        Ok(Err(match is_sure {
            true => Hop::blocked(HopKind::Init, place, what, why),
            false => Hop::unknown(HopKind::Init, place, what, why),
        }))
    };
    if system.hive.key(&key)?.is_none() {
        return stop(None, true, "there is no such key, and no subsystem starts".to_owned());
    }
    let required = system.hive.texts(&key, "Required")?.unwrap_or_default();
    if !required.iter().any(|name| name.eq_ignore_ascii_case("Windows")) {
        return stop(Some("Required"), true, "the subsystem of Windows is not in it".to_owned());
    }
    let mut files = Vec::new();
    // Where the part of the kernel is not named, the program brings it.
    for name in required.iter().map(String::as_str).chain(["Kmode"]) {
        let is_windows = name.eq_ignore_ascii_case("Windows");
        let command = system.hive.text(&key, name)?.unwrap_or_default();
        if command.trim().is_empty() {
            if is_windows {
                return stop(Some("Windows"), true, "it names no program".to_owned());
            }
            continue;
        }
        match path_of(&command) {
            Ok(file) => files.push(file),
            Err(why) => return stop(Some(name), false, why),
        }
        let words = command.split_whitespace();
        let libraries = words.filter_map(|word| {
            let head = word.get(..LIBRARY.len())?;
            let rest = word.get(LIBRARY.len()..).filter(|_| head.eq_ignore_ascii_case(LIBRARY))?;
            rest.split([',', ':']).next()
        });
        files.extend(libraries.map(|library| format!("/Windows/System32/{library}.dll")));
    }
    Ok(Ok(files))
}
