//! The way through one entry of the menu, from the kernel's file to the root.

use super::look::look;
use super::{Hop, HopKind, MenuEntry, arguments, initramfs, kernel, root};
use crate::{Guest, Result};

/// The hops of one entry. Those behind one that is blocked are looked at all the same: a plan has to know all
/// that is missing.
///
/// # Errors
/// If the device fails.
pub(super) fn route(guest: &Guest<'_>, entry: &MenuEntry) -> Result<Vec<Hop>> {
    let mut hops = look(guest, HopKind::Kernel, |guest| kernel::kernel(guest, entry))?;
    hops.extend(look(guest, HopKind::Kernel, |guest| arguments::arguments(guest, entry))?);
    hops.extend(look(guest, HopKind::Initramfs, |guest| initramfs::initramfs(guest, entry))?);
    hops.extend(look(guest, HopKind::Root, |guest| root::root(guest, entry))?);
    Ok(hops)
}
