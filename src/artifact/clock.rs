//! Dates as file names and reports have them, in UTC: a directory's name means the same on every machine that shares it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A date and time of day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Utc {
    year: i64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Utc {
    pub(super) fn of(time: SystemTime) -> Utc {
        // A clock before 1970 is broken; the epoch is as good a name as any.
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years begin in March, so that the leap day
        // is the last, in eras of 400 years.
        let days = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = (year_of_era + era * 400) as i64 + i64::from(month <= 2);
        let rest = seconds % 86_400;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        Utc { year, month, day, hour: rest / 3_600, minute: rest / 60 % 60, second: rest % 60 }
    }

    /// `20261124_171502`
    pub(super) fn stamp(self) -> String {
        let Utc { year, month, day, hour, minute, second } = self;
        format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")
    }

    /// `2026-11-24T17:15:02Z` (ISO 8601)
    pub(super) fn iso(self) -> String {
        let Utc { year, month, day, hour, minute, second } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_agree_with_date_1() {
        // date -u -d @SECONDS +%Y%m%d_%H%M%S
        for (seconds, stamp) in [
            (0, "19700101_000000"),
            (951_782_399, "20000228_235959"),
            (951_782_400, "20000229_000000"),
            (1_709_251_199, "20240229_235959"),
            (1_735_689_600, "20250101_000000"),
            (4_107_542_400, "21000301_000000"),
        ] {
            assert_eq!(Utc::of(UNIX_EPOCH + Duration::from_secs(seconds)).stamp(), stamp);
        }
        assert_eq!(Utc::of(UNIX_EPOCH + Duration::from_secs(1_709_251_199)).iso(), "2024-02-29T23:59:59Z");
        assert_eq!(Utc::of(UNIX_EPOCH - Duration::from_secs(5)).stamp(), "19700101_000000");
    }
}
