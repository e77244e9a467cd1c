//! The kernel, what it is linked with, and the tables of letters that the loader hands to it.

use std::collections::HashSet;

use super::System;
use super::image::{self, Look};
use crate::bootwalk::look::regular;
use crate::bootwalk::{Hop, HopKind, service};
use crate::{Guest, Result};

const FOLDER: &str = "/Windows/System32";

/// What every kernel since 2008 R2 is linked with.
const LIBRARIES: [&str; 5] = ["hal.dll", "kdcom.dll", "bootvid.dll", "pshed.dll", "ci.dll"];

/// Values that name a code page.
const CODE_PAGES: [&str; 2] = ["ACP", "OEMCP"];

/// The hop at the kernel.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn kernel(guest: &Guest<'_>, kernel: &str) -> Result<Vec<Hop>> {
    let mut paths = vec![kernel.to_owned()];
    paths.extend(LIBRARIES.map(|name| format!("{FOLDER}/{name}")));
    let fault = match image::first_fault(guest, &paths, Look::Within)? {
        None => image::unlinked_in(guest, kernel, &mut HashSet::new())?,
        fault => fault,
    };
    Ok(vec![match fault {
        Some(fault) => service::hop(HopKind::Kernel, "the kernel, and what it is linked with", fault),
        None => Hop::reached(HopKind::Kernel, kernel, "the kernel, with what it is linked with"),
    }])
}

/// What keeps the loader from the tables of letters, which it does not go on without ("Nls" of a control set).
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn letters(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let key = format!(r"{}\Control\Nls\CodePage", system.set);
    let mut files = vec!["l_intl.nls".to_owned()];
    let mut hops = Vec::new();
    for value in CODE_PAGES {
        match system.hive.text(&key, value)? {
            Some(number) => {
                let file = system.hive.text(&key, &number)?;
                files.push(file.unwrap_or_else(|| format!("C_{number}.NLS")));
            }
            None => {
                let place = system.hive.place(&key, Some(value));
                let why = "it is not there, and which table the loader takes is not known";
                hops.push(Hop::unknown(HopKind::Kernel, place, "a table of letters", why));
            }
        }
    }
    for file in files {
        let path = format!("{FOLDER}/{file}");
        let why = match regular(guest.view, &path)? {
            Err(why) => why,
            Ok(_) if guest.view.stat(&path)?.is_some_and(|file| file.size == 0) => "it is empty",
            Ok(_) => continue,
        };
        hops.push(Hop::blocked(HopKind::Kernel, path, "a table of letters", why));
    }
    Ok(hops)
}
