//! Points in time as Go prints and reads them: RFC 3339 with up to nanoseconds, years 0 to 9999.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

const DAY: i64 = 86_400;

/// A point in time with nanoseconds, and the offset from UTC that it is written with. Only the instant is compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileTime {
    /// Since 1970-01-01T00:00:00Z, negative before.
    pub seconds: i64,
    /// Of the second, always counted forward: 0 to 999,999,999.
    pub nanoseconds: u32,
    /// East of UTC; what we write ourselves is in UTC.
    pub offset_minutes: i16,
}

impl std::fmt::Display for FileTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::new();
        self.push(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl FileTime {
    /// In UTC.
    pub fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self {
            seconds,
            nanoseconds,
            offset_minutes: 0,
        }
    }

    /// From nanoseconds since 1970-01-01T00:00:00Z.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        let billion = 1_000_000_000;
        Self::new(
            nanoseconds.div_euclid(billion),
            u32::try_from(nanoseconds.rem_euclid(billion))
                .expect("a remainder of a billion fits u32"),
        )
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z, or the nearest that an `i64` can hold (years 1677 to 2262).
    pub fn as_nanoseconds(self) -> i64 {
        let nanoseconds = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds);
        nanoseconds
            .try_into()
            .unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
    }

    /// The present moment.
    pub fn now() -> Self {
        Self::from_nanoseconds(crate::time::Time::now().nanoseconds())
    }

    /// Appends what Go's `time.RFC3339Nano` prints. A year outside of 0 to 9999 becomes the nearest of these, as in restic.
    pub(crate) fn push(self, out: &mut Vec<u8>) {
        let local = self
            .seconds
            .saturating_add(i64::from(self.offset_minutes) * 60);
        let (year, month, day) = civil_from_days(local.div_euclid(DAY));
        let clamped = year.clamp(0, 9999);
        // The 29th of February becomes the 1st of March where the nearest year has none.
        let (year, month, day) = match clamped == year {
            true => (year, month, day),
            false => civil_from_days(days_from_civil(clamped, month, day)),
        };
        let second = local.rem_euclid(DAY);
        push_digits(out, year, 4);
        out.push(b'-');
        push_digits(out, month, 2);
        out.push(b'-');
        push_digits(out, day, 2);
        out.push(b'T');
        push_digits(out, second / 3600, 2);
        out.push(b':');
        push_digits(out, second / 60 % 60, 2);
        out.push(b':');
        push_digits(out, second % 60, 2);
        if self.nanoseconds != 0 {
            let (mut fraction, mut digits) = (self.nanoseconds, 9);
            while fraction % 10 == 0 {
                fraction /= 10;
                digits -= 1;
            }
            out.push(b'.');
            push_digits(out, i64::from(fraction), digits);
        }
        if self.offset_minutes == 0 {
            out.push(b'Z');
        } else {
            out.push(if self.offset_minutes < 0 { b'-' } else { b'+' });
            let minutes = i64::from(self.offset_minutes).abs();
            push_digits(out, minutes / 60, 2);
            out.push(b':');
            push_digits(out, minutes % 60, 2);
        }
    }

    /// Reads RFC 3339 with any number of digits of a second. `None` if it is something else.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (date_time, rest) = text.split_at_checked(19)?;
        let number = |from: usize, to: usize| digits(date_time.get(from..to)?);
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if separators
            .iter()
            .any(|(at, byte)| date_time.get(*at) != Some(byte))
        {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month)
            || !(1..=days_of(year, month)).contains(&day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let (nanoseconds, rest) = fraction(rest)?;
        let offset = offset(rest)?;
        let local = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
        Some(Self {
            seconds: local - offset * 60,
            nanoseconds,
            offset_minutes: i16::try_from(offset).ok()?,
        })
    }
}

impl PartialEq for FileTime {
    fn eq(&self, other: &Self) -> bool {
        self.seconds == other.seconds && self.nanoseconds == other.nanoseconds
    }
}

impl Eq for FileTime {}

impl Hash for FileTime {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.seconds, self.nanoseconds).hash(state);
    }
}

impl Ord for FileTime {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanoseconds).cmp(&(other.seconds, other.nanoseconds))
    }
}

impl PartialOrd for FileTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn push_digits(out: &mut Vec<u8>, mut value: i64, digits: usize) {
    let mut text = [b'0'; 9];
    for digit in text[..digits].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&text[..digits]);
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Nanoseconds and what follows the fraction, if there is one. Digits past the ninth are cut off, as Go does.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = text.split_at_checked(length)?;
    if fraction.is_empty() {
        return None;
    }
    let mut nanoseconds = 0;
    for at in 0..9 {
        nanoseconds = nanoseconds * 10 + fraction.get(at).map_or(0, |byte| u32::from(byte - b'0'));
    }
    Some((nanoseconds, rest))
}

/// Minutes east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text.split_first()? {
        (b'Z', []) => return Some(0),
        (b'+', text) => (1, text),
        (b'-', text) => (-1, text),
        _ => return None,
    };
    let (hours, minutes) = match text {
        [_, _, b':', _, _] => (digits(&text[..2])?, digits(&text[3..])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years begin in March here, so that a leap day is a year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0000-01-01T00:00:00Z and the second after 9999-12-31T23:59:59Z.
    const FIRST_SECOND: i64 = -62_167_219_200;
    const END_SECOND: i64 = 253_402_300_800;

    fn print(time: FileTime) -> String {
        let mut out = Vec::new();
        time.push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_printed_and_read_like_go_does() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1969-12-31T23:59:59.5Z", -1, 500_000_000),
            (
                "2026-11-20T14:12:28.344574186+01:00",
                1_795_180_348,
                344_574_186,
            ),
            ("2024-02-29T12:00:00.00000001-09:30", 1_709_242_200, 10),
            ("0000-01-01T00:00:00Z", FIRST_SECOND, 0),
            (
                "9999-12-31T23:59:59.999999999Z",
                END_SECOND - 1,
                999_999_999,
            ),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ] {
            let time = FileTime::parse(text.as_bytes()).expect(text);
            assert_eq!((time.seconds, time.nanoseconds), (seconds, nanoseconds));
            assert_eq!(print(time), text);
        }
    }

    #[test]
    fn every_day_of_ten_thousand_years_survives() {
        for day in FIRST_SECOND / DAY..END_SECOND / DAY {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
            assert!((1..=days_of(year, month)).contains(&date));
        }
    }

    #[test]
    fn years_that_go_cannot_print_become_the_nearest() {
        assert_eq!(
            print(FileTime::new(END_SECOND, 1)),
            "9999-01-01T00:00:00.000000001Z"
        );
        assert_eq!(
            print(FileTime::new(FIRST_SECOND - 1, 0)),
            "0000-12-31T23:59:59Z"
        );
        let leap_day = days_from_civil(12_000, 2, 29) * DAY;
        assert_eq!(print(FileTime::new(leap_day, 0)), "9999-03-01T00:00:00Z");
        assert_eq!(print(FileTime::new(i64::MAX, 0)).len(), 20);
        assert_eq!(print(FileTime::new(i64::MIN, 0)).len(), 20);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T14:12:28",
            "2026-11-20 14:12:28Z",
            "2026-13-20T14:12:28Z",
            "2025-02-29T14:12:28Z",
            "2026-11-20T24:12:28Z",
            "2026-11-20T14:12:28.Z",
            "2026-11-20T14:12:28+1:00",
            "2026-11-20T14:12:28+24:00",
            "2026-11-20T14:12:28Zz",
            "+026-11-20T14:12:28Z",
        ] {
            assert!(FileTime::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn the_offset_does_not_count_in_a_comparison() {
        assert_eq!(
            FileTime::parse(b"2026-11-20T14:12:28+01:00"),
            FileTime::parse(b"2026-11-20T13:12:28Z")
        );
        assert_eq!(
            FileTime::from_nanoseconds(-1),
            FileTime::new(-1, 999_999_999)
        );
        assert_eq!(FileTime::from_nanoseconds(-1).as_nanoseconds(), -1);
        assert_eq!(FileTime::new(i64::MAX, 0).as_nanoseconds(), i64::MAX);
    }
}
