//! Requests that fail.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::tap::{Request, Tap, tap, tap_mut};
use crate::{Disk, DiskMut, Error, ErrorKind, Result};

/// When requests fail, with `ErrorKind::Io`. Requests are counted from 0, over all devices made from it and
/// their clones.
#[derive(Debug, Clone, Default)]
pub struct Fault(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    reads: AtomicU64,
    writes: AtomicU64,
    failing_reads: Mutex<Range<u64>>,
    failing_writes: Mutex<Range<u64>>,
    bad: Mutex<Vec<Range<u64>>>,
}

fn set<T>(rule: &Mutex<T>, value: T) {
    *rule.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

impl Fault {
    /// No request fails yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The reads with these numbers fail: `3..4` the fourth only, `3..u64::MAX` all from then on.
    #[must_use]
    pub fn reads(self, numbers: Range<u64>) -> Self {
        set(&self.0.failing_reads, numbers);
        self
    }

    /// The writes, zeroings and flushes with these numbers fail.
    #[must_use]
    pub fn writes(self, numbers: Range<u64>) -> Self {
        set(&self.0.failing_writes, numbers);
        self
    }

    /// Every read and write that touches this range of the device fails, too.
    #[must_use]
    pub fn range(self, range: Range<u64>) -> Self {
        self.0.bad.lock().unwrap_or_else(PoisonError::into_inner).push(range);
        self
    }

    /// `base`, with these faults.
    pub fn disk(&self, base: &Disk) -> Disk {
        tap(base, &self.0)
    }

    /// `base`, with these faults.
    pub fn disk_mut(&self, base: &DiskMut) -> DiskMut {
        tap_mut(base, &self.0)
    }
}

impl Tap for Rules {
    fn on(&self, request: Request) -> Result<()> {
        let (counter, failing, range) = match request {
            Request::Extent(_) => return Ok(()),
            Request::Read(range) => (&self.reads, &self.failing_reads, range),
            Request::Write(range) | Request::Zero(range) => (&self.writes, &self.failing_writes, range),
            Request::Flush => (&self.writes, &self.failing_writes, 0..0),
        };
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let touches = |bad: &Range<u64>| bad.start < range.end && range.start < bad.end;
        if failing.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
            || self.bad.lock().unwrap_or_else(PoisonError::into_inner).iter().any(touches)
        {
            return Err(Error::new(ErrorKind::Io, "fault", "made to fail").at(range.start));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn what_is_told_to_fail_fails_and_nothing_else() {
        let fault = Fault::new().reads(1..2).writes(2..u64::MAX).range(100..200);
        let disk = fault.disk_mut(&DiskMut::new(Memory::new(vec![0; 4096])));
        let read = |at| disk.read_at(&mut [0; 10], at).map_err(|e| e.kind());
        assert_eq!([read(0), read(0), read(0)], [Ok(()), Err(ErrorKind::Io), Ok(())]);
        assert_eq!(
            [read(90), read(91), read(199), read(200)],
            [Ok(()), Err(ErrorKind::Io), Err(ErrorKind::Io), Ok(())]
        );
        disk.write_at(&[1], 0).unwrap();
        disk.flush().unwrap();
        assert!(disk.zero_range(0..1).is_err());
        assert!(disk.write_at(&[2], 0).is_err());
        assert!(disk.flush().is_err());
        assert_eq!(disk.disk().read_vec(0, 1).unwrap(), [1], "a request that fails changes nothing");
    }
}
