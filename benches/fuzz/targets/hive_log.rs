//! See `fuzz::hive_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::hive_log(input));
