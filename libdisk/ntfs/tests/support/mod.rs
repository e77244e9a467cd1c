//! What the tests of the log share: an independent driver, and volumes with a log.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod oracle;
pub(crate) mod script;
