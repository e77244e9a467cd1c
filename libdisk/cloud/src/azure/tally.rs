//! What was asked for and what went over the network.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What was asked of a blob so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// Requests, tried again or not.
    pub requests: u64,
    /// Requests that failed and were made again, of these.
    pub retries: u64,
    /// Ranges that were read.
    pub reads: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Blocks of 512 KiB that the cache had.
    pub cached: u64,
    /// Put Page requests that went well.
    pub puts: u64,
    /// Their bytes, which are whole pages of 512.
    pub bytes_put: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            retries: self.retries.saturating_add(other.retries),
            reads: self.reads.saturating_add(other.reads),
            bytes_read: self.bytes_read.saturating_add(other.bytes_read),
            cached: self.cached.saturating_add(other.cached),
            puts: self.puts.saturating_add(other.puts),
            bytes_put: self.bytes_put.saturating_add(other.bytes_put),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, retries, reads, bytes_read, cached, .. } = self;
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        write!(
            f,
            "{reads} range{} ({} MiB) in {requests} request{}",
            plural(*reads),
            bytes_read >> 20,
            plural(*requests)
        )?;
        if *cached > 0 {
            write!(f, ", {cached} more from the cache")?;
        }
        if *retries > 0 {
            write!(f, ", {retries} tried again")?;
        }
        Ok(())
    }
}

/// Counts for a [`Tally`]; shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) requests: AtomicU64,
    pub(super) retries: AtomicU64,
    reads: AtomicU64,
    bytes_read: AtomicU64,
    cached: AtomicU64,
    puts: AtomicU64,
    bytes_put: AtomicU64,
}

impl Counter {
    pub(super) fn read(&self, bytes: usize) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes_read.fetch_add(crate::to_u64(bytes), Ordering::Relaxed);
    }

    pub(super) fn cached(&self) {
        self.cached.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn put(&self, bytes: usize) {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.bytes_put.fetch_add(crate::to_u64(bytes), Ordering::Relaxed);
    }

    pub(super) fn tally(&self) -> Tally {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            requests: of(&self.requests),
            retries: of(&self.retries),
            reads: of(&self.reads),
            bytes_read: of(&self.bytes_read),
            cached: of(&self.cached),
            puts: of(&self.puts),
            bytes_put: of(&self.bytes_put),
        }
    }
}
