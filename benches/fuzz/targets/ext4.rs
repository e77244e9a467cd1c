//! See `fuzz::ext4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::ext4(input));
