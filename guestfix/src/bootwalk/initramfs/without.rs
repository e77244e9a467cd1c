//! A boot without an initramfs.

use super::drivers::{built_in_by_config, filesystem_drivers};
use super::{KIND, Kernel};
use crate::bootwalk::{Hop, MenuEntry, waits};
use crate::inspect::devices;
use crate::inspect::kernels::is_module;
use crate::text::cmdline;
use crate::{Guest, Result};

/// A kernel that mounts its root itself: it must have the drivers in it, and knows nothing of file systems'
/// names.
pub(super) fn without(guest: &Guest<'_>, entry: &MenuEntry, kernel: &Kernel) -> Result<Hop> {
    let what = "no initramfs";
    let blocked = |why: String| Ok(Hop::blocked(KIND, &entry.place, what, why));
    let root = cmdline::values(&entry.cmdline, "root").pop().unwrap_or_default();
    if ["UUID=", "LABEL=", "/dev/disk/", "/dev/mapper/"].iter().any(|start| root.starts_with(start)) {
        return blocked(format!("a kernel by itself does not find root={root}"));
    }
    if let Some(usr) = waits::usr(guest)? {
        return blocked(format!(
            "a kernel by itself mounts the root alone, and init is in /usr, which is {}",
            usr.name
        ));
    }
    let mut lacking = Vec::new();
    let volume = devices::root(guest.view.machine());
    let mut wanted: Vec<Vec<&str>> =
        guest.goal.target.platform.drivers.required.iter().map(|name| vec![*name]).collect();
    wanted.extend(volume.map(filesystem_drivers).filter(|names| !names.is_empty()));
    let text = guest.view.text(&format!("{}/modules.builtin", kernel.dir))?.unwrap_or_default();
    let listed = |name: &str| text.lines().any(|line| is_module(line, name));
    for names in &wanted {
        let mut is_there = false;
        for name in names {
            is_there |= listed(name) || built_in_by_config(guest, &kernel.release, name)?;
        }
        if !is_there {
            lacking.extend(names.first().copied());
        }
    }
    if !lacking.is_empty() {
        return blocked(format!("the kernel has {} not built in", lacking.join(", ")));
    }
    Ok(Hop::reached(KIND, &entry.place, what))
}
