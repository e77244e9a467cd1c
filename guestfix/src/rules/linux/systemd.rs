//! Services that are started at boot and should not be.

use crate::rule::Evidence;
use crate::rules::linux::aside;
use crate::services::starting_links;
use crate::systemd::{OWN, starters};
use crate::{Result, Stage, View};

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

/// Takes the administrator's links to a unit away.
pub(in crate::rules) fn unlink(stage: &mut Stage<'_>, unit: &str) -> Result<()> {
    for link in starters(stage.guest()?.view, unit)? {
        if is_own(&link) {
            stage.remove(&link)?;
        }
    }
    Ok(())
}

/// Takes the links away, and masks the unit unless the guest has its own copy of it in /etc, which nothing of
/// a package starts.
fn disable(stage: &mut Stage<'_>, unit: &str) -> Result<()> {
    let own = format!("{OWN}/{unit}");
    for link in starting_links(stage.guest()?.view, unit)? {
        if is_own(&link) {
            stage.remove(&link)?;
        }
    }
    let view = stage.guest()?.view;
    let still = !starting_links(view, unit)?.is_empty();
    let has_own = view.lstat(&own)?.is_some();
    let mask = still || !has_own && view.exists(&format!("/usr/lib/systemd/system/{unit}"))?;
    if still && has_own {
        aside::take(stage, &own)?;
    }
    if mask {
        stage.put_link(&own, "/dev/null")?;
    }
    Ok(())
}

/// Whether a link is the administrator's, and no package's.
fn is_own(link: &str) -> bool {
    link.starts_with("/etc/")
}
