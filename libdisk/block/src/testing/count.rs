//! Requests that are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::tap::{Request, Tap, tap, tap_mut};
use crate::{Disk, DiskMut, Result};

/// How many requests there were, and how many bytes they were about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of requests.
    pub requests: u64,
    /// Sum of their lengths.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    fn add(&self, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn tally(&self) -> Tally {
        Tally { requests: self.requests.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// Counts the requests of all devices made from it. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Count(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    reads: Counter,
    extents: Counter,
    writes: Counter,
    zeros: Counter,
    flushes: Counter,
}

impl Count {
    /// `base`, counted.
    pub fn disk(&self, base: &Disk) -> Disk {
        tap(base, &self.0)
    }

    /// `base`, counted.
    pub fn disk_mut(&self, base: &DiskMut) -> DiskMut {
        tap_mut(base, &self.0)
    }

    /// The reads so far.
    pub fn reads(&self) -> Tally {
        self.0.reads.tally()
    }

    /// The questions for extents so far.
    pub fn extents(&self) -> Tally {
        self.0.extents.tally()
    }

    /// The writes of bytes so far.
    pub fn writes(&self) -> Tally {
        self.0.writes.tally()
    }

    /// The writes of zeros so far.
    pub fn zeros(&self) -> Tally {
        self.0.zeros.tally()
    }

    /// The flushes so far.
    pub fn flushes(&self) -> u64 {
        self.0.flushes.tally().requests
    }
}

impl Tap for Counters {
    fn on(&self, request: Request) -> Result<()> {
        match request {
            Request::Read(range) => self.reads.add(range.end - range.start),
            Request::Extent(range) => self.extents.add(range.end - range.start),
            Request::Write(range) => self.writes.add(range.end - range.start),
            Request::Zero(range) => self.zeros.add(range.end - range.start),
            Request::Flush => self.flushes.add(0),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn it_counts() {
        let count = Count::default();
        let disk = count.disk_mut(&DiskMut::new(Memory::new(vec![0; 4096])));
        disk.write_at(&[1; 10], 5).unwrap();
        disk.zero_range(0..7).unwrap();
        disk.read_at(&mut [0; 3], 0).unwrap();
        disk.disk().read_at(&mut [0; 4], 0).unwrap();
        disk.disk().extent_at(0..100).unwrap();
        disk.flush().unwrap();
        assert_eq!(count.writes(), Tally { requests: 1, bytes: 10 });
        assert_eq!(count.zeros(), Tally { requests: 1, bytes: 7 });
        assert_eq!(count.reads(), Tally { requests: 2, bytes: 7 });
        assert_eq!(count.extents(), Tally { requests: 1, bytes: 100 });
        assert_eq!(count.flushes(), 1);
    }
}
