//! A connection to the service, and what its requests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Snapshot;
use super::aws::Aws;
use super::folder::Folder;
use super::service::Service;
use crate::fault::{Fault, FaultKind};
use crate::rate::Rate;
use crate::retry::{Cloud, Failure};
use crate::turns::{self, Meeting};

/// Lists a second: the quota is 50 for the account and cannot be raised.
const LISTS_PER_SECOND: f64 = 45.0;
/// Queries to EC2 a second; the quotas differ, and this is below all of them ("Request throttling for the Amazon EC2
/// API", Amazon EC2 Developer Guide, 2026: descriptions by name are refilled at 20 a second).
const QUERIES_PER_SECOND: f64 = 10.0;

/// How to speak to the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// The region; else the environment's or the profile's.
    pub region: Option<String>,
    /// The URL of the service; else `AWS_ENDPOINT_URL_EBS`, `AWS_ENDPOINT_URL`, the region's. `file:///folder` is a folder of
    /// images in place of AWS: `snap-….img` each.
    pub endpoint: Option<String>,
    /// An access key and its secret; else what the default chain finds: environment, profile, single
    /// sign-on, container, instance.
    pub credentials: Option<(String, String)>,
    /// The role of another account that is assumed with them: `arn:aws:iam::123456789012:role/NAME`.
    pub role: Option<String>,
    /// Volumes of an instance that are left out, by device name or by id.
    pub exclude: Vec<String>,
    /// Blocks a second at most, of all snapshots and all processes on this machine together; AWS allows the
    /// account, and each snapshot, 1,000.
    pub requests_per_second: f64,
    /// The folder where processes that ask the same endpoint take turns; without one, each takes the whole
    /// rate.
    pub meeting: Option<PathBuf>,
    /// How long one request is tried again before it counts as failed.
    pub patience: Duration,
    /// Where blocks are kept between runs; nowhere if there is no folder.
    pub cache: Option<PathBuf>,
    /// How many blocks are kept there at most.
    pub cache_blocks: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            credentials: None,
            role: None,
            exclude: Vec::new(),
            requests_per_second: 900.0,
            meeting: turns::default_folder(),
            patience: Duration::from_secs(600),
            cache: super::default_folder(),
            cache_blocks: 8192,
        }
    }
}

/// A connection to the service in one region, with its credentials and its rate. Clones share all of it.
#[derive(Debug, Clone)]
pub struct Ebs(Arc<Client>);

impl Ebs {
    /// Finds region, endpoint and credentials; makes no request to the service yet.
    ///
    /// # Errors
    /// Where no region is known or the runtime cannot be made.
    pub fn connect(options: &Options) -> Result<Self, Failure> {
        Client::connect(options)
            .map(|client| Self(Arc::new(client)))
            .map_err(|fault| Failure::new(Cloud::Aws, "ebs", "connect", fault))
    }

    /// The snapshot `id` (`snap-…`); its first list is read.
    ///
    /// # Errors
    /// What the service says.
    pub fn snapshot(&self, id: &str) -> Result<Snapshot, Failure> {
        Snapshot::open(Arc::clone(&self.0), id).map_err(|failure| {
            // EBS tells that it cannot be read and hardly why; EC2 knows, if it may be asked.
            let known = (failure.kind() == FaultKind::NotFound).then(|| self.describe(&[id.to_owned()]));
            match known.and_then(Result::ok).as_deref() {
                Some([known, ..]) => failure.knowing(&known.obstacle()),
                _ => failure,
            }
        })
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.0.region
    }

    pub(super) fn client(&self) -> &Client {
        &self.0
    }
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) service: Box<dyn Service>,
    endpoint: String,
    pub(super) region: String,
    pub(super) options: Options,
    /// Blocks, of all snapshots.
    pub(super) blocks: Rate,
    pub(super) lists: Rate,
    /// Questions to EC2.
    pub(super) queries: Rate,
}

impl Client {
    fn connect(options: &Options) -> Result<Self, Fault> {
        let variable = |name| std::env::var(name).ok();
        let asked = options.endpoint.clone().or_else(|| variable("AWS_ENDPOINT_URL_EBS"));
        let asked = asked.or_else(|| variable("AWS_ENDPOINT_URL"));
        if let Some(endpoint) = asked
            && let Some(folder) = Folder::of_endpoint(&endpoint)
        {
            let region = options.region.clone().or_else(|| variable("AWS_REGION"));
            let region = region.unwrap_or_else(|| "local".to_owned());
            return Ok(Self::new(Box::new(folder), endpoint, region, options, None));
        }
        let aws = Aws::connect(options)?;
        let (endpoint, region) = (aws.endpoint.clone(), aws.region().to_owned());
        // An account has quotas of its own.
        let asked = format!("{endpoint} {}", options.role.as_deref().unwrap_or_default());
        let meeting = options.meeting.as_ref().and_then(|folder| {
            let told = |error: &_| {
                tracing::warn!(%error, "cannot see the other processes, which share this account's quota");
            };
            Meeting::at(folder, asked.trim()).inspect_err(told).ok()
        });
        Ok(Self::new(Box::new(aws), endpoint, region, options, meeting.as_ref()))
    }

    fn new(
        service: Box<dyn Service>,
        endpoint: String,
        region: String,
        options: &Options,
        meeting: Option<&Meeting>,
    ) -> Self {
        let turns = |kind| meeting.and_then(|meeting: &Meeting| meeting.turns(kind).ok());
        Self {
            service,
            endpoint,
            region,
            options: options.clone(),
            blocks: Rate::shared(options.requests_per_second, turns("blocks")),
            lists: Rate::shared(LISTS_PER_SECOND, turns("lists")),
            queries: Rate::shared(QUERIES_PER_SECOND, turns("queries")),
        }
    }

    /// The URL of the service, without a slash at the end.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}
