//! A moment as PostgreSQL writes it: nanoseconds since 1970 in, text in UTC out.

use strongroom_plugin::Timestamp;

/// `2026-03-01 14:05:09.123456+00`. Of what comes after the microseconds nothing stays.
pub(crate) fn utc(time: Timestamp) -> String {
    let microseconds = time.div_euclid(1000);
    let (seconds, fraction) = (
        microseconds.div_euclid(1_000_000),
        microseconds.rem_euclid(1_000_000),
    );
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:06}+00")
}

/// Year, month and day from days since 1970: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc() {
        let check = |time: i64, expected: &str| assert_eq!(utc(time), expected);
        check(0, "1970-01-01 00:00:00.000000+00");
        check(-1, "1969-12-31 23:59:59.999999+00");
        check(1_709_164_799_123_456_789, "2024-02-28 23:59:59.123456+00");
        check(1_709_164_800_000_000_000, "2024-02-29 00:00:00.000000+00");
        check(4_107_542_399_000_000_000, "2100-02-28 23:59:59.000000+00");
        check(4_107_542_400_000_000_000, "2100-03-01 00:00:00.000000+00");
    }
}
