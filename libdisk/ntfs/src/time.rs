//! Times: units of 100 ns since 1601-01-01, UTC.

use vfs::{FsError, Result, Timestamp};

/// Seconds from then to 1970.
const EPOCH: i64 = 11_644_473_600;
const UNITS: u64 = 10_000_000;

/// A time of NTFS.
pub(crate) fn timestamp(time: u64) -> Timestamp {
    let seconds = i64::try_from(time.div_euclid(UNITS)).unwrap_or(i64::MAX).saturating_sub(EPOCH);
    let nanos = u32::try_from(time.rem_euclid(UNITS)).unwrap_or(0).saturating_mul(100);
    Timestamp { seconds, nanos }
}

/// A time of NTFS for some moment.
///
/// # Errors
/// `Invalid` for one that it cannot say.
pub(crate) fn from_timestamp(time: Timestamp) -> Result<u64> {
    let seconds = time.seconds.checked_add(EPOCH).and_then(|seconds| u64::try_from(seconds).ok());
    let units = seconds.and_then(|seconds| seconds.checked_mul(UNITS));
    let units = units.and_then(|units| units.checked_add(u64::from(time.nanos).div_euclid(100)));
    units.ok_or_else(|| FsError::Invalid("a time before 1601, or far from now".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        for (seconds, nanos) in [(0, 0), (1_700_000_000, 123_456_700), (-1, 900)] {
            let time = Timestamp { seconds, nanos };
            assert_eq!(timestamp(from_timestamp(time).unwrap()), time);
        }
        assert!(from_timestamp(Timestamp { seconds: -EPOCH - 1, nanos: 0 }).is_err());
    }
}
