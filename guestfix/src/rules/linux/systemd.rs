//! Units of systemd, scripts of SysV init and services of OpenRC: which are started at boot, and how to keep
//! them from it.

use crate::rule::Evidence;
use crate::{Result, Stage, View};

const DIR: &str = "/etc/systemd/system";
/// OpenRC has a directory of links for each.
const RUNLEVELS: &str = "/etc/runlevels";

/// Whether the guest has another init, from before systemd.
pub(crate) fn is_absent(view: &dyn View) -> Result<bool> {
    Ok(!view.exists("/usr/lib/systemd/systemd")?
        && !view.exists("/lib/systemd/systemd")?
        && (view.exists("/etc/inittab")? || view.exists("/etc/init")?))
}

/// What starts these units at boot.
pub(in crate::rules) fn started(view: &dyn View, units: &[&str]) -> Result<Vec<Evidence>> {
    let mut evidence = Vec::new();
    for unit in units {
        let links = starting_links(view, unit)?;
        evidence.extend(links.into_iter().map(|link| Evidence::new(link, format!("starts {unit}"))));
    }
    Ok(evidence)
}

/// Keeps those of these units that are started at boot from it.
pub(in crate::rules) fn disable_started(stage: &mut Stage<'_>, units: &[&str]) -> Result<()> {
    for unit in units {
        if !starting_links(stage.guest()?.view, unit)?.is_empty() {
            disable(stage, unit)?;
        }
    }
    Ok(())
}

/// The links by which a unit, named with its suffix, is started at boot; none if it is masked.
pub(crate) fn starting_links(view: &dyn View, unit: &str) -> Result<Vec<String>> {
    let masked = view.read_link(&format!("{DIR}/{unit}"))?.as_deref() == Some("/dev/null");
    let mut out = if masked { Vec::new() } else { links(view, unit)? };
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    for level in view.list(RUNLEVELS)? {
        let link = format!("{RUNLEVELS}/{level}/{name}");
        out.extend(view.lstat(&link)?.is_some().then_some(link));
    }
    for level in 2..=5 {
        for dir in [format!("/etc/rc{level}.d"), format!("/etc/rc.d/rc{level}.d")] {
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

/// The links by which other units pull this one in.
fn links(view: &dyn View, unit: &str) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for suffix in [".wants", ".requires"] {
        for dir in view.glob(DIR, suffix)? {
            let link = format!("{dir}/{unit}");
            out.extend(view.lstat(&link)?.is_some().then_some(link));
        }
    }
    Ok(out)
}

/// Takes the links to a unit away.
pub(in crate::rules) fn unlink(stage: &mut Stage<'_>, unit: &str) -> Result<()> {
    for link in links(stage.guest()?.view, unit)? {
        stage.remove(&link)?;
    }
    Ok(())
}

/// Takes the links away, and masks the unit unless the guest has its own copy of it in /etc.
fn disable(stage: &mut Stage<'_>, unit: &str) -> Result<()> {
    let view = stage.guest()?.view;
    let own = format!("{DIR}/{unit}");
    let mask = view.lstat(&own)?.is_none() && view.exists(&format!("/usr/lib/systemd/system/{unit}"))?;
    for link in starting_links(view, unit)? {
        stage.remove(&link)?;
    }
    if mask {
        stage.put_link(&own, "/dev/null")?;
    }
    Ok(())
}
