//! How much a run of the tests tries.
//!
//! `REFLOAT_QUICK` is for a run beside the work: random tests are short, and nothing is mounted, booted or
//! traced. `REFLOAT_LONG` is for a run of hours. Neither is what a submission is judged by.

use std::env::var_os;

/// Whether a run of two minutes was asked for.
pub fn quick() -> bool {
    var_os("REFLOAT_QUICK").is_some()
}

/// Whether a run of hours was asked for.
pub fn long() -> bool {
    var_os("REFLOAT_LONG").is_some()
}

/// How often a random test runs, which runs `usual` times for a submission.
pub fn times(usual: u64, when_long: u64) -> u64 {
    match (quick(), long()) {
        (true, _) => usual.div_ceil(5),
        (false, true) => when_long,
        (false, false) => usual,
    }
}
