//! What the root does with itself, from `init` to the login.

use super::look::look;
use super::{Hop, HopKind, MenuEntry, init};
use crate::{Guest, Result};

/// The hops behind the root, as an entry starts it.
///
/// # Errors
/// If the device fails.
#[allow(dead_code, reason = "the walk does not call it yet")]
pub(super) fn system(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    look(guest, HopKind::Init, |guest| init::init(guest, entry))
}
