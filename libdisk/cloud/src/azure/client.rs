//! One blob, and what its requests share.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::Agent;
use ureq::http::Method;

use super::list;
use super::request::{Call, header};
use super::signature::{Signature, Signatures};
use super::tally::{Counter, Tally};
use super::url::BlobUrl;
use crate::fault::{Fault, FaultKind};
use crate::rate::Rate;
use crate::retry::{Cloud, Failure, Retry};
use crate::{http, to_u64};

/// Of how much of a blob the page ranges are asked for at once, in bytes. A blob that is fragmented beyond
/// reason is asked for in smaller parts.
const WINDOW: u64 = 64 << 30;
const SMALLEST_WINDOW: u64 = 16 << 20;
/// How often a signature is looked up again for one request.
const MAX_RENEWALS: u32 = 3;

/// How to speak to Azure Storage.
#[derive(Debug, Clone)]
pub struct Options {
    /// The shared access signatures.
    pub signatures: Signatures,
    /// Requests a second of one blob at most: "Scalability targets for Blob Storage" says 500 for a page blob.
    pub requests_per_second: f64,
    /// How long one request is tried again before it counts as failed.
    pub patience: Duration,
    /// Where blocks that were read are kept between runs; nowhere if there is no folder.
    pub cache: Option<PathBuf>,
    /// How many blocks are kept there at most.
    pub cache_blocks: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            signatures: Signatures::default(),
            requests_per_second: 500.0,
            patience: Duration::from_secs(600),
            cache: crate::cache::default_folder("azure"),
            cache_blocks: 8192,
        }
    }
}

/// The kinds of blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Of pages: what a disk is.
    Page,
    /// Any other, by the service's name of it.
    Other(String),
}

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Its kind.
    pub kind: Kind,
    /// Its length in bytes.
    pub size: u64,
    /// What changes when it does.
    pub etag: String,
    /// When it was made, as the service writes it; some do not tell it.
    pub created: Option<String>,
}

/// One blob.
#[derive(Debug)]
pub struct Blob {
    url: BlobUrl,
    options: Options,
    agent: Agent,
    rate: Rate,
    /// Whether the service has ever answered.
    answered: AtomicBool,
    counter: Counter,
}

impl Blob {
    /// The blob at `url`; no request is made yet.
    ///
    /// # Errors
    /// Where the environment names a proxy or certificates that cannot be used.
    pub fn new(url: &BlobUrl, options: &Options) -> Result<Self, Failure> {
        let agent =
            http::agent().map_err(|fault| Failure::new(Cloud::Azure, url.as_str(), "connect", fault))?;
        Ok(Self {
            url: url.clone(),
            options: options.clone(),
            agent,
            rate: Rate::new(options.requests_per_second),
            answered: AtomicBool::new(false),
            counter: Counter::default(),
        })
    }

    /// Where it is.
    pub fn url(&self) -> &BlobUrl {
        &self.url
    }

    /// What was asked so far.
    pub fn tally(&self) -> Tally {
        self.counter.tally()
    }

    pub(super) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// What is known of it; `None` if there is none of that name. Who has no signature is told the same of a
    /// blob that is there, so for them that is an error.
    ///
    /// # Errors
    /// What the service says: for a container that is not there, too.
    pub fn properties(&self) -> Result<Option<Properties>, Failure> {
        let found = self.run(&|| "its properties".to_owned(), &mut |signature| {
            let answer = Call::new(Method::HEAD, self.url.as_str(), signature).send(&self.agent)?;
            let text = |name: &str| header(&answer, name).map(str::to_owned);
            let wrong = |what: &str| Fault::new(FaultKind::Protocol, format!("there is no {what}"));
            let kind = match text("x-ms-blob-type").ok_or_else(|| wrong("x-ms-blob-type"))? {
                kind if kind == "PageBlob" => Kind::Page,
                kind => Kind::Other(kind.chars().filter(char::is_ascii_alphanumeric).take(40).collect()),
            };
            let size = text("content-length").and_then(|size| size.parse().ok());
            Ok(Properties {
                kind,
                size: size.ok_or_else(|| wrong("Content-Length"))?,
                etag: text("etag").ok_or_else(|| wrong("ETag"))?,
                created: text("x-ms-creation-time"),
            })
        });
        match found {
            Err(failure)
                if failure.kind() == FaultKind::NotFound
                    && !failure.says("Container")
                    && self.options.signatures.of(&self.url).is_some() =>
            {
                Ok(None)
            }
            // The answer to a HEAD has no body, which would tell what is wrong with the signature.
            Err(failure) if failure.kind() == FaultKind::Credentials => {
                self.read(0, &mut [0; 512], None)?;
                Err(failure)
            }
            found => found.map(Some),
        }
    }

    /// Makes a page blob of `size` bytes, all zero, in the place of whatever has its name; with `new` there
    /// must be none.
    ///
    /// # Errors
    /// `Changed` if there is one; what the service says.
    pub fn create(&self, size: u64, new: bool) -> Result<(), Failure> {
        self.run(&|| "to make it".to_owned(), &mut |signature| {
            let call = Call::new(Method::PUT, self.url.as_str(), signature)
                .header("x-ms-blob-type", "PageBlob")
                .header("x-ms-blob-content-length", size.to_string());
            let call = if new { call.header("if-none-match", "*") } else { call };
            call.send(&self.agent).map(drop)
        })
    }

    /// Puts `bytes`, whole pages and at most [`MAX_PUT`](super::MAX_PUT) of them, at `offset`.
    ///
    /// # Errors
    /// What the service says.
    pub fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let range = offset..offset.saturating_add(to_u64(bytes.len()));
        self.run(&|| format!("to put {} bytes at byte {offset:#x}", bytes.len()), &mut |signature| {
            let call = Call::new(Method::PUT, self.url.as_str(), signature).component("page");
            let call = call.header("x-ms-page-write", "update").range(&range).body(bytes);
            call.send(&self.agent).map(drop)
        })?;
        self.counter.put(bytes.len());
        Ok(())
    }

    /// Clears whole pages: they read as zeros.
    ///
    /// # Errors
    /// What the service says.
    pub fn clear(&self, range: Range<u64>) -> Result<(), Failure> {
        self.run(&|| format!("to clear bytes {:#x} to {:#x}", range.start, range.end), &mut |signature| {
            let call = Call::new(Method::PUT, self.url.as_str(), signature).component("page");
            call.header("x-ms-page-write", "clear").range(&range).send(&self.agent).map(drop)
        })
    }

    /// Deletes it; that there is none is no error.
    ///
    /// # Errors
    /// What the service says.
    pub fn delete(&self) -> Result<(), Failure> {
        let deleted = self.run(&|| "to delete it".to_owned(), &mut |signature| {
            Call::new(Method::DELETE, self.url.as_str(), signature).send(&self.agent).map(drop)
        });
        match deleted {
            Err(failure) if failure.kind() == FaultKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// The pages of `range` that hold something, ascending, none touching another; with `etag` only if the
    /// blob is unchanged.
    ///
    /// # Errors
    /// What the service says.
    pub fn ranges(&self, range: Range<u64>, etag: Option<&str>) -> Result<Vec<Range<u64>>, Failure> {
        let (mut found, mut at, mut window): (Vec<Range<u64>>, _, _) = (Vec::new(), range.start, WINDOW);
        while at < range.end {
            let part = at..at.saturating_add(window).min(range.end);
            let listed = self.run(&|| format!("the page ranges from byte {at:#x} on"), &mut |signature| {
                let call = Call::new(Method::GET, self.url.as_str(), signature).component("pagelist");
                let mut answer = call.range(&part).unchanged(etag).send(&self.agent)?;
                match http::body(&mut answer) {
                    // Most likely it is longer than is read; that it broke off is no matter either.
                    Err(_) if window > SMALLEST_WINDOW => Ok(None),
                    body => list::ranges(&body?, &part).map(Some),
                }
            })?;
            let Some(listed) = listed else {
                window = (window / 2).max(SMALLEST_WINDOW);
                continue;
            };
            for new in listed {
                match found.last_mut() {
                    Some(last) if last.end == new.start => last.end = new.end,
                    _ => found.push(new),
                }
            }
            at = part.end;
        }
        Ok(found)
    }

    /// Fills `buf` with what is at `offset`; with `etag` only if the blob is unchanged.
    ///
    /// # Errors
    /// `Damaged` if the answer is short; what the service says.
    pub fn read(&self, offset: u64, buf: &mut [u8], etag: Option<&str>) -> Result<(), Failure> {
        if buf.is_empty() {
            return Ok(());
        }
        let range = offset..offset.saturating_add(to_u64(buf.len()));
        let what = || format!("bytes {:#x} to {:#x}", range.start, range.end);
        self.run(&what, &mut |signature| {
            let call = Call::new(Method::GET, self.url.as_str(), signature).range(&range).unchanged(etag);
            http::body_into(&mut call.send(&self.agent)?, buf)
        })?;
        self.counter.read(buf.len());
        Ok(())
    }

    /// One request as often as it takes; a signature whose time is over is looked up again.
    fn run<T>(
        &self,
        what: &dyn Fn() -> String,
        request: &mut dyn FnMut(Option<&Signature>) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        for renewals in 0.. {
            let signature = self.options.signatures.of(&self.url);
            let retry = Retry {
                cloud: Cloud::Azure,
                subject: self.url.as_str(),
                patience: self.options.patience,
                known: self.answered.load(Ordering::Relaxed),
                rates: &[&self.rate],
                retries: &self.counter.retries,
            };
            let done = retry.run(what, || {
                self.counter.requests.fetch_add(1, Ordering::Relaxed);
                request(signature.as_ref())
            });
            let Err(failure) = done else {
                self.answered.store(true, Ordering::Relaxed);
                return done;
            };
            // The answer to HEAD has no body to say that it is the time that is over.
            let may_be_over = matches!(failure.kind(), FaultKind::Expired | FaultKind::Credentials);
            let renewed = signature.as_ref().filter(|_| may_be_over && renewals < MAX_RENEWALS);
            if renewed.is_some_and(|old| self.options.signatures.renew(&self.url, old)) {
                tracing::info!(blob = self.url.as_str(), "the shared access signature was renewed");
                continue;
            }
            return Err(match signature {
                None if failure.kind().is_about_access() => {
                    failure.knowing("no shared access signature was given for it")
                }
                _ => failure,
            });
        }
        unreachable!("the loop has no end")
    }
}
