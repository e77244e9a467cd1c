//! Programs that the guest has.

use crate::{Result, View};

/// Where they are.
const DIRS: [&str; 4] = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];

/// The path of a program, links resolved; `None` if it is not installed.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn find(view: &dyn View, name: &str) -> Result<Option<String>> {
    for dir in DIRS {
        if let Some(path) = view.resolve(&format!("{dir}/{name}"))? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
