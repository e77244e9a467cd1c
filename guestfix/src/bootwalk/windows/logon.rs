//! What `winlogon` starts for somebody who has logged on: programs in values of its key ("Winlogon" of SOFTWARE).

use super::System;
use super::image::{self, Look};
use crate::bootwalk::look::regular;
use crate::bootwalk::{Hop, HopKind, service};
use crate::registry::{Opened, path_of};
use crate::{Guest, Result};

const KEY: &str = r"Microsoft\Windows NT\CurrentVersion\Winlogon";
/// What it starts first, which starts the shell.
const FIRST: &str = "userinit.exe";
/// Where a server without a desktop has its shells, of which it takes one that is there.
const SHELLS: &str = r"Microsoft\Windows NT\CurrentVersion\Winlogon\AlternateShells\AvailableShells";
/// Where a program without a folder is looked for.
const FOLDERS: [&str; 2] = ["/Windows/System32", "/Windows"];
const WHAT: &str = "a logon";

/// The hops at what a logon starts, where that does not.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn logon(guest: &Guest<'_>, system: &System, software: &Opened) -> Result<Vec<Hop>> {
    let mut hops = Vec::new();
    let what = WHAT;
    let place = |value| software.place(KEY, Some(value));
    let first = software.text(KEY, "Userinit")?.unwrap_or_default();
    let mut found = Vec::new();
    for command in first.split(',').filter(|command| !command.trim().is_empty()) {
        found.extend(program(guest, command)?);
    }
    let is_first = |file: &&String| file.to_lowercase().ends_with(&format!("/{FIRST}"));
    match found.iter().find(is_first) {
        Some(file) => hops.extend(loaded(guest, system, file)?),
        None => hops.push(match (first.trim().is_empty(), found.first()) {
            (true, _) => {
                let why = "it names no program, and who logs on is logged off again";
                Hop::blocked(HopKind::Init, place("Userinit"), what, why)
            }
            (false, None) => {
                let why = format!("there is no {first}, and who logs on is logged off again");
                Hop::blocked(HopKind::Init, place("Userinit"), what, why)
            }
            (false, Some(file)) => {
                let why =
                    format!("it starts {file} in the place of {FIRST}, and what that does is not known");
                Hop::unknown(HopKind::Init, place("Userinit"), what, why)
            }
        }),
    }
    let shell = software.text(KEY, "Shell")?.unwrap_or_else(|| "explorer.exe".to_owned());
    let mut shells = vec![shell.clone()];
    for value in software.values(SHELLS)? {
        shells.extend(software.text(SHELLS, &value)?);
    }
    for shell in &shells {
        if let Some(file) = program(guest, shell)? {
            hops.extend(loaded(guest, system, &file)?);
            return Ok(hops);
        }
    }
    let why = match shell.trim() {
        "" => "it names no program: who logs on has no shell".to_owned(),
        shell => format!("there is no {shell}: who logs on has no shell"),
    };
    hops.push(Hop::unknown(HopKind::Init, place("Shell"), what, why));
    Ok(hops)
}

/// What keeps a program from starting.
fn loaded(guest: &Guest<'_>, system: &System, file: &str) -> Result<Option<Hop>> {
    let fault = match image::fault(guest, file, Look::Nearby)? {
        None => image::unlinked(guest, system, file)?,
        fault => fault,
    };
    Ok(fault.map(|fault| service::hop(HopKind::Init, WHAT, fault)))
}

/// The file of the program that a command starts, if it is there.
fn program(guest: &Guest<'_>, command: &str) -> Result<Option<String>> {
    let name = command.split_whitespace().next().unwrap_or_default().trim_end_matches(',');
    let paths = match name.contains(['\\', '%', '"']) {
        true => path_of(command).into_iter().collect(),
        false => {
            let ending = if name.contains('.') { "" } else { ".exe" };
            FOLDERS.map(|folder| format!("{folder}/{name}{ending}")).to_vec()
        }
    };
    for path in paths {
        if regular(guest.view, &path)?.is_ok() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
