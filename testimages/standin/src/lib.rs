//! A stand-in for the EBS direct APIs, and for the little of EC2 that finds a snapshot: a real HTTP server on
//! loopback that serves snapshots made of image files, of bytes, or of nothing at all.
//!
//! It speaks as the service model `ebs/2019-11-02` says (as found in botocore) and as the EBS user guide's
//! FAQ adds: field names, page sizes, token lives, checksums, error codes with their reasons and HTTP
//! statuses. It shares no code with refloat's reader of snapshots.
//!
//! ```
//! use standin::{Call, Config, Fault, Faults, Server, Snapshot};
//!
//! let image = vec![7; 3 * standin::BLOCK_SIZE];
//! let server = Server::start(Config {
//!     snapshots: vec![Snapshot::from_bytes("snap-0123456789abcdef0", image)],
//!     faults: Faults::seeded(1).chance(Fault::Throttled, 0.2).at(Call::List, 0..1, Fault::Internal),
//!     ..Config::default()
//! })?;
//! // Point AWS_ENDPOINT_URL or the SDK's endpoint_url at it, with any credentials and any region.
//! assert!(server.endpoint().starts_with("http://127.0.0.1:"));
//! assert_eq!(server.counts().get, 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - EBS: `GET /snapshots/{id}/blocks`, `GET /snapshots/{id}/changedblocks`, `GET
//!   /snapshots/{id}/blocks/{index}`.
//! - EC2, at the same endpoint: `POST /` with `Action=` DescribeSnapshots (by `SnapshotId.N`, or filters
//!   `snapshot-id`, `volume-id`, `description`, `status`, `owner-id`, `tag:KEY`; paged), DescribeVolumes
//!   (`VolumeId.N`, filters `attachment.instance-id`, `attachment.device`, `volume-id`), DescribeInstances
//!   (`InstanceId.N`, filter `instance-id`). Instances, their volumes and snapshots are seen by their account, in their Region.
//! - STS, there: AssumeRole of the role of an [`Account`]; AWS Organizations, there: ListAccounts, three a page.
//! - Every request must be signed (AWS4-HMAC-SHA256 for `ebs` or `ec2`), else it is refused with 403; with
//!   [`Config::credentials`] the signature itself is checked too.
//!
//! Serving a block costs one copy, into the socket: about 0.2 CPU seconds per GiB. The SHA-256 of a block is
//! made once, when it is first needed; that of a synthetic one when the snapshot is.
//!
//! Unlike the service: the answer to a snapshot that is pending, in error or archived (ValidationException,
//! INVALID_SNAPSHOT_ID) is a guess, as no document tells it; blocks are not written (StartSnapshot and its
//! kin).

mod accounts;
mod arm;
mod blob;
mod detour;
mod ebs;
mod ec2;
mod fault;
mod refusal;
mod server;
mod service;
mod signature;
mod snapshot;
mod token;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

pub use arm::{ArmServer, Asked, Credential};
pub use blob::{BlobCounts, BlobFault, BlobServer};
pub use detour::{Detour, Trouble};
pub use fault::{Call, Fault, Faults};
pub use server::Server;
pub use signature::Credentials;
pub use snapshot::{BLOCK_SIZE, Snapshot, State, Synthetic};
pub use token::{BLOCK_TOKEN_LIFE, PAGE_TOKEN_LIFE};

/// What a server serves, and how.
#[derive(Debug, Default)]
pub struct Config {
    /// The snapshots there are.
    pub snapshots: Vec<Snapshot>,
    /// The instances there are, for DescribeInstances and DescribeVolumes.
    pub instances: Vec<Instance>,
    /// The accounts of the organization, for ListAccounts and AssumeRole.
    pub accounts: Vec<Account>,
    /// What goes wrong, how slow and how strict it is.
    pub faults: Faults,
    /// The key pair that every request must be signed with; `None` takes any signature of the right form.
    pub credentials: Option<Credentials>,
}

/// An account of the organization.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Its twelve digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The role in it that may be assumed, if there is one.
    pub role: Option<String>,
    /// It is closed.
    pub closed: bool,
}

/// An EC2 instance with its volumes.
#[derive(Debug, Clone, Default)]
pub struct Instance {
    /// `i-` and hexadecimal digits.
    pub id: String,
    /// The device name of the volume it starts from, such as `/dev/xvda`.
    pub root_device: String,
    /// The device name and the id of each volume attached.
    pub volumes: Vec<(String, String)>,
    /// Its type, such as `m5.large`.
    pub kind: String,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
    /// The account that it is in; that of the credentials that nobody assumed a role with, if it is empty.
    pub account: String,
    /// The Region that it is in; whatever is asked, if it is empty.
    pub region: String,
    /// What volumes are given, by their ids; the others are magnetic.
    pub given: Vec<(String, Given)>,
}

/// What a volume is given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Its kind, such as `gp3`.
    pub kind: String,
    /// Requests each second.
    pub iops: Option<u32>,
    /// MiB each second, which gp3 alone has.
    pub throughput: Option<u32>,
}

/// What was asked and answered since the server started, or since [`Server::reset_counts`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for pages of ListSnapshotBlocks, however they ended.
    pub list: u64,
    /// Requests for pages of ListChangedBlocks, however they ended.
    pub changed: u64,
    /// Requests for blocks, however they ended.
    pub get: u64,
    /// Queries to EC2, however they ended.
    pub ec2: u64,
    /// What was asked for, as a policy allows it: `ec2:DescribeInstances`.
    pub actions: BTreeSet<String>,
    /// Requests refused for a quota, by chance or by rate.
    pub throttled: u64,
    /// Requests that met another fault.
    pub faults: u64,
    /// Bytes of blocks sent (a truncated one counts whole).
    pub bytes: u64,
    /// How many times each block of each snapshot was sent whole and right.
    pub blocks: BTreeMap<String, BTreeMap<u64, u32>>,
}
