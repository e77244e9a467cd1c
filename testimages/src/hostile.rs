//! Damaged input: an error or a result, never a panic, a hang, or memory without bounds.
//!
//! Every case has its own seed, which a failure names, so that it can be had again alone. The memory is
//! counted by the allocator of the test's process, which the test file has to name:
//!
//!     #[global_allocator]
//!     static MEMORY: testimages::hostile::Memory = testimages::hostile::Memory;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

pub use fastrand::Rng;
pub use peak_alloc::PeakAlloc as Memory;

use crate::length::times;

/// How long one case may take, on a busy machine and in a build for tests.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `case` with `count` seeds: fifty times as many in a long run, a fifth in a quick one. The tests of
/// the process that run at the same time may hold `ceiling` bytes more than at the start, together.
///
/// # Panics
/// With the case that panicked, took too long, or broke through the ceiling.
pub fn cases(what: &str, count: u64, ceiling: usize, mut case: impl FnMut(&mut Rng)) {
    let count = times(count, count * 50);
    let before = Memory.current_usage();
    for seed in 0..count {
        let began = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(&mut Rng::with_seed(seed)))) {
            #[expect(clippy::print_stderr, reason = "what the failed test has to say")]
            {
                eprintln!("{what}: the case of seed {seed} panicked");
            }
            resume_unwind(panic);
        }
        let took = began.elapsed();
        assert!(took < PATIENCE, "{what}: the case of seed {seed} took {took:?}");
        let peak = Memory.peak_usage();
        assert!(
            peak <= before + ceiling,
            "{what}: {peak} bytes were held in the case of seed {seed} or before"
        );
    }
}

/// How long this thread has been at work, whatever else the machine does: the first number of `schedstat`
/// (`Documentation/scheduler/sched-stats.rst` of Linux), in nanoseconds.
///
/// # Panics
/// Where the kernel does not tell.
pub fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat of this thread");
    Duration::from_nanos(told.split(' ').next().and_then(|time| time.parse().ok()).expect("nanoseconds"))
}

/// Damages `bytes`, keeping their length: one to eight bytes, fields or bits, half of them in `hot`, where
/// the decisions are.
pub fn damage(random: &mut Rng, bytes: &mut [u8], hot: Range<usize>) {
    for _ in 0..=random.usize(..8) {
        let whole = 0..bytes.len();
        let place = if random.bool() { hot.clone() } else { whole };
        if place.is_empty() || bytes.len() < place.end {
            continue;
        }
        let at = random.usize(place);
        match random.u8(..6) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes[at] = random.u8(..),
            2 => bytes[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).unwrap_or(&0),
            // A field of four or eight bytes, where one might be: the largest, the smallest, or a neighbour
            // of what it was.
            3 => fill(bytes, at & !3, 4, *random.choice(&[0, 0xff]).unwrap_or(&0)),
            4 => fill(bytes, at & !7, 8, *random.choice(&[0, 0xff]).unwrap_or(&0)),
            _ => bytes[at] = bytes[at].wrapping_add(*random.choice(&[1, 0xff]).unwrap_or(&1)),
        }
    }
}

/// Damages `bytes` as [`damage`] does, or cuts pieces out of them, doubles some, or cuts the end off.
pub fn mangle(random: &mut Rng, bytes: &mut Vec<u8>, hot: Range<usize>) {
    if random.u8(..3) > 0 {
        damage(random, bytes, hot);
    }
    for _ in 0..random.usize(..4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.usize(..bytes.len());
        let piece = at..(at + random.usize(..64)).min(bytes.len());
        match random.u8(..8) {
            0 => bytes.truncate(at),
            1..4 => drop(bytes.drain(piece)),
            4..6 => drop(bytes.splice(at..at, bytes[piece].to_vec())),
            _ => {
                let copy = bytes[piece].to_vec();
                let to = random.usize(..=bytes.len());
                drop(bytes.splice(to..to, copy));
            }
        }
    }
}

fn fill(bytes: &mut [u8], at: usize, len: usize, byte: u8) {
    let end = bytes.len().min(at + len);
    bytes[at..end].fill(byte);
}
