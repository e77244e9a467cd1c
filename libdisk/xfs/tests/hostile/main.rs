//! Damaged volumes and logs: errors, never a panic, a hang, or memory without bound.
//!
//! Every structure has a checksum, which hides what comes after it; so most damage gets a checksum that fits.

#![allow(clippy::print_stderr, reason = "what was damaged, and how much of it was let through")]

mod logs;
#[path = "../support/mod.rs"]
mod support;
mod volumes;

use testimages::hostile::Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// What all tests of this program may hold together.
const CEILING: usize = 24 << 20;

/// Reads of the device that one volume may cost: work that does not depend on the machine.
const READS: u64 = 20_000;
