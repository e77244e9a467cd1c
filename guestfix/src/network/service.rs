//! Whether a manager is started at boot, and whether there is a DHCP client for it.

pub(crate) use crate::services::is_started;
pub(super) use crate::systemd::is_masked;
use crate::{Result, View, programs};

/// Whether one of these programs is installed.
pub(super) fn has_program(view: &dyn View, names: &[&str]) -> Result<bool> {
    for name in names {
        if programs::find(view, name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
