//! What lies in a cloud: the only crate that speaks to a network.
//!
//! [`ebs`] reads snapshots in AWS as disks; [`azure`] reads and writes page blobs in Azure; [`objects`] are
//! small files in either. The face of this crate is synchronous, as everything else in
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

mod aws;
pub mod azure;
mod blocks;
mod cache;
pub mod ebs;
mod fault;
mod http;
pub mod objects;
mod proxy;
mod rate;
mod retry;
mod roots;
mod turns;

pub use fault::{Fault, FaultKind};
pub use retry::{Cloud, Failure};

/// What is fetched of a disk at once, and kept, in bytes: EBS has no other size, and a page blob is read in
/// pieces of the same.
pub const BLOCK: u64 = 512 << 10;
/// [`BLOCK`] as the length of a buffer.
const BLOCK_LEN: usize = 512 << 10;

/// A number as a buffer's length or place; the values here are all far below any limit.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A length as a number of bytes.
fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Locks, whoever panicked while holding it.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
