//! The way from the firmware to the system, and what keeps it from the login.

pub(in crate::rules) mod fallback_loader;
pub(in crate::rules) mod fast_startup;
pub(in crate::rules) mod hibernation;
pub(in crate::rules) mod recovery;
pub(in crate::rules) mod safe_mode;
pub(in crate::rules) mod serial_console;
mod store;
