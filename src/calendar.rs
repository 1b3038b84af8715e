//! Calendar dates in UTC, for logs and file names. A static binary in a chroot has no time
//! zone files.

use std::time::{SystemTime, UNIX_EPOCH};

/// A date and time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcTime {
    year: i64,
    month: u32,
    day: u32,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u64,
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAY_MS: u64 = 86_400_000;

/// Milliseconds since the start of 1970; 0 for earlier times.
pub fn since_1970_ms(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl UtcTime {
    /// The date and time `wall_ms` milliseconds after the start of 1970.
    pub fn of(wall_ms: u64) -> UtcTime {
        let (year, month, day) = date(i64::try_from(wall_ms / DAY_MS).unwrap_or(i64::MAX / 4));
        let of_day_ms = wall_ms % DAY_MS;
        UtcTime {
            year,
            month,
            day,
            hour: of_day_ms / 3_600_000,
            minute: of_day_ms / 60_000 % 60,
            second: of_day_ms / 1000 % 60,
            millisecond: of_day_ms % 1000,
        }
    }

    /// ISO 8601: `2026-11-22T17:02:58.123Z`.
    pub fn iso(&self) -> String {
        let UtcTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millisecond,
        } = self;
        format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }

    /// Digits only, to the second: `20261122170258`.
    pub fn digits(&self) -> String {
        let UtcTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
    }

    /// The format of HAProxy's logs: `22/Nov/2026:17:02:58.123`.
    pub fn haproxy(&self) -> String {
        let UtcTime {
            year,
            day,
            hour,
            minute,
            second,
            millisecond,
            ..
        } = self;
        let month = MONTHS[self.month as usize - 1];
        format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02}.{millisecond:03}")
    }
}

/// Year, month and day, `days` after 1970-01-01.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`. Years
/// count from March, so that the leap day comes last.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "1 to 12 and 1 to 31"
)]
fn date(days: i64) -> (i64, u32, u32) {
    const ERA_DAYS: i64 = 146_097;
    let days = days + 719_468;
    let era = days.div_euclid(ERA_DAYS);
    let of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (
        year_of_era + era * 400 + i64::from(month <= 2),
        month as u32,
        day as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_what_the_calendar_says() {
        for (seconds, iso) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (1_795_366_978, "2026-11-22T17:02:58.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(UtcTime::of(seconds * 1000).iso(), iso);
        }
    }

    #[test]
    fn digits_sort_as_the_moments_do() {
        assert_eq!(UtcTime::of(1_795_366_978_123).digits(), "20261122170258");
        assert_eq!(UtcTime::of(0).digits(), "19700101000000");
    }

    #[test]
    fn haproxy_writes_the_month_as_a_word() {
        assert_eq!(
            UtcTime::of(1_795_366_978_123).haproxy(),
            "22/Nov/2026:17:02:58.123"
        );
    }
}
