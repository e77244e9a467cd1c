//! See `fuzz::xfs_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::xfs_log(input));
