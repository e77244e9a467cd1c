//! So many requests a second, and no more.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lock;
use crate::turns::{SharedTurns, Turns};

/// What a throttled request does to the rate, and what one that went well does.
const SLOWER: f64 = 0.8;
const FASTER: f64 = 1.0 / 64.0;
/// The rate never falls below this part of what was asked for.
const LEAST: f64 = 1.0 / 32.0;

/// How fast requests are made. Shared by all threads; one whose turn is later sleeps.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Requests a second, at most, of all who share it.
    limit: f64,
    shared: Option<SharedTurns>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests a second, now.
    rate: f64,
    turns: Turns,
}

impl Rate {
    /// At most `limit` requests a second.
    pub(crate) fn new(limit: f64) -> Self {
        Self::shared(limit, None)
    }

    /// At most `limit` requests a second of this process and those that share its turns together.
    pub(crate) fn shared(limit: f64, shared: Option<SharedTurns>) -> Self {
        let limit = limit.max(1.0);
        Self { limit, shared, state: Mutex::new(State { rate: limit, turns: Turns::default() }) }
    }

    /// Waits for the turn of one request.
    pub(crate) fn wait(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let pause = self.turn(now);
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }

    /// How long the turn of a request is away, at this time since 1970.
    fn turn(&self, now: Duration) -> Duration {
        let mut state = lock(&self.state);
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (now, step) = (nanoseconds(now), nanoseconds(Duration::from_secs_f64(state.rate.recip())));
        let own = state.turns.take(now, step);
        let shared = self.shared.as_ref().map_or(Ok(0), |turns| turns.take(now, step));
        // Without the others it is still no faster than one may be.
        let told = |error: &_| tracing::debug!(%error, "the turns of other processes are not seen");
        Duration::from_nanos(shared.inspect_err(told).unwrap_or(0).max(own))
    }

    /// The service said that it was too many: others use the same quota.
    pub(crate) fn throttled(&self) {
        let mut state = lock(&self.state);
        state.rate = (state.rate * SLOWER).max(self.limit * LEAST);
    }

    /// A request went well.
    pub(crate) fn answered(&self) {
        let mut state = lock(&self.state);
        state.rate = (state.rate + FASTER).min(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_turns() {
        let rate = Rate::new(100.0);
        let start = Duration::from_secs(1_800_000_000);
        // The burst is free, then each waits a hundredth of a second longer.
        let pauses: Vec<_> = (0..110).map(|_| rate.turn(start).as_secs_f64()).collect();
        assert!(pauses[..10].iter().all(|pause| *pause < 0.002), "{pauses:?}");
        assert!((pauses[109] - 1.0).abs() < 0.01, "{}", pauses[109]);
        // Idle time is saved up to the burst only.
        let later = start + Duration::from_secs(60);
        assert_eq!((0..20).filter(|_| rate.turn(later).is_zero()).count(), 10);
    }

    #[test]
    fn it_yields_and_recovers() {
        let rate = Rate::new(1000.0);
        (0..100).for_each(|_| rate.throttled());
        assert!((lock(&rate.state).rate - 31.25).abs() < 0.1);
        (0..100_000).for_each(|_| rate.answered());
        assert!((lock(&rate.state).rate - 1000.0).abs() < 0.1);
    }
}
