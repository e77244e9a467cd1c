//! `refloat boot`: start the machine on a throw-away overlay and read its serial console.
//!
//! [`machine`] builds QEMU's command line from the target's devices, [`console`] turns the serial port into lines,
//! [`verdict`] says what the lines mean (and is pure), [`run`] lets the machine go until that is final.

mod console;
mod machine;
mod run;
mod verb;
mod verdict;

pub(crate) use machine::Generation;
pub(crate) use run::{Outcome, Request, run};
pub(crate) use verb::verb;
pub(crate) use verdict::Verdict;
