//! What lies in a cloud: the only crate that speaks to a network.
//!
//! [`ebs`] reads snapshots in AWS as disks. The face of this crate is synchronous, as everything else in
//! libdisk is: many threads block, each on its own connection. Asynchronous code is confined to the client of
//! the lists, in `ebs::client`.

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

mod ahead;
pub mod ebs;

pub use ahead::Ahead;
