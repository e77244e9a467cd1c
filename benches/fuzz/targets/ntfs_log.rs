//! See `fuzz::ntfs_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::ntfs_log(input));
