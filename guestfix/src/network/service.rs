//! Whether a manager is started at boot, and whether there is a DHCP client for it.

use crate::rules::linux::systemd;
use crate::{Result, View, programs};

/// Where packages start units of theirs.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
const TARGETS: [&str; 4] = ["multi-user", "network-online", "network", "sysinit"];

/// Whether anything starts this unit of systemd, or the script or service of the same name.
pub(crate) fn is_started(view: &dyn View, unit: &str) -> Result<bool> {
    if is_masked(view, unit)? {
        return Ok(false);
    }
    if !systemd::starting_links(view, unit)?.is_empty() {
        return Ok(true);
    }
    for dir in PACKAGED {
        for target in TARGETS {
            if view.lstat(&format!("{dir}/{target}.target.wants/{unit}"))?.is_some() {
                return Ok(true);
            }
        }
    }
    // Upstart starts what is there.
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    Ok(systemd::is_absent(view)? && view.exists(&format!("/etc/init/{name}.conf"))?)
}

/// Whether the administrator has forbidden the unit.
pub(super) fn is_masked(view: &dyn View, unit: &str) -> Result<bool> {
    Ok(view.read_link(&format!("/etc/systemd/system/{unit}"))?.as_deref() == Some("/dev/null"))
}

/// Whether one of these programs is installed.
pub(super) fn has_program(view: &dyn View, names: &[&str]) -> Result<bool> {
    for name in names {
        if programs::find(view, name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
