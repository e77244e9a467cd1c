//! The one copy loop: any device into any sink.

mod plan;

use std::num::NonZero;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crate::zero::nonzero_runs;
use crate::{Disk, Error, Event, FileRange, Observer, Result};
use plan::{Plan, Step};

/// What one thread takes at once, in bytes: large enough to be worth a system call, small enough to stay in the cache.
const UNIT: usize = 1 << 20;

/// What a sink can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkCaps {
    /// The sink reads as zeros where nothing was put: zero runs need not be sent.
    pub starts_zeroed: bool,
    /// The largest chunk it takes, in bytes.
    pub max_write: usize,
    /// How many chunks it takes at once.
    pub parallel: usize,
}

/// A piece of the device on its way into a sink.
#[derive(Debug, Clone, Copy)]
pub enum Chunk<'a> {
    /// These bytes at this offset.
    Data {
        /// Byte offset in the device.
        offset: u64,
        /// The bytes, at most `max_write`.
        bytes: &'a [u8],
    },
    /// Zeros; only sent to a sink that does not start zeroed.
    Zero {
        /// Byte offset in the device.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
}

/// Where a copy goes: a VHD, a raw file, later a page blob.
pub trait Sink: Send + Sync {
    /// What it can do.
    fn caps(&self) -> SinkCaps;

    /// Takes one chunk; called from up to `caps().parallel` threads, in any order, ranges never overlapping.
    ///
    /// # Errors
    /// What the target reports; the copy ends with it.
    fn put(&self, chunk: Chunk<'_>) -> Result<()>;

    /// Takes what is in a file as its own, moving no bytes: for targets on a file system whose files can share extents. `false`
    /// if it cannot; the bytes then come through [`put`](Self::put). Called from one thread at a time.
    ///
    /// # Errors
    /// As `put`.
    fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        let _ = (offset, from);
        Ok(false)
    }

    /// Takes note that all of a stretch of data, which reads as `bytes`, has been put. Called as [`put`](Self::put) is, after it; not for zero
    /// extents, nor for what was shared.
    ///
    /// # Errors
    /// As `put`.
    fn done(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let _ = (offset, bytes);
        Ok(())
    }

    /// Ranges that an earlier, interrupted run has put already; ascending.
    ///
    /// # Errors
    /// What the target reports.
    fn already_done(&self) -> Result<Vec<Range<u64>>>;

    /// Makes the target complete: only now may it look finished.
    ///
    /// # Errors
    /// What the target reports.
    fn finish(self: Box<Self>) -> Result<Receipt>;
}

/// What a finished sink has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes of the device, zeros included.
    pub size: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that are shared with the source's file, and so were not.
    pub shared: u64,
}

/// How to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Threads; 0 means one per core.
    pub threads: usize,
}

/// Copies all of `source` into `sink` and finishes it.
///
/// Zero extents are never read; zeros inside data are found in blocks of 4 KiB. Neither is sent to a sink that starts
/// zeroed. What the sink can share with the source's file is not read either. Each thread holds one buffer of at most 1 MiB.
///
/// # Errors
/// The first error of either side; the sink is then left unfinished.
pub fn copy(
    source: &Disk,
    sink: Box<dyn Sink>,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Receipt> {
    let caps = sink.caps();
    let unit = UNIT.min(caps.max_write).max(1);
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    let threads = if options.threads == 0 { cores() } else { options.threads }.clamp(1, caps.parallel.max(1));

    observer.on(Event::started("copy", Some(source.size())));
    let work = Work {
        source,
        sink: &*sink,
        starts_zeroed: caps.starts_zeroed,
        unit,
        plan: Mutex::new(Plan::new(source, &*sink, sink.already_done()?, unit as u64)),
        failed: OnceLock::new(),
        observer,
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work.run());
        }
        work.run();
    });
    if let Some(error) = work.failed.into_inner() {
        return Err(error);
    }
    let receipt = sink.finish()?;
    observer.on(Event::finished());
    Ok(receipt)
}

/// What the threads of a copy share.
struct Work<'a> {
    source: &'a Disk,
    sink: &'a dyn Sink,
    starts_zeroed: bool,
    unit: usize,
    plan: Mutex<Plan<'a>>,
    /// The first error; it stops every thread.
    failed: OnceLock<Error>,
    observer: &'a dyn Observer,
}

impl Work<'_> {
    /// What one thread does.
    fn run(&self) {
        let mut buf = vec![0; self.unit];
        while self.failed.get().is_none() {
            // Released before the step is done. A thread that panicked here takes the whole copy down with it anyway.
            let step = self.plan.lock().unwrap_or_else(PoisonError::into_inner).next();
            let done = match step {
                None => return,
                Some(step) => self.observer.go_on().and(step).and_then(|step| self.step(step, &mut buf)),
            };
            match done {
                Ok(bytes) => self.observer.on(Event::advanced(bytes)),
                // Another thread may have failed first; its error is the one to tell.
                Err(error) => drop(self.failed.set(error)),
            }
        }
    }

    /// Does one step; gives its length.
    fn step(&self, step: Step, buf: &mut [u8]) -> Result<u64> {
        let range = match step {
            Step::Skip(range) => range,
            Step::Zero(range) => {
                self.zero(range.clone())?;
                range
            }
            Step::Data(range) => {
                let bytes = &mut buf[..(range.end - range.start) as usize];
                self.source.read_at(bytes, range.start)?;
                self.put(bytes, range.start)?;
                self.sink.done(range.start, bytes)?;
                range
            }
        };
        Ok(range.end - range.start)
    }

    /// Sends what is not zero in `bytes`, and the zeros between it where the sink needs them.
    fn put(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut at = offset;
        for run in nonzero_runs(bytes) {
            let start = offset + run.start as u64;
            self.zero(at..start)?;
            at = offset + run.end as u64;
            self.sink.put(Chunk::Data { offset: start, bytes: &bytes[run] })?;
        }
        self.zero(at..offset + bytes.len() as u64)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        if self.starts_zeroed || range.is_empty() {
            return Ok(());
        }
        self.sink.put(Chunk::Zero { offset: range.start, len: range.end - range.start })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::testing::DeviceSink;
    use crate::testing::fault::Fault;
    use crate::testing::tap::{Request, Tap, tap_mut};
    use crate::{Cancel, DiskMut, ErrorKind, EventKind, Memory, Overlay, Silent, Zeros};

    const SIZE: u64 = (5 << 20) + 700;

    /// What a target was asked for.
    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<Request>>);

    impl Tap for Log {
        fn on(&self, request: Request) -> Result<()> {
            self.0.lock().unwrap().push(request);
            Ok(())
        }
    }

    impl Log {
        /// The written ranges, the zeroed ranges, and whether the sink was finished.
        fn sorted(&self) -> (Vec<Range<u64>>, Vec<Range<u64>>, bool) {
            let (mut data, mut zeros, mut finished) = (vec![], vec![], false);
            for request in &*self.0.lock().unwrap() {
                match request {
                    Request::Write(range) => data.push(range.clone()),
                    Request::Zero(range) => zeros.push(range.clone()),
                    Request::Flush => finished = true,
                    Request::Read(_) | Request::Extent(_) => {}
                }
            }
            (data, zeros, finished)
        }
    }

    fn target(fill: u8) -> DiskMut {
        DiskMut::new(Memory::new(vec![fill; SIZE as usize]))
    }

    /// Data over a seam between units, zeros within data, a hole, and an odd end.
    fn source() -> (Disk, Vec<u8>) {
        let overlay = Overlay::new(Disk::new(Zeros::new(SIZE))).unwrap();
        let writer = overlay.writer();
        writer.write_at(&[1; 3 << 20], 300_000).unwrap();
        writer.write_at(&[0; 100_000], 600_000).unwrap();
        writer.write_at(&[2; 1], SIZE - 1).unwrap();
        let disk = overlay.disk();
        let bytes = content(&disk);
        (disk, bytes)
    }

    fn content(disk: &Disk) -> Vec<u8> {
        disk.read_vec(0, SIZE as usize).unwrap()
    }

    #[test]
    fn every_kind_of_sink_gets_every_byte() {
        let (source, bytes) = source();
        for (fill, threads, max_write) in
            [(0, 1, 1 << 22), (0, 4, 1 << 22), (9, 3, 1 << 16), (9, 0, 4096), (9, 2, 1000)]
        {
            let (target, log) = (target(fill), Arc::<Log>::default());
            let caps = SinkCaps { starts_zeroed: fill == 0, max_write, parallel: 8 };
            let sink = DeviceSink::with(tap_mut(&target, &log), caps);
            let receipt = copy(&source, Box::new(sink), &CopyOptions { threads }, &Silent).unwrap();
            assert!(content(&target.disk()) == bytes, "fill {fill}, {threads} threads, {max_write} at once");
            assert_eq!(receipt.size, SIZE);

            let (mut put, zeros, finished) = log.sorted();
            assert!(finished);
            assert!(put.iter().all(|range| range.end - range.start <= max_write as u64));
            let data: u64 = put.iter().map(|range| range.end - range.start).sum();
            assert!(data < (3 << 20) + 5000, "zeros inside data are not sent as data: {data}");
            assert_eq!(zeros.is_empty(), fill == 0, "zeros go only to a sink that needs them");
            put.extend(zeros);
            put.sort_by_key(|range| range.start);
            assert!(put.is_sorted_by(|a, b| a.end <= b.start), "ranges never overlap");
        }
    }

    #[test]
    fn what_was_done_is_not_done_again() {
        let (source, bytes) = source();
        let done = vec![0..10_000, 400_000..500_000, 2 << 20..SIZE];
        let (target, log) = (target(9), Arc::<Log>::default());
        let sink = DeviceSink::new(tap_mut(&target, &log), false).done(done.clone());
        copy(&source, Box::new(sink), &CopyOptions { threads: 2 }, &Silent).unwrap();
        let mut expected = bytes;
        for range in &done {
            expected[range.start as usize..range.end as usize].fill(9);
        }
        assert!(content(&target.disk()) == expected);
        let (put, _, _) = log.sorted();
        assert!(put.iter().all(|put| done.iter().all(|done| put.end <= done.start || done.end <= put.start)));
    }

    #[test]
    fn the_first_error_stops_all_and_leaves_the_sink_unfinished() {
        let (disk, _) = source();
        let failing_write = {
            let log = Arc::<Log>::default();
            let target = Fault::new().range(1 << 20..2 << 20).disk_mut(&tap_mut(&target(0), &log));
            (disk.clone(), target, log)
        };
        let failing_read = {
            let log = Arc::<Log>::default();
            (Fault::new().range(2 << 20..3 << 20).disk(&disk), tap_mut(&target(0), &log), log)
        };
        for (source, target, log) in [failing_write, failing_read] {
            let sink = Box::new(DeviceSink::new(target, true));
            let error = copy(&source, sink, &CopyOptions { threads: 2 }, &Silent).unwrap_err();
            assert_eq!((error.kind(), error.layer()), (ErrorKind::Io, "fault"));
            let (_, _, finished) = log.sorted();
            assert!(!finished);
        }
    }

    #[test]
    fn progress_adds_up_to_the_whole_device() {
        #[derive(Default)]
        struct Sum(AtomicU64, Mutex<Vec<Event>>);
        impl Observer for Sum {
            fn on(&self, event: Event) {
                match event.kind {
                    EventKind::Advanced { bytes } => drop(self.0.fetch_add(bytes, Ordering::SeqCst)),
                    _ => self.1.lock().unwrap().push(event),
                }
            }
        }
        let sum = Sum::default();
        let sink = DeviceSink::new(target(0), true);
        copy(&source().0, Box::new(sink), &CopyOptions::default(), &sum).unwrap();
        assert_eq!(sum.0.into_inner(), SIZE);
        let events = sum.1.into_inner().unwrap();
        assert_eq!(events, [Event::started("copy", Some(SIZE)), Event::finished()]);
    }

    #[test]
    fn a_copy_that_is_told_to_stop_stops_and_finishes_nothing() {
        struct Impatient(AtomicU64, Cancel);
        impl Observer for Impatient {
            fn on(&self, event: Event) {
                if matches!(event.kind, EventKind::Advanced { .. }) {
                    self.0.fetch_add(1, Ordering::SeqCst);
                    self.1.cancel();
                }
            }
            fn cancelled(&self) -> bool {
                self.1.is_cancelled()
            }
        }
        let (observer, source) = (Impatient(AtomicU64::new(0), Cancel::default()), source().0);
        let log = Arc::new(Log::default());
        let sink = DeviceSink::new(tap_mut(&target(0), &log), true);
        let error = copy(&source, Box::new(sink), &CopyOptions { threads: 1 }, &observer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(observer.0.into_inner(), 1);
        assert!(!log.sorted().2);
    }

    #[test]
    fn an_empty_tebibyte_is_quick() {
        let sink = DeviceSink::new(target(0), true);
        copy(&Disk::new(Zeros::new(1 << 40)), Box::new(sink), &CopyOptions::default(), &Silent).unwrap();
    }
}
