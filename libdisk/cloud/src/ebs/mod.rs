//! EBS snapshots, through the EBS direct APIs (version 2019-11-02 of the service model).
//!
//! A snapshot is a list of the blocks of 512 KiB that were ever written; what is not in the list is zero.
//! [`Snapshot`] is that as a [`Disk`](block::Disk): a block is fetched when it is read, its SHA-256 checked
//! before anyone sees it, and kept in a bounded cache, so that looking at a machine costs what was looked at.
//!
//! # How it is fetched
//!
//! Lists go through `aws-sdk-ebs`. Blocks do not: for a body of 512 KiB the SDK's generic path costs more
//! than the digest does, so a block is one request signed with `aws-sigv4`, its body read into the buffer
//! that it is for. Both share one HTTP client, which blocks; a transfer is as many threads as are to be in
//! flight, and so the digests run on all cores.
//!
//! # What can go wrong
//!
//! A [`Failure`] names the block and the cause; its [kind](Failure::kind) decides the next step. What may
//! pass (throttling, which is HTTP 400 here, a server's failure, a connection's, a damaged body) has been
//! tried again with a growing, random pause until the [budget](Options::patience) was spent; what will not
//! (access, keys, no such snapshot) is final at once. Tokens that have expired are renewed by listing again
//! from that block.
//!
//! # The way to it
//!
//! By TLS, with the system's certificates or those in the file that `AWS_CA_BUNDLE` or `SSL_CERT_FILE` names;
//! through the proxy in `HTTPS_PROXY` (or `ALL_PROXY`), if there is one, but for the hosts in `NO_PROXY`.
//! This holds for EBS, EC2 and what credentials are asked of.
//!
//! # Without AWS
//!
//! An endpoint `file:///folder` is a folder of images that is read in this process, by the same lists and blocks: `service`
//! is the seam, `aws` and `folder` are the two sides of it.

mod address;
mod aws;
mod cache;
mod client;
mod device;
mod ec2;
mod fault;
mod folder;
mod http;
mod index;
mod neighbours;
mod proxy;
mod rate;
mod retry;
mod roots;
mod service;
mod tally;

pub use address::{Address, AddressError, Name};
pub use cache::default_folder;
pub use client::{Ebs, Options};
pub use device::Snapshot;
pub use ec2::{Description, Set};
pub use fault::{Fault, FaultKind};
pub use retry::Failure;
pub use tally::Tally;

/// The size of every block, in bytes. `BlockIndex` is the offset in the volume divided by it.
pub const BLOCK: u64 = 512 << 10;
/// [`BLOCK`] as the length of a buffer.
const BLOCK_LEN: usize = 512 << 10;
/// The largest volume there is: 64 TiB.
const MAX_BLOCKS: u64 = (64 << 40) / BLOCK;
/// The name of the layer, in messages.
const LAYER: &str = "ebs";

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
