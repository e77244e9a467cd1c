//! What goes wrong, on purpose: by chance from a seed, or at a given call.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::snapshot::mix;

/// The kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// ListSnapshotBlocks.
    List,
    /// ListChangedBlocks.
    Changed,
    /// GetSnapshotBlock.
    Get,
    /// A query to EC2.
    Ec2,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// RequestThrottledException, reason RESOURCE_LEVEL_THROTTLE: the quota of the snapshot. HTTP 400.
    Throttled,
    /// ThrottlingException: the quota of the account. HTTP 400.
    AccountThrottled,
    /// RequestThrottledException, reason DEPENDENCY_REQUEST_THROTTLED: KMS throttles. HTTP 400.
    KmsThrottled,
    /// InternalServerException. HTTP 500.
    Internal,
    /// The connection is reset without an answer.
    HangUp,
    /// The connection is closed in the middle of a block. Get only.
    Truncated,
    /// A byte of the block is not the one its checksum was made of. Get only.
    Altered,
    /// ValidationException, reason INVALID_BLOCK_TOKEN. Get only.
    ExpiredBlockToken,
    /// ValidationException, reason INVALID_PAGE_TOKEN, if the request has a page token. Listings only.
    ExpiredPageToken,
    /// A page without blocks but with a NextToken, which is legal. Listings only.
    EmptyPage,
    /// AccessDeniedException, reason DEPENDENCY_ACCESS_DENIED: KMS refuses its key. HTTP 403. Get only.
    KmsRefusal,
    /// AccessDeniedException, reason UNAUTHORIZED_ACCOUNT: the caller may not do this. HTTP 403.
    Denied,
    /// ExpiredTokenException: the caller's temporary credentials are too old. HTTP 403.
    ExpiredCredentials,
    /// InvalidSignatureException: the caller's clock is late. HTTP 403.
    ClockSkew,
    /// ServiceQuotaExceededException, reason DEPENDENCY_SERVICE_QUOTA_EXCEEDED. HTTP 402. Not of EC2.
    QuotaExceeded,
    /// ResourceNotFoundException, reason SNAPSHOT_NOT_FOUND: the snapshot was deleted. HTTP 404. Not of EC2.
    Gone,
    /// There is never an answer, but the connection stays open.
    Stall,
}

impl Fault {
    fn fits(self, call: Call) -> bool {
        match self {
            Self::Truncated | Self::Altered | Self::ExpiredBlockToken | Self::KmsRefusal => call == Call::Get,
            Self::ExpiredPageToken | Self::EmptyPage => matches!(call, Call::List | Call::Changed),
            Self::KmsThrottled | Self::QuotaExceeded | Self::Gone => call != Call::Ec2,
            _ => true,
        }
    }
}

/// What the service and the way to it do wrong, and how slow and how strict they are. By default all is well.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    seed: u64,
    chances: Vec<(Fault, f64)>,
    planned: Vec<(Call, Range<u64>, Fault)>,
    latency: Duration,
    snapshot_rate: Option<f64>,
    account_rate: Option<f64>,
    list_rate: Option<f64>,
}

impl Faults {
    /// No faults yet. The same seed makes the same request (the same block for the n-th time) fail in the
    /// same way, in whatever order the requests come.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Each request that `fault` fits meets it with `probability` (0 to 1).
    #[must_use]
    pub fn chance(mut self, fault: Fault, probability: f64) -> Self {
        self.chances.push((fault, probability));
        self
    }

    /// The requests of kind `call` with the numbers `which` (from 0, since these faults were set) meet
    /// `fault`.
    #[must_use]
    pub fn at(mut self, call: Call, which: Range<u64>, fault: Fault) -> Self {
        self.planned.push((call, which, fault));
        self
    }

    /// Every answer comes this much later.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// At most this many blocks per second of any one snapshot (after a burst of as many); more are refused
    /// with [`Fault::Throttled`].
    #[must_use]
    pub fn snapshot_rate(mut self, per_second: u32) -> Self {
        self.snapshot_rate = Some(per_second.into());
        self
    }

    /// At most this many blocks per second in all; more are refused with [`Fault::AccountThrottled`].
    #[must_use]
    pub fn account_rate(mut self, per_second: u32) -> Self {
        self.account_rate = Some(per_second.into());
        self
    }

    /// At most this many pages per second in all; more are refused with [`Fault::AccountThrottled`].
    #[must_use]
    pub fn list_rate(mut self, per_second: u32) -> Self {
        self.list_rate = Some(per_second.into());
        self
    }
}

/// The faults, and how far they have come.
#[derive(Debug, Default)]
pub(crate) struct Course {
    faults: Faults,
    calls: HashMap<Call, u64>,
    attempts: HashMap<(Call, u64), u64>,
    buckets: HashMap<(Fault, u64), Bucket>,
}

impl From<Faults> for Course {
    fn from(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }
}

impl Course {
    /// The fate of a request: how late it is answered, and what goes wrong. `subject` is what it asks for,
    /// `snapshot` of what.
    pub(crate) fn next(&mut self, call: Call, snapshot: u64, subject: u64) -> (Duration, Option<Fault>) {
        let number = count(self.calls.entry(call).or_default());
        let attempt = count(self.attempts.entry((call, subject)).or_default());
        let planned =
            self.faults.planned.iter().find(|(of, which, _)| *of == call && which.contains(&number));
        let mut random =
            fastrand::Rng::with_seed(mix(self.faults.seed ^ mix(subject ^ mix(attempt ^ call as u64))));
        let mut chances = self.faults.chances.iter().filter(|(fault, _)| fault.fits(call));
        let fault = planned
            .map(|(.., fault)| *fault)
            .or_else(|| chances.find(|(_, probability)| random.f64() < *probability).map(|(fault, _)| *fault))
            .or_else(|| self.throttled(call, snapshot));
        (self.faults.latency, fault)
    }

    fn throttled(&mut self, call: Call, snapshot: u64) -> Option<Fault> {
        let quotas = match call {
            Call::Get => vec![
                (Fault::Throttled, snapshot, self.faults.snapshot_rate),
                (Fault::AccountThrottled, 0, self.faults.account_rate),
            ],
            Call::List | Call::Changed => vec![(Fault::AccountThrottled, 1, self.faults.list_rate)],
            Call::Ec2 => Vec::new(),
        };
        let now = Instant::now();
        let mut over = quotas.into_iter().filter_map(|(fault, of, rate)| Some((fault, of, rate?)));
        over.find(|(fault, of, rate)| !self.buckets.entry((*fault, *of)).or_default().take(*rate, now))
            .map(|(fault, ..)| fault)
    }
}

/// The number that `counter` was at; it goes on to the next.
fn count(counter: &mut u64) -> u64 {
    *counter += 1;
    *counter - 1
}

/// A token bucket that holds one second's worth.
#[derive(Debug, Default)]
struct Bucket {
    filled: Option<(Instant, f64)>,
}

impl Bucket {
    fn take(&mut self, rate: f64, now: Instant) -> bool {
        let left =
            self.filled.map_or(rate, |(then, left)| (left + (now - then).as_secs_f64() * rate).min(rate));
        let enough = left >= 1.0;
        self.filled = Some((now, if enough { left - 1.0 } else { left }));
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_meets_the_same_fate_in_whatever_order() {
        let faults = Faults::seeded(5).chance(Fault::Throttled, 0.2).chance(Fault::Altered, 0.5);
        let fates = |order: &mut dyn Iterator<Item = u64>| {
            let mut course = Course::from(faults.clone());
            let mut fates: Vec<_> = order.map(|block| (block, course.next(Call::Get, 1, block).1)).collect();
            fates.sort_by_key(|(block, _)| *block);
            fates
        };
        let forwards = fates(&mut (0..1000));
        assert_eq!(forwards, fates(&mut (0..1000).rev()));
        let count = |fault| forwards.iter().filter(|(_, fate)| *fate == Some(fault)).count();
        assert!((150..250).contains(&count(Fault::Throttled)), "{}", count(Fault::Throttled));
        assert!((350..450).contains(&count(Fault::Altered)), "{}", count(Fault::Altered));
        // A second attempt is another throw of the dice, and a listing has no block to alter.
        let mut course = Course::from(faults.clone());
        let mut fate = |call| course.next(call, 1, 7).1;
        assert!((0..50).any(|_| fate(Call::Get).is_none()));
        assert!((0..50).all(|_| fate(Call::List) != Some(Fault::Altered)));
    }

    #[test]
    fn a_bucket_holds_a_second_and_fills_with_time() {
        let mut bucket = Bucket::default();
        let start = Instant::now();
        let mut take = |milliseconds| bucket.take(10.0, start + Duration::from_millis(milliseconds));
        assert_eq!((0..20).filter(|_| take(0)).count(), 10);
        assert!(take(100) && !take(100));
        assert_eq!((0..20).filter(|_| take(60_000)).count(), 10);
    }
}
