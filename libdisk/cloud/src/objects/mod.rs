//! Small files in S3 or in Azure Blob Storage: read whole, written whole, some of them only if they are still what
//! they were.
//!
//! Four requests of each service, over the one HTTP client, with the signatures, the tokens and the retries that
//! snapshots and disks have. `Service` is the seam; `s3` and [`azure::container`](crate::azure) are its two sides.
//!
//! # Conditions
//!
//! A write may ask that there is no object yet (`If-None-Match: *`) or that it is still of one version (`If-Match`
//! with its ETag); of several who ask at once the service lets one pass ("Conditional writes", Amazon S3 User
//! Guide; "Specifying conditional headers for Blob service operations", Azure). Where an answer is lost on its
//! way the request is made again, and then fails on what it did itself: so [`Objects::swap`] looks whose bytes are
//! there before it says that it was overtaken.
//!
//! # Time
//!
//! [`Object::written`] and [`Objects::now`] are both by the clock of the service, in seconds: how old something is
//! does not depend on the clock of this machine.

mod place;
mod s3;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use ureq::Body;
use ureq::http::{Method, Response};

pub use place::{Place, PlaceError};

use crate::azure::{Container, Signatures};
use crate::fault::{Fault, FaultKind};
use crate::retry::{Cloud, Failure, Retry};
use crate::{http, lock};

/// How often a request is made with new credentials.
const MAX_RENEWALS: u32 = 3;

/// One object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// What tells it from what is there later: its ETag.
    pub version: String,
    /// When it was written, in seconds since 1970 by the clock of the service.
    pub written: u64,
}

/// When a write is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition<'a> {
    Always,
    /// There is none.
    New,
    /// It is still of this version.
    Unchanged(&'a str),
}

impl Condition<'_> {
    /// The header that says it.
    pub(crate) fn header(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Always => None,
            Self::New => Some(("if-none-match", "*")),
            Self::Unchanged(version) => Some(("if-match", version)),
        }
    }
}

/// One request about an object.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) key: &'a str,
    pub(crate) condition: Condition<'a>,
    pub(crate) body: &'a [u8],
}

/// Some of the keys that begin so, and what to ask for more with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    pub(crate) next: Option<String>,
}

/// A service that keeps objects. Each method makes one request.
pub(crate) trait Service: std::fmt::Debug + Send + Sync {
    fn cloud(&self) -> Cloud;

    /// # Errors
    /// What the service says: `NotFound` where there is no such object, `Changed` where a condition is not met, and
    /// `Container` where all of it is not there.
    fn send(&self, ask: &Ask<'_>) -> Result<Response<Body>, Fault>;

    /// The keys that begin with `below`, from `next` on.
    fn list(&self, below: &str, next: Option<&str>) -> Result<Page, Fault>;

    /// Whether there are now other credentials than those that were refused.
    fn renew(&self) -> bool;
}

/// How to speak to the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// The shared access signatures, for Azure. Without one for the place, tokens are asked for.
    pub signatures: Signatures,
    /// The region of the bucket; else the environment's or the profile's.
    pub region: Option<String>,
    /// The URL of S3; else `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, the region's.
    pub endpoint: Option<String>,
    /// An access key and its secret; else what the default chain finds.
    pub credentials: Option<(String, String)>,
    /// How long one request is tried again before it counts as failed.
    pub patience: Duration,
}

impl Options {
    /// As the environment has it, with these signatures.
    pub fn new(signatures: Signatures) -> Self {
        let patience = Duration::from_secs(60);
        Self { signatures, region: None, endpoint: None, credentials: None, patience }
    }
}

/// The objects below one place.
#[derive(Debug)]
pub struct Objects {
    place: Place,
    told: String,
    service: Box<dyn Service>,
    patience: Duration,
    /// Whether the service has ever answered.
    answered: AtomicBool,
    retries: AtomicU64,
    /// What the last answer said of the time, and when it came.
    clock: Mutex<Option<(u64, Instant)>>,
}

impl Objects {
    /// Those below `place`; no request is made yet.
    ///
    /// # Errors
    /// Where no region is known, or the environment names a proxy, certificates or an endpoint that cannot be used.
    pub fn new(place: &Place, options: &Options) -> Result<Self, Failure> {
        let told = place.to_string();
        let cloud = match place {
            Place::S3 { .. } => Cloud::AwsObjects,
            Place::Azure(_) => Cloud::AzureObjects,
        };
        let service = match place {
            Place::S3 { bucket, prefix } => s3::S3::new(bucket, prefix, options).map(boxed),
            Place::Azure(url) => Container::new(url, &options.signatures).map(boxed),
        };
        let service = service.map_err(|fault| Failure::new(cloud, &told, "connect", fault))?;
        Ok(Self::of(place.clone(), service, options.patience))
    }

    fn of(place: Place, service: Box<dyn Service>, patience: Duration) -> Self {
        Self {
            told: place.to_string(),
            place,
            service,
            patience,
            answered: AtomicBool::new(false),
            retries: AtomicU64::new(0),
            clock: Mutex::new(None),
        }
    }

    /// Where they are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The object, if there is one.
    ///
    /// # Errors
    /// What the service says.
    pub fn get(&self, key: &str) -> Result<Option<Object>, Failure> {
        let ask = Ask { method: Method::GET, key, condition: Condition::Always, body: &[] };
        self.run(&|| format!("to read {key}"), &|| match self.service.send(&ask) {
            Err(fault) if fault.kind() == FaultKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
            Ok(mut answer) => {
                self.hear(&answer)?;
                let (version, written) = (version(&answer)?, time(&answer, "last-modified")?);
                Ok(Some(Object { bytes: http::body(&mut answer)?, version, written }))
            }
        })
    }

    /// Writes an object: who reads sees all of it or what was there before.
    ///
    /// # Errors
    /// What the service says.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.write(key, bytes, Condition::Always).map(drop)
    }

    /// Writes an object if it is still of this version, or with `None` if there is none: its new version then, and
    /// `None` where somebody else was first. Of several who try at once one succeeds. `bytes` have to be those of
    /// this writer alone: who finds them there takes them for its own.
    ///
    /// # Errors
    /// What the service says.
    pub fn swap(&self, key: &str, version: Option<&str>, bytes: &[u8]) -> Result<Option<String>, Failure> {
        let condition = version.map_or(Condition::New, Condition::Unchanged);
        match self.write(key, bytes, condition)? {
            Some(version) => Ok(Some(version)),
            // It may have been done, and the answer lost.
            None => Ok(self.get(key)?.filter(|there| there.bytes == bytes).map(|there| there.version)),
        }
    }

    fn write(&self, key: &str, body: &[u8], condition: Condition<'_>) -> Result<Option<String>, Failure> {
        let ask = Ask { method: Method::PUT, key, condition, body };
        self.run(&|| format!("to write {key}"), &|| match self.service.send(&ask) {
            // What was to be unchanged is gone, or changed.
            Err(fault)
                if condition != Condition::Always
                    && matches!(fault.kind(), FaultKind::Changed | FaultKind::NotFound) =>
            {
                Ok(None)
            }
            Err(fault) => Err(fault),
            Ok(mut answer) => {
                self.hear(&answer)?;
                let version = version(&answer)?;
                // So the connection can be used again.
                drop(http::body(&mut answer));
                Ok(Some(version))
            }
        })
    }

    /// Deletes an object; that there is none is no error.
    ///
    /// # Errors
    /// What the service says.
    pub fn delete(&self, key: &str) -> Result<(), Failure> {
        let ask = Ask { method: Method::DELETE, key, condition: Condition::Always, body: &[] };
        self.run(&|| format!("to delete {key}"), &|| match self.service.send(&ask) {
            Err(fault) if fault.kind() == FaultKind::NotFound => Ok(()),
            answer => answer.map(|mut answer| drop(http::body(&mut answer))),
        })
    }

    /// The keys that begin with `below`, in their order.
    ///
    /// # Errors
    /// What the service says.
    pub fn list(&self, below: &str) -> Result<Vec<String>, Failure> {
        let (mut keys, mut next): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            let what = || format!("to list what is below {below}");
            let page = self.run(&what, &|| self.service.list(below, next.as_deref()))?;
            keys.extend(page.keys);
            match page.next {
                // One that says the same again has no end.
                Some(more) if next.as_ref() != Some(&more) => next = Some(more),
                _ => break,
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// The time in seconds since 1970, by the clock of the service as its last answer told it. It is never early:
    /// less than a second behind. `None` before the first answer.
    pub fn now(&self) -> Option<u64> {
        let (at, heard) = (*lock(&self.clock))?;
        at.checked_add(heard.elapsed().as_secs())
    }

    /// Takes note of the time.
    fn hear(&self, answer: &Response<Body>) -> Result<(), Fault> {
        *lock(&self.clock) = Some((time(answer, "date")?, Instant::now()));
        Ok(())
    }

    /// One request as often as it takes; where credentials are over, with new ones.
    fn run<T>(
        &self,
        what: &dyn Fn() -> String,
        request: &dyn Fn() -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        for renewals in 0.. {
            let retry = Retry {
                cloud: self.service.cloud(),
                subject: &self.told,
                patience: self.patience,
                known: self.answered.load(Ordering::Relaxed),
                rates: &[],
                retries: &self.retries,
            };
            let done = retry.run(what, request);
            match &done {
                Ok(_) => self.answered.store(true, Ordering::Relaxed),
                Err(failure)
                    if matches!(failure.kind(), FaultKind::Expired | FaultKind::Credentials)
                        && renewals < MAX_RENEWALS
                        && self.service.renew() =>
                {
                    continue;
                }
                Err(_) => {}
            }
            return done;
        }
        unreachable!("the loop has no end")
    }
}

fn boxed(service: impl Service + 'static) -> Box<dyn Service> {
    Box::new(service)
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Result<&'a str, Fault> {
    let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| Fault::new(FaultKind::Protocol, format!("there is no {name}")))
}

fn version(answer: &Response<Body>) -> Result<String, Fault> {
    header(answer, "etag").map(str::to_owned)
}

/// A time as HTTP writes it, in seconds since 1970 (RFC 9110, 5.6.7).
fn time(answer: &Response<Body>, name: &str) -> Result<u64, Fault> {
    let text = header(answer, name)?;
    let seconds =
        DateTime::from_str(text, Format::HttpDate).ok().and_then(|at| u64::try_from(at.secs()).ok());
    seconds.ok_or_else(|| Fault::new(FaultKind::Protocol, format!("{name} is no time")))
}
