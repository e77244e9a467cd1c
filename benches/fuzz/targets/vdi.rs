//! See `fuzz::vdi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::vdi(input));
