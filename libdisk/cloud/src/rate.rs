//! A token bucket: so many requests a second, and no more.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::lock;
use crate::neighbours::Neighbours;

/// What a throttled request does to the rate, and what one that went well does.
const SLOWER: f64 = 0.8;
const FASTER: f64 = 1.0 / 64.0;
/// The rate never falls below this part of what was asked for.
const LEAST: f64 = 1.0 / 32.0;
/// How much of a second's requests may be made at once.
const BURST: f64 = 0.1;

/// The requests that are left. Shared by all threads; one that finds none sleeps.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Requests a second, at most, of all who share it.
    limit: f64,
    sharing: Option<Arc<Neighbours>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests a second, now.
    rate: f64,
    /// Requests that may be made at `at`; negative where threads wait for their turn.
    left: f64,
    at: Instant,
}

impl Rate {
    /// At most `limit` requests a second.
    pub(crate) fn new(limit: f64) -> Self {
        Self::shared(limit, None)
    }

    /// At most `limit` requests a second of this process and its neighbours together.
    pub(crate) fn shared(limit: f64, sharing: Option<Arc<Neighbours>>) -> Self {
        let limit = limit.max(1.0);
        Self {
            limit,
            sharing,
            state: Mutex::new(State { rate: limit, left: limit * BURST, at: Instant::now() }),
        }
    }

    /// Waits for the turn of one request.
    pub(crate) fn wait(&self) {
        let pause = self.turn(Instant::now());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }

    fn turn(&self, now: Instant) -> Duration {
        let sharing = self.sharing.as_ref().map_or(1, |neighbours| neighbours.count());
        let mut state = lock(&self.state);
        let rate = state.rate / f64::from(u32::try_from(sharing).unwrap_or(u32::MAX));
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.left = (state.left + passed * rate).min((rate * BURST).max(1.0)) - 1.0;
        state.at = now;
        Duration::from_secs_f64((-state.left / rate).max(0.0))
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
        let start = Instant::now();
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
