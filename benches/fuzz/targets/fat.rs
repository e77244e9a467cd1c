//! See `fuzz::fat`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::fat(input));
