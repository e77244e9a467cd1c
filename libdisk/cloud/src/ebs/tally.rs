//! What was asked for and what it costs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::BLOCK;

/// US dollars for a list request and for a block, as AWS's example region has them (ebsapi-pricing.html,
/// 2026-11).
const LIST_PRICE: f64 = 0.0006 / 1000.0;
const BLOCK_PRICE: f64 = 0.003 / 1000.0;

/// What has been read of a snapshot so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// Requests, tried again or not.
    pub requests: u64,
    /// Of these, lists.
    pub lists: u64,
    /// Requests that failed and were made again, of these.
    pub retries: u64,
    /// Blocks of 512 KiB that were fetched.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that the cache had.
    pub cached: u64,
    /// The price in US dollars of AWS's example region; other regions differ.
    pub dollars: f64,
}

impl Tally {
    /// The price of so many list requests and blocks in US dollars, of AWS's example region.
    #[expect(clippy::as_conversions, reason = "a price needs no 64 bits")]
    pub fn price(lists: u64, blocks: u64) -> f64 {
        lists as f64 * LIST_PRICE + blocks as f64 * BLOCK_PRICE
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            lists: self.lists.saturating_add(other.lists),
            retries: self.retries.saturating_add(other.retries),
            blocks: self.blocks.saturating_add(other.blocks),
            bytes: self.bytes.saturating_add(other.bytes),
            cached: self.cached.saturating_add(other.cached),
            dollars: self.dollars + other.dollars,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes >> 20;
        let blocks = if self.blocks == 1 { "block" } else { "blocks" };
        let requests = if self.requests == 1 { "request" } else { "requests" };
        write!(f, "{} {blocks} ({mib} MiB) in {} {requests}", self.blocks, self.requests)?;
        if self.cached > 0 {
            write!(f, ", {} more from the cache", self.cached)?;
        }
        if self.retries > 0 {
            write!(f, ", {} tried again", self.retries)?;
        }
        match self.dollars {
            dollars if dollars < 0.01 => write!(f, "; less than $0.01"),
            dollars => write!(f, "; about ${dollars:.2}"),
        }
    }
}

/// Counts for a [`Tally`]; shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Counter {
    lists: AtomicU64,
    gets: AtomicU64,
    retries: AtomicU64,
    blocks: AtomicU64,
    cached: AtomicU64,
}

impl Counter {
    pub(super) fn list(&self) {
        self.lists.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) {
        self.gets.fetch_add(1, Ordering::Relaxed);
    }

    /// What was tried again.
    pub(super) fn retries(&self) -> &AtomicU64 {
        &self.retries
    }

    pub(super) fn block(&self) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cached(&self) {
        self.cached.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn tally(&self) -> Tally {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (lists, blocks) = (of(&self.lists), of(&self.blocks));
        Tally {
            requests: lists.saturating_add(of(&self.gets)),
            lists,
            retries: of(&self.retries),
            blocks,
            bytes: blocks.saturating_mul(BLOCK),
            cached: of(&self.cached),
            dollars: Tally::price(lists, blocks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_tebibyte_costs_what_aws_says() {
        let counter = Counter::default();
        counter.blocks.store(1 << 21, Ordering::Relaxed);
        counter.lists.store(210, Ordering::Relaxed);
        assert_eq!(format!("{:.2}", counter.tally().dollars), "6.29");
        assert_eq!(counter.tally().to_string(), "2097152 blocks (1048576 MiB) in 210 requests; about $6.29");
        let one = Tally { requests: 1, blocks: 1, bytes: BLOCK, dollars: BLOCK_PRICE, ..Tally::default() };
        assert_eq!(one.to_string(), "1 block (0 MiB) in 1 request; less than $0.01");
    }
}
