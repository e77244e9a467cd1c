//! Keys and values that every Windows has: how far a start comes without one, Microsoft does not say.

use super::System;
use crate::bootwalk::{Hop, HopKind};
use crate::registry::{self, HiveFile, SAM, SECURITY, SOFTWARE, SYSTEM};
use crate::{Guest, Result};

/// What the program that checks passwords does that with, unless a domain does.
const LOCAL: &str = "msv1_0";

/// A key, or one of its values.
struct Required {
    file: HiveFile,
    /// Below the control set that starts; else below the root.
    in_set: bool,
    key: &'static str,
    value: Option<&'static str>,
    what: &'static str,
}

const fn of_set(key: &'static str, value: Option<&'static str>, what: &'static str) -> Required {
    Required { file: SYSTEM, in_set: true, key, value, what }
}

const fn of(file: HiveFile, key: &'static str, value: Option<&'static str>, what: &'static str) -> Required {
    Required { file, in_set: false, key, value, what }
}

const REQUIRED: [Required; 8] = [
    of(SYSTEM, "Setup", Some("SystemSetupInProgress"), "whether the setup of Windows is over"),
    of_set(r"Control\Session Manager\KnownDLLs", None, "the libraries that programs share"),
    of_set(r"Control\ProductOptions", Some("ProductType"), "which product it is"),
    of_set(r"Control\Lsa", Some("Authentication Packages"), "what checks passwords"),
    of(SOFTWARE, r"Microsoft\Windows NT\CurrentVersion\Svchost", None, "which services share a process"),
    of(SOFTWARE, r"Microsoft\Windows NT\CurrentVersion\ProfileList", None, "where the profiles of users are"),
    of(SAM, r"SAM\Domains\Account\Users", None, "the accounts of the machine"),
    of(SECURITY, "Policy", None, "what accounts may do"),
];

/// The hops at what is not there.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn required(guest: &Guest<'_>, system: &System) -> Result<Vec<Hop>> {
    let mut hops = Vec::new();
    for Required { file, in_set, key, value, what } in REQUIRED {
        let key = if in_set { format!(r"{}\{key}", system.set) } else { key.to_owned() };
        // A hive that is not there was told.
        let Some(hive) = registry::open(guest.view, file)? else { continue };
        let is_there = match value {
            Some(value) => hive.data(&key, value)?.is_some(),
            None => hive.key(&key)?.is_some(),
        };
        if !is_there {
            let why = "every Windows has it, and how far a start comes without it is not known";
            hops.push(Hop::unknown(HopKind::Init, hive.place(&key, value), what, why));
        }
    }
    let (key, value) = (format!(r"{}\Control\Lsa", system.set), "Authentication Packages");
    if let Some(packages) = system.hive.texts(&key, value)?
        && !packages.iter().any(|package| package.eq_ignore_ascii_case(LOCAL))
    {
        let why = format!("{LOCAL} is not in it, and who checks the passwords of the machine is not known");
        hops.push(Hop::unknown(HopKind::Init, system.hive.place(&key, Some(value)), "a logon", why));
    }
    Ok(hops)
}
