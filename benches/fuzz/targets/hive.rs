//! See `fuzz::hive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::hive(input));
