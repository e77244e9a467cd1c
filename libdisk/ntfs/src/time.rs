//! Times: units of 100 ns since 1601-01-01, UTC.

use vfs::Timestamp;

/// Seconds from then to 1970.
const EPOCH: i64 = 11_644_473_600;
const UNITS: u64 = 10_000_000;

/// A time of NTFS.
pub(crate) fn timestamp(time: u64) -> Timestamp {
    let seconds = i64::try_from(time.div_euclid(UNITS)).unwrap_or(i64::MAX).saturating_sub(EPOCH);
    let nanos = u32::try_from(time.rem_euclid(UNITS)).unwrap_or(0).saturating_mul(100);
    Timestamp { seconds, nanos }
}
