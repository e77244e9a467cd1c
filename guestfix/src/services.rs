//! What is started at boot, by any init: units of systemd, scripts of SysV init, services of OpenRC, jobs of
//! Upstart.

use crate::systemd::{self, Unit};
use crate::{Result, View};

/// What an older init runs at the end of the start, and systemd's rc-local.service.
pub(crate) const RC_LOCAL: [&str; 2] = ["/etc/rc.local", "/etc/rc.d/rc.local"];

/// OpenRC has a directory of links for each.
const RUNLEVELS: &str = "/etc/runlevels";

/// Whether the guest has another init, from before systemd.
pub(crate) fn is_without_systemd(view: &dyn View) -> Result<bool> {
    Ok(!view.exists("/usr/lib/systemd/systemd")?
        && !view.exists("/lib/systemd/systemd")?
        && (view.exists("/etc/inittab")? || view.exists("/etc/init")?))
}

/// Whether anything starts this unit of systemd, or the script, service or job of the same name.
pub(crate) fn is_started(view: &dyn View, unit: &str) -> Result<bool> {
    // systemd looks at no script of a name that has a unit.
    if !is_without_systemd(view)? && matches!(Unit::find(view, unit)?, Unit::There { .. }) {
        return Ok(!systemd::starters(view, unit)?.is_empty());
    }
    if !starting_links(view, unit)?.is_empty() {
        return Ok(true);
    }
    // Upstart starts what is there.
    Ok(is_without_systemd(view)? && view.exists(&format!("/etc/init/{}.conf", name_of(unit)))?)
}

/// The links by which a unit, named with its suffix, is started at boot; none if it is masked.
pub(crate) fn starting_links(view: &dyn View, unit: &str) -> Result<Vec<String>> {
    if systemd::is_masked(view, unit)? {
        return Ok(Vec::new());
    }
    let mut out = systemd::starters(view, unit)?;
    let name = name_of(unit);
    for level in view.list(RUNLEVELS)? {
        let link = format!("{RUNLEVELS}/{level}/{name}");
        out.extend(view.lstat(&link)?.is_some().then_some(link));
    }
    for level in ["S", "2", "3", "4", "5"] {
        // those of Debian, Red Hat and SUSE
        for dir in ["/etc", "/etc/rc.d", "/etc/init.d"].map(|base| format!("{base}/rc{level}.d")) {
            for link in view.list(&dir)? {
                let starts =
                    link.strip_prefix('S').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
                if starts == Some(name) {
                    out.push(format!("{dir}/{link}"));
                }
            }
        }
    }
    Ok(out)
}

fn name_of(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}
