//! Days of the calendar, as 2026-12-24.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{Duration, OffsetDateTime};

/// The day so many days from now, in UTC.
pub(crate) fn in_days(days: u64) -> String {
    of_epoch(number(SystemTime::now()) + days)
}

/// The day of this time, in UTC.
pub(crate) fn of(time: SystemTime) -> String {
    of_epoch(number(time))
}

/// The number of its day, where 1970-01-01 has 0.
fn number(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400
}

/// The day with this number, where 1970-01-01 has 0.
fn of_epoch(days: u64) -> String {
    let days = Duration::days(i64::try_from(days).unwrap_or(i64::MAX / 86_400));
    OffsetDateTime::UNIX_EPOCH.date().saturating_add(days).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        for (days, day) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_786, "2026-11-29"),
            (20_818, "2026-12-31"),
            (20_819, "2027-01-01"),
        ] {
            assert_eq!(of_epoch(days), day);
        }
    }
}
