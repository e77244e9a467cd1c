//! See `fuzz::probe`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::probe(input));
