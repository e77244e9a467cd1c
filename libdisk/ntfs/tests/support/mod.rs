//! What the tests of the log share: an independent driver, a reader of structures, and a writer of logs.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod log_writer;
pub(crate) mod oracle;
pub(crate) mod script;
pub(crate) mod structures;
