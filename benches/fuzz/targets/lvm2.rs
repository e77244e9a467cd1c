//! See `fuzz::lvm2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::lvm2(input));
