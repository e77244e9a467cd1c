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
//! This holds for EBS, EC2, AWS Organizations and what credentials are asked of.
//!
//! # Without AWS
//!
//! An endpoint `file:///folder` is a folder of images that is read in this process, by the same lists and blocks: `service`
//! is the seam, `aws` and `folder` are the two sides of it.

mod accounts;
mod action;
mod address;
mod answer;
mod aws;
mod client;
mod device;
mod ec2;
mod folder;
mod index;
mod instances;
mod service;
mod tally;
mod volumes;

use std::path::PathBuf;

pub use accounts::{Account, role_arn};
pub use action::Action;
pub use address::{Address, AddressError, Name};
pub use client::{Ebs, Options};
pub use device::{Changes, Snapshot};
pub use ec2::{Described, Description, Set};
pub use instances::Instance;
pub use tally::Tally;
pub use volumes::Volume;

pub use crate::{BLOCK, Failure, Fault, FaultKind};

use crate::BLOCK_LEN;

/// The largest volume there is: 64 TiB.
const MAX_BLOCKS: u64 = (64 << 40) / BLOCK;
/// The name of the layer, in messages.
const LAYER: &str = "ebs";

/// Where blocks are kept if nobody says otherwise: `ebs` in `$REFLOAT_CACHE`, else in `refloat` in
/// `$XDG_CACHE_HOME` or `~/.cache`. `None` where none of these is set.
pub fn default_folder() -> Option<PathBuf> {
    crate::cache::default_folder("ebs")
}
