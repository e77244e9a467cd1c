//! See `fuzz::jbd2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::jbd2(input));
