//! A file that Windows loads: a program, a library, a driver.

use std::collections::HashSet;

use super::System;
use crate::bootwalk::look::regular;
use crate::bootwalk::program::Program;
use crate::pe::{Pe, authenticode, imports};
use crate::systemd::needs::Fault;
use crate::{Guest, Result, limits};

/// How closely a file is looked at where each block costs: in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Its header is read everywhere.
    Within,
    /// In a snapshot it only has to be there.
    Nearby,
}

/// Why a file is not loaded: it is not there, or no whole PE file for the guest's processor, or is damaged.
pub(super) fn fault(guest: &Guest<'_>, path: &str, look: Look) -> Result<Option<Fault>> {
    let view = guest.view;
    if let Err(why) = regular(view, path)? {
        return Ok(Some(Fault::sure(path, why)));
    }
    if look == Look::Nearby && view.machine().remote {
        return Ok(None);
    }
    let noted = view.noted();
    let program = match Program::read(view, path)? {
        // That is told by whoever notes it.
        Err(_) if view.noted() > noted => return Ok(None),
        Err(why) => return Ok(Some(Fault::sure(path, why))),
        Ok(program) => program,
    };
    let arch = guest.facts.os.peek().as_ref().and_then(|os| os.arch).unwrap_or("x86_64");
    if program.arch() != Some(arch) {
        let own = program.arch().unwrap_or("another processor");
        return Ok(Some(Fault::sure(path, format!("it is for {own}, and this Windows for {arch}"))));
    }
    authenticode::damage(view, path)
}

/// Where what a file is linked with is, if not beside it.
const FOLDERS: [&str; 2] = ["/Windows/System32", "/Windows/System32/drivers"];
/// Names that begin so are sets of functions, and no files.
const VIRTUAL: [&str; 2] = ["api-ms-", "ext-ms-"];
/// Names that begin so may be those of side-by-side assemblies, which a manifest chooses.
const SIDE_BY_SIDE: [&str; 6] = ["comctl32", "gdiplus", "msvcr", "msvcp", "mfc", "atl"];

/// What is missing or wrong of all that a file is linked with, and what that is linked with in turn. What was
/// looked at before is not again. A snapshot's files are not read whole for it.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn unlinked(guest: &Guest<'_>, system: &System, path: &str) -> Result<Option<Fault>> {
    unlinked_in(guest, path, &mut system.linked.borrow_mut())
}

/// The same with what was looked at.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn unlinked_in(
    guest: &Guest<'_>,
    path: &str,
    seen: &mut HashSet<String>,
) -> Result<Option<Fault>> {
    let view = guest.view;
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        let is_large = view.stat(&path)?.is_none_or(|metadata| metadata.size > limits::MODULE);
        if view.machine().remote || is_large || !seen.insert(path.to_lowercase()) {
            continue;
        }
        let content = view.read(&path)?.unwrap_or_default();
        let Some(names) = imports::of(&content) else {
            return Ok(Some(Fault::unsure(&path, "what it is linked with cannot be read")));
        };
        let begins = |name: &String, with: &[&str]| {
            let name = name.to_lowercase();
            with.iter().any(|start| name.starts_with(start))
        };
        for name in names.into_iter().filter(|name| !begins(name, &VIRTUAL)) {
            let Some(file) = beside(guest, &path, &name)? else {
                if begins(&name, &SIDE_BY_SIDE) {
                    continue;
                }
                let why = format!("it is linked with {name}, which is not there");
                return Ok(Some(Fault::sure(&path, why)));
            };
            if !seen.contains(&file.to_lowercase())
                && let Some(fault) = fault(guest, &file, Look::Nearby)?
            {
                return Ok(Some(fault));
            }
            todo.push(file);
        }
        if let Some(fault) = delayed(guest, &path, &content, seen)? {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

/// What is wrong with the files that `path` loads when it first calls them. One that is not there is no fault: a
/// Windows without a desktop lacks some, and the programs ask for them first.
fn delayed(
    guest: &Guest<'_>,
    path: &str,
    content: &[u8],
    seen: &mut HashSet<String>,
) -> Result<Option<Fault>> {
    let Some(names) = imports::delayed(content) else {
        return Ok(Some(Fault::unsure(path, "what it loads later cannot be read")));
    };
    for name in names {
        if let Some(file) = beside(guest, path, &name)?
            && !seen.contains(&file.to_lowercase())
            && seen.insert(format!("later {}", file.to_lowercase()))
            && let Some(fault) = fault(guest, &file, Look::Nearby)?
        {
            let why = format!("{}; {path} loads it when it first calls it", fault.why);
            return Ok(Some(Fault::unsure(&fault.place, why)));
        }
    }
    Ok(None)
}

/// The file that `path` is linked with by this name.
fn beside(guest: &Guest<'_>, path: &str, name: &str) -> Result<Option<String>> {
    let own = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for folder in std::iter::once(own).chain(FOLDERS) {
        let file = format!("{folder}/{name}");
        if guest.view.exists(&file)? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// What is said besides where files only have to be there.
pub(super) fn not_looked_at(guest: &Guest<'_>) -> &'static str {
    if guest.view.machine().remote { "; in a snapshot, what is in these files is not looked at" } else { "" }
}

/// The first of these that is not loaded, and why.
pub(super) fn first_fault(guest: &Guest<'_>, paths: &[String], look: Look) -> Result<Option<Fault>> {
    for path in paths {
        if let Some(fault) = fault(guest, path, look)? {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

/// What is wrong with a program behind code for another mode, if one is to be found there that is not
/// compressed: it is not whole, or does not add up to its checksum.
pub(super) fn behind_code(file: &[u8]) -> Option<String> {
    /// Real ones have less code before it.
    const BEFORE: usize = 64 << 10;
    let starts = file.windows(2).take(BEFORE).enumerate().filter(|(_, mark)| *mark == b"MZ");
    let mut programs = starts.filter_map(|(start, _)| file.get(start..));
    let program = programs.find(|program| Pe::parse(program).is_some())?;
    match Program::parse(program, program.len() as u64) {
        Err(why) => Some(format!("the program in it is not whole: {why}")),
        Ok(_) if authenticode::adds_up(program) => None,
        Ok(_) => Some("the program in it does not add up to its checksum: it is damaged".to_owned()),
    }
}
