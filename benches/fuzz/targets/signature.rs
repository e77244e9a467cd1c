//! See `fuzz::signature`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::signature(input));
