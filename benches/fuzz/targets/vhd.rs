//! See `fuzz::vhd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::vhd(input));
