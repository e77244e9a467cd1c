//! Rules of udev by their file names: which are in force, and how to keep one from it.

use super::aside;
use crate::{Result, Stage, View};

/// The administrator's own.
pub(crate) const OWN: &str = "/etc/udev/rules.d";
/// Older systems have the second.
pub(in crate::rules) const PACKAGED: [&str; 2] = ["/usr/lib/udev/rules.d", "/lib/udev/rules.d"];

/// The file of this name that udev reads: one in /etc hides the packaged one, a link to /dev/null both.
pub(crate) fn in_force(view: &dyn View, name: &str) -> Result<Option<String>> {
    let own = format!("{OWN}/{name}");
    if view.lstat(&own)?.is_some() {
        let masked = view.read_link(&own)?.as_deref() == Some("/dev/null");
        return Ok((!masked).then_some(own));
    }
    for dir in PACKAGED {
        let packaged = format!("{dir}/{name}");
        if view.exists(&packaged)? {
            return Ok(Some(packaged));
        }
    }
    Ok(None)
}

/// Takes the file of this name aside if it is in /etc, and masks the packaged one.
pub(in crate::rules) fn disable(stage: &mut Stage<'_>, name: &str) -> Result<()> {
    let own = format!("{OWN}/{name}");
    if in_force(stage.guest()?.view, name)?.is_some_and(|file| file == own) {
        aside::take(stage, &own)?;
    }
    if in_force(stage.guest()?.view, name)?.is_some() {
        stage.put_link(&own, "/dev/null")?;
    }
    Ok(())
}
