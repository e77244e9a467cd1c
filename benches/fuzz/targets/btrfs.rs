//! See `fuzz::btrfs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::btrfs(input));
