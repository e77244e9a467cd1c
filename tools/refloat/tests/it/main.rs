//! The program as a user sees it: its answers, its exit codes, and the laws over all synthetic guests.
#![allow(clippy::print_stderr, reason = "what a long test does, for who reads its output")]

mod answers;
mod azure;
mod cloud;
mod delta;
mod disks;
mod dracut;
mod emit;
mod errors;
mod hostile;
mod imported;
mod in_use;
mod interrupted;
mod killed;
mod laws;
mod machines;
mod managed;
mod managed_source;
mod migration;
mod names;
mod next;
mod output;
mod parts;
mod program;
mod pv;
mod real_guest;
mod resume;
mod schema;
mod sidecars;
mod snapshot;
mod terminal;
mod test_migrate;
mod tls;
mod uefi;
mod unreadable;
mod volumes;
