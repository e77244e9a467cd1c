//! See `fuzz::qcow2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::qcow2(input));
