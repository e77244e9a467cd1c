//! The one copy loop: any device into any sink.

mod look;
mod plan;
mod put;
mod turn;

use std::num::NonZero;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use rayon::ThreadPoolBuilder;

use crate::zero::GRANULE;
use crate::{ContentSum, Disk, Error, Event, FileRange, Observer, Result};
pub use look::{compare, content_sum};
use plan::{Cut, Plan, Step};
use put::Put;
pub use turn::Turn;
use turn::Turns;

/// What one thread takes at once of a file, in bytes: large enough to be worth a system call, small enough to stay in
/// the cache.
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
    /// Chunks start and end at multiples of this, in bytes, or end where the device ends. A power of two.
    pub alignment: usize,
    /// Zeros of fewer bytes than this between two pieces of data are sent with them: to leave them out would
    /// cost more.
    pub min_run: usize,
    /// How much one thread takes at once, in bytes; at most [`max_write`](Self::max_write) counts.
    pub unit: usize,
    /// What is taken at once starts at a multiple of this, in bytes: at the last one before the data, so that
    /// a request need not begin with zeros. At most [`unit`](Self::unit) counts.
    pub start: usize,
    /// Chunks are put in the order of the device, one at a time; [`Sink::put_in_turn`] may prepare them side by side.
    pub ordered: bool,
    /// It waits for a network: as many threads put as it takes chunks, whatever the cores.
    pub waits: bool,
}

impl SinkCaps {
    /// What a new file can do: it is full of holes, and takes anything anywhere. Larger writes than these are
    /// no faster.
    pub const FILE: Self = Self {
        starts_zeroed: true,
        max_write: UNIT,
        parallel: usize::MAX,
        alignment: 1,
        min_run: 0,
        unit: UNIT,
        start: UNIT,
        ordered: false,
        waits: false,
    };
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

    /// Takes one chunk, called as [`put`](Self::put) is: what can be done with it at once with others is done before
    /// the turn is waited for.
    ///
    /// # Errors
    /// As `put`; those of the turn.
    fn put_in_turn(&self, chunk: Chunk<'_>, turn: &Turn<'_>) -> Result<()> {
        turn.wait()?;
        self.put(chunk)
    }

    /// Takes what is in a file as its own, moving no bytes: for targets on a file system whose files can
    /// share extents. `false` if it cannot; the bytes then come through [`put`](Self::put). Called from
    /// one thread at a time.
    ///
    /// # Errors
    /// As `put`.
    fn share(&self, offset: u64, from: FileRange<'_>) -> Result<bool> {
        let _ = (offset, from);
        Ok(false)
    }

    /// Takes note that all that is not zero in a range has been put, with its sum. Called as
    /// [`put`](Self::put) is, after it, for all but what is shared; ranges that are all zero are not
    /// told.
    ///
    /// # Errors
    /// As `put`.
    fn done(&self, range: Range<u64>, sum: ContentSum) -> Result<()> {
        let _ = (range, sum);
        Ok(())
    }

    /// What an earlier, interrupted run has put already.
    ///
    /// # Errors
    /// What the target reports.
    fn already_done(&self) -> Result<Done> {
        Ok(Done::default())
    }

    /// Makes the target complete: only now may it look finished. `content` is the sum of all that it holds;
    /// `None` where something was never read: what is shared, for one.
    ///
    /// # Errors
    /// What the target reports.
    fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt>;
}

/// What an earlier run has put into a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Where; ascending, at multiples of 4 KiB or up to the end of the device.
    pub ranges: Vec<Range<u64>>,
    /// The sum of what is there; `None` if that is not known.
    pub sum: Option<ContentSum>,
}

impl Default for Done {
    /// Nothing, whose sum is known.
    fn default() -> Self {
        Self { ranges: Vec::new(), sum: Some(ContentSum::default()) }
    }
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
    /// The sum of the content, as it was sent; `None` if that is not known.
    pub content: Option<ContentSum>,
    /// What went over a network, if it did.
    pub sent: Option<Sent>,
}

/// What went over a network into a target, and the proof that it arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests that carried data.
    pub puts: u64,
    /// Their bytes, with the zeros between data that were sent along.
    pub bytes: u64,
    /// Pieces that were read back, each with the sum that it was sent with.
    pub read_back: u64,
    /// Pieces that there are.
    pub pieces: u64,
}

/// How to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Threads; 0 means one per core.
    pub threads: usize,
}

/// Copies all of `source` into `sink` and finishes it.
///
/// Zero extents are never read; zeros inside data are found in blocks of 4 KiB. Neither is sent to a sink
/// that starts zeroed, unless it wants longer runs. What the sink can share with the source's file is not
/// read either. Each thread holds one buffer, of the sink's unit.
///
/// # Errors
/// The first error of either side; the sink is then left unfinished.
pub fn copy(
    source: &Disk,
    sink: Box<dyn Sink>,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Receipt> {
    run("copy", source, sink, options, observer)
}

fn run(
    step: &'static str,
    source: &Disk,
    sink: Box<dyn Sink>,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Receipt> {
    let caps = sink.caps();
    let granule = GRANULE.max(caps.alignment);
    let unit = caps.unit.min(caps.max_write).max(1).next_multiple_of(granule);
    let max_write = (caps.max_write - caps.max_write % caps.alignment.max(1)).max(caps.alignment).max(1);
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    let threads = match options.threads {
        0 if caps.waits => caps.parallel,
        0 => cores(),
        asked => asked,
    };
    let threads = threads.clamp(1, caps.parallel.max(1));
    // A pool of its own: a copy waits for disks and networks, which must not keep others' computing waiting.
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
        Error::io("copy", "cannot start the threads of a copy", std::io::Error::other(error))
    })?;

    observer.on(Event::started(step, Some(source.size())));
    let done = sink.already_done()?;
    let start = caps.start.min(unit).next_multiple_of(granule);
    let cut =
        Cut { unit: unit as u64, start: start as u64, granule: granule as u64, min_run: caps.min_run as u64 };
    let work = Work {
        source,
        sink: &*sink,
        caps: SinkCaps { max_write, ..caps },
        granule,
        unit,
        plan: Mutex::new(Plan::new(source, &*sink, done.ranges, cut)),
        turns: caps.ordered.then(Turns::new),
        sum: Mutex::default(),
        failed: OnceLock::new(),
        observer,
    };
    pool.broadcast(|_| work.run());
    if let Some(error) = work.failed.into_inner() {
        return Err(error);
    }
    let shared = work.plan.into_inner().unwrap_or_else(PoisonError::into_inner).has_shared();
    let sum = work.sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let content = done.sum.filter(|_| !shared).map(|before| before.and(sum));
    let receipt = sink.finish(content)?;
    observer.on(Event::finished());
    Ok(receipt)
}

/// What the threads of a copy share.
struct Work<'a> {
    source: &'a Disk,
    sink: &'a dyn Sink,
    caps: SinkCaps,
    granule: usize,
    unit: usize,
    plan: Mutex<Plan<'a>>,
    /// Where the sink takes chunks in order.
    turns: Option<Turns>,
    sum: Mutex<ContentSum>,
    /// The first error; it stops every thread.
    failed: OnceLock<Error>,
    observer: &'a dyn Observer,
}

impl Work<'_> {
    /// What one thread does.
    fn run(&self) {
        let mut buf = vec![0; self.unit];
        while self.failed.get().is_none() {
            // Released before the step is done. A thread that panicked here takes the whole copy down with it
            // anyway.
            let taken = self.plan.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some((number, step)) = taken else { return };
            let turn = self.turns.as_ref().map_or(Turn::ANY, |turns| turns.of(number));
            let put = Put { sink: self.sink, caps: self.caps, granule: self.granule, turn };
            let done = self.observer.go_on().and(step).and_then(|step| self.step(step, &mut buf, &put));
            // Another thread may have failed first; its error is the one to tell. What waits for this turn learns of
            // it after that.
            let told = |error| drop(self.failed.set(error));
            match done {
                Ok(bytes) => match put.turn.end() {
                    Ok(()) => self.observer.on(Event::advanced(bytes)),
                    Err(error) => told(error),
                },
                Err(error) => told(error),
            }
        }
    }

    /// Does one step; gives its length.
    fn step(&self, step: Step, buf: &mut [u8], put: &Put<'_>) -> Result<u64> {
        let range = match step {
            Step::Skip(range) => range,
            Step::Zero(range) => {
                put.zero(range.clone())?;
                range
            }
            Step::Unit { range, data } => {
                let (mut sum, mut at) = (ContentSum::default(), range.start);
                for piece in data {
                    put.zero(at..piece.start)?;
                    at = piece.end;
                    let bytes = &mut buf[..(piece.end - piece.start) as usize];
                    self.source.read_at(bytes, piece.start)?;
                    sum = sum.and(put.bytes(bytes, piece.start)?);
                }
                put.zero(at..range.end)?;
                self.sink.done(range.clone(), sum)?;
                let mut total = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
                *total = total.and(sum);
                range
            }
        };
        Ok(range.end - range.start)
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
            let caps = SinkCaps { starts_zeroed: fill == 0, max_write, parallel: 8, ..SinkCaps::FILE };
            let sink = DeviceSink::with(tap_mut(&target, &log), caps);
            let receipt = copy(&source, Box::new(sink), &CopyOptions { threads }, &Silent).unwrap();
            assert!(content(&target.disk()) == bytes, "fill {fill}, {threads} threads, {max_write} at once");
            assert_eq!(receipt.size, SIZE);
            assert_eq!(receipt.content, Some(ContentSum::of(&bytes, 0)));

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

    /// What a sink was sent.
    struct Sent(SinkCaps, Arc<Mutex<Vec<Range<u64>>>>, DiskMut);

    impl Sink for Sent {
        fn caps(&self) -> SinkCaps {
            self.0
        }

        fn put(&self, chunk: Chunk<'_>) -> Result<()> {
            let (offset, len) = match chunk {
                Chunk::Data { offset, bytes } => {
                    assert!(
                        bytes.len() <= self.0.max_write.max(self.0.alignment),
                        "{} bytes at once",
                        bytes.len()
                    );
                    self.2.write_at(bytes, offset)?;
                    (offset, bytes.len() as u64)
                }
                Chunk::Zero { offset, len } => {
                    assert!(!self.0.starts_zeroed);
                    self.2.zero_range(offset..offset + len)?;
                    (offset, len)
                }
            };
            self.1.lock().unwrap().push(offset..offset + len);
            Ok(())
        }

        fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
            Ok(Receipt { content, ..Receipt::default() })
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// Whatever a sink can do, it gets every byte, and nothing else than it can.
        #[test]
        fn a_sink_gets_what_it_asked_for(
            seed in 0u64..1000, share in 0.0f64..1.0, tail in 0u64..5000, starts_zeroed: bool,
            alignment in 0u32..17, min_run in 0usize..200_000, max_write in 1usize..2_000_000, threads in 1usize..5,
        ) {
            let size = (2 << 20) + tail;
            let source = Disk::new(crate::testing::pattern::Pattern::new(size, seed, share));
            let bytes = source.read_vec(0, size as usize).unwrap();
            let alignment = 1 << alignment;
            let caps = SinkCaps { starts_zeroed, max_write, parallel: 4, alignment, min_run, ..SinkCaps::FILE };
            let target = DiskMut::new(Memory::new(vec![if starts_zeroed { 0 } else { 9 }; size as usize]));
            let sent = Arc::<Mutex<Vec<Range<u64>>>>::default();
            let sink = Sent(caps, sent.clone(), target.clone());
            let receipt = copy(&source, Box::new(sink), &CopyOptions { threads }, &Silent).unwrap();
            assert!(target.disk().read_vec(0, size as usize).unwrap() == bytes);
            assert_eq!(receipt.content, Some(ContentSum::of(&bytes, 0)));

            let mut sent = sent.lock().unwrap().clone();
            sent.sort_by_key(|range| range.start);
            assert!(sent.is_sorted_by(|a, b| a.end <= b.start), "ranges never overlap");
            for range in &sent {
                let aligned = |place: u64| place.is_multiple_of(alignment as u64);
                assert!(aligned(range.start) && (aligned(range.end) || range.end == size), "{range:?}");
            }
            // What is left out between two pieces of data is worth it, but where threads share the work.
            let unit = (max_write.min(UNIT)).next_multiple_of(GRANULE.max(alignment)) as u64;
            for gap in sent.windows(2).map(|two| two[0].end..two[1].start).filter(|gap| !gap.is_empty()) {
                let same_unit = gap.start / unit == gap.end / unit && !gap.start.is_multiple_of(unit);
                assert!(!same_unit || gap.end - gap.start >= min_run as u64, "{gap:?}");
            }
        }
    }

    /// What is taken at once starts near the data, wherever that is, and is as long as it may be.
    #[test]
    fn a_unit_starts_where_data_does() {
        let overlay = Overlay::new(Disk::new(Zeros::new(16 << 20))).unwrap();
        let writer = overlay.writer();
        // As long as a unit, over a multiple of its length; then a hole, and data up to the end.
        writer.write_at(&vec![1; 4 << 20], (3 << 20) + 4096).unwrap();
        writer.write_at(&vec![2; 3 << 20], 13 << 20).unwrap();
        let (source, sent) = (overlay.disk(), Arc::<Mutex<Vec<Range<u64>>>>::default());
        let whole = SinkCaps { unit: 4 << 20, start: 4 << 20, max_write: 4 << 20, ..SinkCaps::FILE };
        for (start, parts) in [(4 << 20, 3), (1 << 20, 3), (4096, 2), (1, 2)] {
            sent.lock().unwrap().clear();
            let target = DiskMut::new(Memory::new(vec![0; 16 << 20]));
            let sink = Sent(SinkCaps { start, ..whole }, sent.clone(), target.clone());
            copy(&source, Box::new(sink), &CopyOptions { threads: 2 }, &Silent).unwrap();
            assert_eq!(compare(&source, &target.disk(), &CopyOptions::default(), &Silent).unwrap(), None);
            assert_eq!(sent.lock().unwrap().len(), parts, "{start}: {:?}", sent.lock().unwrap());
        }
    }

    /// Checks that chunks come in order and one at a time, whatever is prepared meanwhile.
    struct InOrder(Mutex<u64>, Arc<AtomicU64>);

    impl Sink for InOrder {
        fn caps(&self) -> SinkCaps {
            SinkCaps { ordered: true, alignment: 64 << 10, ..SinkCaps::FILE }
        }

        fn put(&self, chunk: Chunk<'_>) -> Result<()> {
            let Chunk::Data { offset, bytes } = chunk else { panic!("zeros are there already") };
            let mut end = self.0.try_lock().expect("one at a time");
            assert!(*end <= offset, "{offset} after {end}");
            *end = offset + bytes.len() as u64;
            Ok(())
        }

        fn put_in_turn(&self, chunk: Chunk<'_>, turn: &Turn<'_>) -> Result<()> {
            // The first of several takes longest.
            let nth = self.1.fetch_add(1, Ordering::SeqCst);
            thread::sleep(std::time::Duration::from_millis(3 - nth % 4));
            turn.wait()?;
            self.put(chunk)
        }

        fn finish(self: Box<Self>, content: Option<ContentSum>) -> Result<Receipt> {
            Ok(Receipt { content, ..Receipt::default() })
        }
    }

    #[test]
    fn a_sink_that_takes_chunks_in_order_gets_them_so() {
        let (source, bytes) = source();
        for threads in [1, 2, 7] {
            let puts = Arc::<AtomicU64>::default();
            let sink = InOrder(Mutex::default(), puts.clone());
            let receipt = copy(&source, Box::new(sink), &CopyOptions { threads }, &Silent).unwrap();
            assert_eq!(receipt.content, Some(ContentSum::of(&bytes, 0)));
            assert!(puts.load(Ordering::SeqCst) >= 4);
        }
    }

    /// Those that wait for their turn end, too, and it is the first error that is told.
    #[test]
    fn a_failed_turn_ends_all() {
        let (source, _) = source();
        for failing in [0..1 << 20, 2 << 20..3 << 20, SIZE - 1..SIZE] {
            let faulty = Fault::new().range(failing).disk(&source);
            let sink = InOrder(Mutex::default(), Arc::default());
            let error = copy(&faulty, Box::new(sink), &CopyOptions { threads: 4 }, &Silent).unwrap_err();
            assert_eq!((error.kind(), error.layer()), (ErrorKind::Io, "fault"));
        }
    }

    #[test]
    fn an_empty_tebibyte_is_quick() {
        let sink = DeviceSink::new(target(0), true);
        copy(&Disk::new(Zeros::new(1 << 40)), Box::new(sink), &CopyOptions::default(), &Silent).unwrap();
    }
}
