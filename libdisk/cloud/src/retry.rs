//! Which requests are made again, when, and for how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::fault::{Fault, FaultKind};
use crate::rate::Rate;

/// The first pause is at most this long; each following one may be twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(15);
/// A body that arrives damaged so often is not damaged on its way.
const DAMAGED_TRIES: u32 = 8;
/// How long a service is waited for that has never answered: most likely its address is wrong.
const STRANGER: Duration = Duration::from_secs(20);

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon's.
    Aws,
    /// Microsoft's, of storage.
    Azure,
    /// Microsoft's, of all that is managed.
    AzureManager,
    /// Amazon's, of small files.
    AwsObjects,
    /// Microsoft's, of small files.
    AzureObjects,
}

/// A request that failed for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{subject}: {what}: {fault}{}", after(*.tries, *.waited))]
pub struct Failure {
    cloud: Cloud,
    subject: String,
    what: String,
    fault: Fault,
    tries: u32,
    waited: Duration,
    resumable: bool,
}

fn after(tries: u32, waited: Duration) -> String {
    if tries > 1 { format!(" ({tries} tries in {} s)", waited.as_secs()) } else { String::new() }
}

impl Failure {
    /// `subject` is the snapshot or the blob, and `what` what was asked of it.
    pub(crate) fn new(cloud: Cloud, subject: &str, what: impl Into<String>, fault: Fault) -> Self {
        Self {
            cloud,
            subject: subject.to_owned(),
            what: what.into(),
            fault,
            tries: 1,
            waited: Duration::ZERO,
            resumable: false,
        }
    }

    /// With more that is known of its cause.
    pub(crate) fn knowing(mut self, more: &str) -> Self {
        self.fault = self.fault.knowing(more);
        self
    }

    /// The failure that caused an error of a layer, if one did.
    pub fn of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }

    /// Whose service it was.
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// What went wrong, to decide by.
    pub fn kind(&self) -> FaultKind {
        self.fault.kind()
    }

    /// Whether what was said has `text` in it.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.fault.text().contains(text)
    }

    /// Whether the same command, given again, may go on from here.
    pub fn is_resumable(&self) -> bool {
        self.resumable
    }
}

impl From<Failure> for block::Error {
    fn from(failure: Failure) -> Self {
        use block::ErrorKind;
        let kind = match failure.kind() {
            FaultKind::Access
            | FaultKind::Key
            | FaultKind::Credentials
            | FaultKind::InUse
            | FaultKind::Attached => ErrorKind::Refused,
            FaultKind::Damaged | FaultKind::Protocol => ErrorKind::Corrupt,
            FaultKind::Changed => ErrorKind::Changed,
            _ => ErrorKind::Io,
        };
        let (layer, what) = match failure.cloud() {
            Cloud::Aws => ("ebs", "cannot read the snapshot"),
            Cloud::Azure => ("azure", "a request about the blob failed"),
            Cloud::AzureManager => ("azure", "a request about the disk failed"),
            Cloud::AwsObjects => ("s3", "a request about a file failed"),
            Cloud::AzureObjects => ("azure", "a request about a file failed"),
        };
        Self::new(kind, layer, what).because(failure)
    }
}

/// One request as often as it takes.
pub(crate) struct Retry<'a> {
    /// Whose service it is asked of.
    pub(crate) cloud: Cloud,
    /// The snapshot or the blob, for messages.
    pub(crate) subject: &'a str,
    /// How long one request is tried.
    pub(crate) patience: Duration,
    /// Whether the service has ever answered.
    pub(crate) known: bool,
    pub(crate) rates: &'a [&'a Rate],
    /// Counts what is tried again.
    pub(crate) retries: &'a AtomicU64,
}

impl Retry<'_> {
    /// Makes `request` until it succeeds or fails for good; `what` names it.
    ///
    /// # Errors
    /// The last fault, as soon as it is one that will not pass, else when the patience has ended.
    pub(crate) fn run<T>(
        &self,
        what: impl Fn() -> String,
        mut request: impl FnMut() -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let patience = if self.known { self.patience } else { self.patience.min(STRANGER) };
        let mut limit = FIRST_PAUSE;
        for tries in 1.. {
            self.rates.iter().for_each(|rate| rate.wait());
            let fault = match request() {
                Ok(answer) => {
                    self.rates.iter().for_each(|rate| rate.answered());
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            let kind = fault.kind();
            if kind == FaultKind::Throttled {
                self.rates.iter().for_each(|rate| rate.throttled());
            }
            let waited = start.elapsed();
            let pause = limit.mul_f64(fastrand::f64());
            let hopeless = !kind.may_pass() || (kind == FaultKind::Damaged && tries >= DAMAGED_TRIES);
            if hopeless || waited.saturating_add(pause) > patience {
                use FaultKind::{Clock, Credentials, Expired, Quota};
                let mended = matches!(kind, Credentials | Expired | Clock | Quota);
                let resumable = kind.may_pass() || (mended && self.known);
                let mut failure = Failure::new(self.cloud, self.subject, what(), fault);
                (failure.tries, failure.waited, failure.resumable) = (tries, waited, resumable);
                return Err(failure);
            }
            if tries % 8 == 0 {
                tracing::warn!(request = what(), %fault, tries, "still trying");
            } else {
                tracing::debug!(request = what(), %fault, tries, "tried again");
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(pause);
            limit = limit.saturating_mul(2).min(LAST_PAUSE);
        }
        unreachable!("the loop has no end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(patience: Duration, kinds: &[FaultKind]) -> (Result<(), Failure>, u32) {
        let (rate, retries) = (Rate::new(1e6), AtomicU64::default());
        let (cloud, subject) = (Cloud::Aws, "snap-1");
        let retry = Retry { cloud, subject, patience, known: true, rates: &[&rate], retries: &retries };
        let mut made = 0;
        let answer = retry.run(
            || "block 7".into(),
            || {
                let kind = kinds.get(made).or(kinds.last().filter(|kind| !kind.may_pass()));
                made += 1;
                kind.map_or(Ok(()), |kind| Err(Fault::new(*kind, "so")))
            },
        );
        (answer, u32::try_from(made).unwrap())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_final_at_once() {
        use FaultKind::*;
        let minute = Duration::from_secs(60);
        let (answer, made) = run(minute, &[Throttled, Server, Connection, Damaged]);
        assert_eq!((answer.is_ok(), made), (true, 5));
        for kind in [
            Access,
            Key,
            NotFound,
            Unrelated,
            Invalid,
            Credentials,
            Clock,
            Region,
            Quota,
            Protocol,
            Token,
            Certificate,
            Proxy,
            Expired,
            OtherKind,
            InUse,
            Changed,
        ] {
            let (answer, made) = run(minute, &[Throttled, kind]);
            let failure = answer.unwrap_err();
            assert_eq!((failure.kind(), made), (kind, 2));
            assert!(failure.to_string().starts_with("snap-1: block 7: "), "{failure}");
        }
    }

    #[test]
    fn patience_ends() {
        let (answer, made) = run(Duration::ZERO, &[FaultKind::Throttled; 100]);
        let failure = answer.unwrap_err();
        assert!(made < 3 && failure.is_resumable());
        let (answer, made) = run(Duration::from_secs(60), &[FaultKind::Damaged; 100]);
        assert_eq!((answer.unwrap_err().kind(), made), (FaultKind::Damaged, DAMAGED_TRIES));
    }
}
