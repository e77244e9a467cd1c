//! Whose a machine is: an engine may run a task twice, and a node may die in the middle of one.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::state::now;
use super::store::Store;

/// What is in the file: the owner, and until when, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) owner: String,
    pub(crate) until: u64,
    /// How often it was renewed: no two states of the file are the same.
    renewed: u64,
}

/// A lease that is ours.
#[derive(Debug)]
pub(crate) struct Held {
    key: String,
    lease: Lease,
    version: String,
    lasts: Duration,
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
        // Who is overtaken looks again; the file has changed by then.
        loop {
            let there = store.read(&key)?;
            // What cannot be read was written by no one who holds anything.
            let old: Option<Lease> =
                there.as_ref().and_then(|entry| serde_json::from_slice(&entry.bytes).ok());
            if let Some(old) = old.as_ref().filter(|old| old.until > now()) {
                return Ok(Asked::By(old.clone()));
            }
            let renewed = old.map_or(0, |old| old.renewed.wrapping_add(1));
            let lease = Lease { owner: owner.to_owned(), until: now() + lasts.as_secs(), renewed };
            let version = there.map(|entry| entry.version);
            if let Some(version) = store.swap(&key, version.as_deref(), &serde_json::to_vec(&lease)?)? {
                return Ok(Asked::Held(Self { key, lease, version, lasts, lost: false }));
            }
        }
    }

    /// Whether it is time to renew it: a third of it has passed.
    pub(crate) fn is_due(&self) -> bool {
        self.lease.until.saturating_sub(now()) * 3 <= self.lasts.as_secs() * 2
    }

    /// Keeps it for as long again; `false` if it has become somebody else's.
    pub(crate) fn renew(&mut self, store: &dyn Store) -> Result<bool> {
        self.put(store, now() + self.lasts.as_secs())
    }

    /// Whether it was found to be somebody else's.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Gives it back.
    pub(crate) fn release(mut self, store: &dyn Store) -> Result<()> {
        self.put(store, 0).map(drop)
    }

    fn put(&mut self, store: &dyn Store, until: u64) -> Result<bool> {
        let lease =
            Lease { owner: self.lease.owner.clone(), until, renewed: self.lease.renewed.wrapping_add(1) };
        let Some(version) = store.swap(&self.key, Some(&self.version), &serde_json::to_vec(&lease)?)? else {
            self.lost = true;
            return Ok(false);
        };
        (self.lease, self.version) = (lease, version);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Directory;
    use super::*;

    fn take(store: &Directory, owner: &str, seconds: u64) -> Asked {
        Held::take(store, "vm/0000/lease".to_owned(), owner, Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn a_thousand_times_two_workers_race_and_one_wins() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        for round in 0..1000 {
            let won: usize = std::thread::scope(|scope| {
                let workers = ["one", "other"].map(|owner| {
                    let store = Directory::new(folder.path());
                    scope.spawn(move || {
                        let key = format!("vm/{round:04}/lease");
                        let asked = Held::take(&store, key, owner, Duration::from_secs(60)).unwrap();
                        usize::from(matches!(asked, Asked::Held(_)))
                    })
                });
                workers.map(|worker| worker.join().unwrap()).iter().sum()
            });
            assert_eq!(won, 1, "{round}");
        }
    }

    #[test]
    fn a_lease_that_ended_is_taken_over_and_its_owner_learns_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::new(folder.path());
        let Asked::Held(mut first) = take(&store, "first", 0) else { panic!() };
        let Asked::Held(second) = take(&store, "second", 60) else { panic!("it had ended") };
        assert!(!first.is_lost());
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
