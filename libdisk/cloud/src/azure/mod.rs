//! Page blobs in Azure Storage, which is where a disk goes and where one is read from.
//!
//! A [`Blob`] is one blob with seven requests: properties, Put Blob, Put Page, clear, Get Page Ranges, a read
//! of a range and Delete Blob. They follow the Blob service's REST reference, service version 2019-12-12: the oldest that
//! checks a CRC-64 of every page that is put. Nothing of the SDK is used: it brings a second HTTP client and a
//! second TLS stack.
//!
//! A [`ManagedDisk`] is such a blob for as long as it is open. [`Manager`] is who makes, opens and closes it:
//! Azure Resource Manager, with its own credentials and its own errors. An [`OpenDisk`] is one that is read.
//!
//! # Secrets
//!
//! A shared access signature gives whoever has it the blob. It is kept apart from the address from the start:
//! a [`BlobUrl`] has no query, [`Signatures`] tell nothing when they are printed, and what a service or a
//! connection says passes [`Signature::hide`] before anybody sees it.
//!
//! # What can go wrong
//!
//! As for snapshots: a [`Failure`](crate::Failure) names the blob and the cause. What may pass is tried again
//! with a growing, random pause under one budget; a signature whose time is over is looked up again in the
//! file that it came from, so that a long transfer outlives it.

mod answer;
mod arm;
mod begun;
mod client;
mod container;
mod crc64;
mod device;
mod disk;
mod group;
mod id;
mod list;
mod open_disk;
mod place;
mod refusal;
mod request;
mod settings;
mod signature;
mod tally;
mod token;
mod url;

pub use arm::Manager;
pub use begun::Begun;
pub use client::{Blob, Kind, Options, Properties};
pub(crate) use container::Container;
pub use device::PageBlob;
pub use disk::{Access, DiskFacts, Grant, ManagedDisk, TAG};
pub use group::Resource;
pub use id::{DiskId, DiskIdError, GroupId};
pub use open_disk::OpenDisk;
pub use settings::{Creation, DiskSettings, SystemDisk};
pub use signature::{Signature, SignatureError, Signatures};
pub use tally::Tally;
pub use url::{BlobUrl, UrlError};

/// The largest Put Page, in bytes: "Put Page" of the REST reference.
pub const MAX_PUT: usize = 4 << 20;
/// Pages are of this many bytes; everything starts and ends at a multiple of it.
pub const PAGE: u64 = 512;
/// The name of the layer, in messages.
const LAYER: &str = "azure";
