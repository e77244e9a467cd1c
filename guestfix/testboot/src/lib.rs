//! Test boots: a machine is started in QEMU on a throw-away overlay, and its serial console is read to a
//! verdict.
//!
//! `machine` builds QEMU's command line from the target's devices, `console` turns the serial port into
//! lines, `verdict` says what the lines mean (and is pure) in the words of guestfix's boot walk, [`run`] lets
//! the machine go on until the verdict is final. Nothing is printed here, and the image never changes.

#[cfg(test)]
mod boots;
mod console;
mod direct;
mod error;
mod log;
mod machine;
mod markers;
mod nbd;
mod network;
mod run;
mod screen;
mod verdict;

pub use console::Console;
pub use direct::Direct;
pub use error::{Error, Result};
pub use log::Log;
pub use machine::Devices;
pub use network::Network;
pub use run::{Drive, Milestone, Outcome, Request, Started, run};
pub use verdict::Verdict;
