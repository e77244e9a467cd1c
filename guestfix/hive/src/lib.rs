//! Windows registry hives: read, completed by their logs, judged, changed.
//!
//! Written from *Windows registry file format specification* (M. Suhanov), cited as "regf specification", and
//! from real hives, whose rules (each cell in use is referred to once, lists are sorted) are what
//! [`Hive::check`] asks for before and after each change.
//!
//! A hive is held in memory as a whole. Offsets in errors are those in the file.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod base_block;
pub mod bcd;
mod cells;
mod check;
mod diff;
mod edit;
mod error;
mod hive;
mod key;
mod log;
mod name;
mod security;
mod subkeys;
mod value;

pub use check::Fault;
pub use diff::{Change, Stored, diff, render};
pub use edit::Edit;
pub use error::{Error, Result};
pub use hive::Hive;
pub use key::Key;
pub use log::Recovered;
pub use value::{Kind, Value, text_data, texts_data};
