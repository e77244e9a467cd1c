//! Whose a machine is: an engine may run a task twice, and a node may die in the middle of one.
//!
//! A lease lasts so many seconds from when its file was written, and whether they have passed is told by the clock of
//! whoever keeps the file: the file server, S3, Azure. The clocks of workers may differ by hours. Who holds one counts
//! the time since he asked for it last, by a clock that only goes forward, and stops before it is over.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::store::{Entry, Store};

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) owner: String,
    /// How long it lasts from when this was written; 0 where it was given back.
    seconds: u64,
    /// How often it was renewed: no two states of the file are the same.
    renewed: u64,
    /// Whose it is, by chance: owners may have the same name, as in containers.
    mark: u64,
}

impl Lease {
    /// The lease in a file; what cannot be read was written by no one who holds anything.
    fn of(entry: &Entry) -> Option<Self> {
        serde_json::from_slice(&entry.bytes).ok()
    }

    /// The lease in a file, if somebody has it.
    pub(crate) fn in_force(store: &dyn Store, entry: &Entry) -> Result<Option<Self>> {
        let Some(lease) = Self::of(entry).filter(|lease| lease.seconds > 0) else { return Ok(None) };
        // Both times are cut to whole seconds: as much may be missing.
        let age = store.now()?.saturating_sub(entry.written);
        Ok((age <= lease.seconds).then_some(lease))
    }
}

/// A lease that is ours.
#[derive(Debug)]
pub(crate) struct Held {
    key: String,
    lease: Lease,
    version: String,
    lasts: Duration,
    /// When it was last asked for with success.
    asked: Instant,
    lost: bool,
}

/// What asking for a lease comes to.
#[derive(Debug)]
pub(crate) enum Asked {
    Held(Held),
    /// Somebody else has it.
    By(Lease),
}

impl Held {
    /// Takes the lease, unless somebody else has one that has not ended.
    pub(crate) fn take(store: &dyn Store, key: String, owner: &str, lasts: Duration) -> Result<Asked> {
        let mark = RandomState::new().build_hasher().finish();
        // Who is overtaken looks again; the file has changed by then.
        loop {
            let there = store.read(&key)?;
            if let Some(entry) = &there
                && let Some(lease) = Lease::in_force(store, entry)?
            {
                return Ok(Asked::By(lease));
            }
            let old = there.as_ref().and_then(Lease::of);
            let renewed = old.map_or(0, |old| old.renewed.wrapping_add(1));
            let lease = Lease { owner: owner.to_owned(), seconds: lasts.as_secs(), renewed, mark };
            let (asked, version) = (Instant::now(), there.map(|entry| entry.version));
            if let Some(version) = store.swap(&key, version.as_deref(), &serde_json::to_vec(&lease)?)? {
                return Ok(Asked::Held(Self { key, lease, version, lasts, asked, lost: false }));
            }
        }
    }

    /// Whether it is time to renew it: a third of it has passed.
    pub(crate) fn is_due(&self) -> bool {
        self.asked.elapsed() * 3 >= self.lasts
    }

    /// Keeps it for as long again; `false` if it has become somebody else's.
    pub(crate) fn renew(&mut self, store: &dyn Store) -> Result<bool> {
        self.put(store, self.lasts.as_secs())
    }

    /// Whether it is somebody else's, or may become it at any moment, as it could not be renewed.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost || self.asked.elapsed() * 6 >= self.lasts * 5
    }

    /// Gives it back.
    pub(crate) fn release(mut self, store: &dyn Store) -> Result<()> {
        self.put(store, 0).map(drop)
    }

    fn put(&mut self, store: &dyn Store, seconds: u64) -> Result<bool> {
        let renewed = self.lease.renewed.wrapping_add(1);
        let (asked, lease) = (Instant::now(), Lease { seconds, renewed, ..self.lease.clone() });
        let Some(version) = store.swap(&self.key, Some(&self.version), &serde_json::to_vec(&lease)?)? else {
            self.lost = true;
            return Ok(false);
        };
        (self.lease, self.version, self.asked) = (lease, version, asked);
        Ok(true)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::store::Directory;
    use super::*;

    fn take(store: &Directory, owner: &str, seconds: u64) -> Asked {
        Held::take(store, "vm/0000/lease".to_owned(), owner, Duration::from_secs(seconds)).unwrap()
    }

    /// Two workers, each with a store of its own, race for one lease so often: one wins each time.
    pub(in crate::fleet) fn race(rounds: u64, store: impl Fn() -> Box<dyn Store>) {
        let stores = [store(), store()];
        for round in 0..rounds {
            let won: usize = std::thread::scope(|scope| {
                let workers = stores.each_ref().map(|store| {
                    scope.spawn(move || {
                        let key = format!("vm/{round:04}/lease");
                        let asked = Held::take(&**store, key, "one", Duration::from_secs(60)).unwrap();
                        usize::from(matches!(asked, Asked::Held(_)))
                    })
                });
                workers.map(|worker| worker.join().unwrap()).iter().sum()
            });
            assert_eq!(won, 1, "{round}");
        }
    }

    #[test]
    fn a_thousand_times_two_workers_race_and_one_wins() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        race(1000, || Box::new(Directory::new(folder.path())));
    }

    #[test]
    fn a_lease_that_ended_is_taken_over_and_its_owner_learns_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::new(folder.path());
        let Asked::Held(mut first) = take(&store, "first", 1) else { panic!() };
        assert!(!first.is_lost());
        assert!(matches!(take(&store, "second", 60), Asked::By(_)));
        std::thread::sleep(Duration::from_millis(2100));
        assert!(first.is_lost(), "it could not be renewed in time");
        let Asked::Held(second) = take(&store, "second", 60) else { panic!("it had ended") };
        assert!(!first.renew(&store).unwrap() && first.is_lost());
        let Asked::By(lease) = take(&store, "third", 60) else { panic!() };
        assert_eq!(lease.owner, "second");
        second.release(&store).unwrap();
        assert!(matches!(take(&store, "third", 60), Asked::Held(_)));
    }

    #[test]
    fn what_is_no_lease_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::new(folder.path());
        store.write("vm/0000/lease", b"{").unwrap();
        assert!(matches!(take(&store, "one", 60), Asked::Held(_)));
    }
}
