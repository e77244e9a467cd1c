//! Damaged volumes: anything may be refused, but nothing may panic, hang, or take memory without bound.

mod exercise;
mod mutation;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use block::testing::count::Count;
use block::{DiskMut, Memory};

pub use exercise::exercise;
pub use mutation::Mutation;

use super::Rng;
use crate::Result;

/// A sound volume to be damaged.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in reports.
    pub name: String,
    /// The whole volume; a few MiB.
    pub bytes: Vec<u8>,
    /// All that a driver parses of it; each is damaged as often as any other.
    pub structures: Vec<Structure>,
}

/// One kind of structure, by the format's own name, and the offsets of bytes that it consists of.
#[derive(Debug, Clone)]
pub struct Structure {
    /// "group descriptor", "extent tree".
    pub name: &'static str,
    /// Where it is.
    pub places: Vec<usize>,
}

impl Structure {
    /// The bytes of these blocks of `size` bytes that say something, and a few zeros.
    pub fn of_blocks(
        name: &'static str,
        bytes: &[u8],
        size: usize,
        blocks: impl IntoIterator<Item = usize>,
    ) -> Self {
        let says = |at: &usize| bytes.get(*at).is_some_and(|&byte| byte != 0 || at.is_multiple_of(16));
        let places = blocks.into_iter().flat_map(|block| block * size..(block + 1) * size).filter(says);
        Self { name, places: places.collect() }
    }
}

/// What a volume may cost, however damaged.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first to the last call; a machine may be busy, so this is generous.
    pub time: Duration,
    /// Reads of the device: work that does not depend on the machine.
    pub reads: u64,
    /// Bytes of the heap, over what was in use before.
    pub memory: usize,
}

/// The heap of the process, by a counting allocator; only a test's own binary can have one.
#[derive(Debug, Clone, Copy)]
pub struct Heap {
    /// Bytes in use.
    pub used: fn() -> usize,
    /// The most bytes in use since `restart`.
    pub peak: fn() -> usize,
    /// Forgets the peak.
    pub restart: fn(),
}

/// What a run showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Survived {
    /// Damaged volumes.
    pub cases: u64,
    /// Those that were opened.
    pub opened: u64,
    /// Transactions committed to them.
    pub commits: u64,
    /// The longest that one took.
    pub time: Duration,
    /// The most reads for one.
    pub reads: u64,
    /// The most memory that one took.
    pub memory: usize,
}

impl Survived {
    fn add(&mut self, case: Self) {
        self.cases += case.cases;
        self.opened += case.opened;
        self.commits += case.commits;
        self.time = self.time.max(case.time);
        self.reads = self.reads.max(case.reads);
        self.memory = self.memory.max(case.memory);
    }
}

/// Opens a volume, recovers it if need be, and uses it; the number of transactions committed.
pub type Attempt = fn(DiskMut, &mut Rng) -> Result<u64>;

/// A case that takes this much longer than it may is given up.
const HANGS: u32 = 10;

/// Damages `target` in `cases` ways that depend on nothing but their number, and lets `attempt` use each. One run at a
/// time, for the heap is the whole process's.
///
/// # Panics
/// If an attempt panics, hangs, or exceeds the limits; the message says which damage it was.
pub fn hostile(target: Target, cases: u64, limits: Limits, heap: Heap, attempt: Attempt) -> Survived {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Arc::new(target);
    let (results, received) = channel();
    let worker = {
        let target = Arc::clone(&target);
        thread::spawn(move || {
            for number in 0..cases {
                if results.send(case(&target, number, heap, attempt)).is_err() {
                    break;
                }
            }
        })
    };
    let mut survived = Survived::default();
    for number in 0..cases {
        let damage = || {
            let mutations = Mutation::of_case(&target, number);
            format!("{}, case {number}: {mutations:x?}", target.name)
        };
        match received.recv_timeout(limits.time * HANGS) {
            Ok(case) => {
                let fits =
                    case.time <= limits.time && case.reads <= limits.reads && case.memory <= limits.memory;
                assert!(fits, "{case:?} exceeds {limits:?}: {}", damage());
                survived.add(case);
            }
            Err(RecvTimeoutError::Timeout) => panic!("it hangs: {}", damage()),
            Err(RecvTimeoutError::Disconnected) => panic!("it panicked: {}", damage()),
        }
    }
    worker.join().expect("all cases were run");
    survived
}

fn case(target: &Target, number: u64, heap: Heap, attempt: Attempt) -> Survived {
    let mut bytes = target.bytes.clone();
    for mutation in Mutation::of_case(target, number) {
        mutation.apply(&mut bytes);
    }
    let count = Count::default();
    let device = count.disk_mut(&DiskMut::new(Memory::new(bytes)));
    (heap.restart)();
    let (before, start) = ((heap.used)(), Instant::now());
    let done = attempt(device, &mut Rng::new(number));
    Survived {
        cases: 1,
        opened: u64::from(done.is_ok()),
        commits: done.unwrap_or(0),
        time: start.elapsed(),
        reads: count.reads().requests,
        memory: (heap.peak)().saturating_sub(before),
    }
}
