//! See `fuzz::mbr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::mbr(input));
