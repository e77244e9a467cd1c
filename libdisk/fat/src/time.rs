//! Dates and times as directory entries hold them (FAT spec, "Date and Time Formats"), in UTC.

use vfs::Timestamp;

/// 1980-01-01, the first day that can be told, in days since 1970-01-01.
const FIRST_DAY: i64 = 3652;

/// 2107-12-31, the last one.
const LAST_DAY: i64 = 50_402;

const DAY: i64 = 86_400;

/// A date word and a time word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DosTime {
    pub(crate) date: u16,
    pub(crate) time: u16,
}

impl DosTime {
    /// The nearest earlier moment that can be told, or the first or last one.
    pub(crate) fn from_timestamp(timestamp: Timestamp) -> Self {
        let first = FIRST_DAY.saturating_mul(DAY);
        let last = LAST_DAY.saturating_add(1).saturating_mul(DAY).saturating_sub(2);
        let seconds = timestamp.seconds.clamp(first, last);
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let word = |high: i64, middle: i64, low: i64, widths: (u32, u32)| {
            let word = (high << widths.0) | (middle << widths.1) | low;
            u16::try_from(word).unwrap_or(0)
        };
        Self {
            date: word(year.saturating_sub(1980), month, day, (9, 5)),
            time: word(hour, minute, second / 2, (11, 5)),
        }
    }

    /// The moment; fields out of range count on, as in every reader.
    pub(crate) fn timestamp(self) -> Timestamp {
        let (date, time) = (i64::from(self.date), i64::from(self.time));
        let day = days((date >> 9).saturating_add(1980), (date >> 5 & 0xF).max(1), (date & 0x1F).max(1));
        let hours = (time >> 11).saturating_mul(3600);
        let minutes = (time >> 5 & 0x3F).saturating_mul(60);
        let seconds = (time & 0x1F).saturating_mul(2);
        let second = hours.saturating_add(minutes).saturating_add(seconds);
        Timestamp { seconds: day.saturating_mul(DAY).saturating_add(second), nanos: 0 }
    }
}

/// Days since 1970-01-01 of a day in the Gregorian calendar, for years from 1 on. Years are counted from
/// March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month.saturating_sub(3))
    } else {
        (year.saturating_sub(1), month.saturating_add(9))
    };
    let leap_days = (year / 4).saturating_sub(year / 100).saturating_add(year / 400);
    // 153 days are March to July, and August to December.
    let day_of_year = month.saturating_mul(153).saturating_add(2) / 5;
    year.saturating_mul(365)
        .saturating_add(leap_days)
        .saturating_add(day_of_year)
        .saturating_add(day)
        .saturating_sub(719_469)
}

/// Year, month and day of a number of days since 1970-01-01: the inverse of [`days`] from 1980 to 2107.
fn civil(day: i64) -> (i64, i64, i64) {
    let last_of = |first: i64, last: i64, starts: &dyn Fn(i64) -> i64| {
        (first..=last).rev().find(|candidate| starts(*candidate) <= day).unwrap_or(first)
    };
    let year = last_of(1980, 2107, &|year| days(year, 1, 1));
    let month = last_of(1, 12, &|month| days(year, month, 1));
    (year, month, day.saturating_sub(days(year, month, 1)).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // date -u -d @...
        for (seconds, date, time) in [
            (315_532_800, (1980, 1, 1), (0, 0, 0)),
            (951_782_400, (2000, 2, 29), (0, 0, 0)),
            (1_600_000_000, (2020, 9, 13), (12, 26, 40)),
            (4_107_542_398, (2100, 2, 28), (23, 59, 58)),
            (4_354_819_198, (2107, 12, 31), (23, 59, 58)),
        ] {
            let words = DosTime {
                date: ((date.0 - 1980) << 9) | (date.1 << 5) | date.2,
                time: (time.0 << 11) | (time.1 << 5) | (time.2 / 2),
            };
            let timestamp = Timestamp { seconds, nanos: 0 };
            assert_eq!(DosTime::from_timestamp(timestamp), words, "{seconds}");
            assert_eq!(words.timestamp(), timestamp, "{seconds}");
        }
    }

    #[test]
    fn every_day_there_and_back() {
        for day in FIRST_DAY..=LAST_DAY {
            let timestamp = Timestamp { seconds: day * DAY + 86_398, nanos: 0 };
            assert_eq!(DosTime::from_timestamp(timestamp).timestamp(), timestamp);
        }
    }

    #[test]
    fn moments_out_of_range_are_the_first_and_the_last() {
        let at = |seconds| DosTime::from_timestamp(Timestamp { seconds, nanos: 0 }).timestamp().seconds;
        assert_eq!(at(i64::MIN), 315_532_800);
        assert_eq!(at(i64::MAX), 4_354_819_198);
        assert_eq!(at(1_600_000_001), 1_600_000_000);
    }

    #[test]
    fn zero_words_are_a_moment() {
        assert_eq!(DosTime { date: 0, time: 0 }.timestamp().seconds, 315_532_800);
    }
}
