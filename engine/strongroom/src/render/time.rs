//! Times and durations for people, in the zone that the caller names, and back. Nothing here looks at a clock.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a person wrote: a time with its offset (`2026-03-01T13:05:00Z`), or one of the machine's own zone (`2026-03-01 14:05`).
pub fn instant(text: &str) -> Result<Timestamp, String> {
    instant_in(text, &TimeZone::system())
}

fn instant_in(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local: DateTime = text
        .parse()
        .map_err(|_| "write it like 2026-03-01T14:05 or 2026-03-01T13:05:00Z".to_owned())?;
    // An hour that comes twice could mean either: the wrong one would restore too much or too little.
    let ambiguous = zone.to_ambiguous_timestamp(local);
    ambiguous.unambiguous().map_err(|_| {
        "the clock was changed then: write it with its offset, like 2026-03-01T13:05:00Z".to_owned()
    })
}

/// `2026-03-01 14:05`, for tables.
pub fn minute(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

/// `2026-03-01 14:05:09 CET`, where one moment is spoken of.
pub fn second(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z")
        .to_string()
}

/// `20260301-140509`, for file names.
pub fn compact(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y%m%d-%H%M%S")
        .to_string()
}

/// `just now`, `5 minutes ago`, `3 days ago`, `in 2 hours`.
pub fn relative(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - time.as_second();
    let (number, unit) = match seconds.unsigned_abs() {
        0..45 => return "just now".into(),
        seconds @ 45..5_400 => (rounded(seconds, 60), "minute"),
        seconds @ 5_400..129_600 => (rounded(seconds, 3_600), "hour"),
        seconds @ 129_600..5_184_000 => (rounded(seconds, 86_400), "day"),
        seconds @ 5_184_000..63_072_000 => (rounded(seconds, 2_629_800), "month"),
        seconds => (rounded(seconds, 31_557_600), "year"),
    };
    let counted = super::size::counted(number, unit);
    if seconds >= 0 {
        format!("{counted} ago")
    } else {
        format!("in {counted}")
    }
}

/// `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}

fn rounded(seconds: u64, unit: u64) -> u64 {
    ((seconds + unit / 2) / unit).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_from_where_one_stands() {
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let check = |ago: i64, expected: &str| {
            let time = Timestamp::from_second(now.as_second() - ago).expect("in range");
            assert_eq!(relative(time, now), expected, "{ago}");
        };
        check(0, "just now");
        check(-20, "just now");
        check(45, "1 minute ago");
        check(89 * 60, "89 minutes ago");
        check(90 * 60, "2 hours ago");
        check(36 * 3_600, "2 days ago");
        check(59 * 86_400, "59 days ago");
        check(90 * 86_400, "3 months ago");
        check(800 * 86_400, "2 years ago");
        check(-3 * 3_600, "in 3 hours");
    }

    #[test]
    fn a_duration_is_as_exact_as_anyone_cares() {
        let check = |seconds: f64, expected: &str| {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), expected);
        };
        check(0.04, "0.0 s");
        check(9.94, "9.9 s");
        check(9.96, "10 s");
        check(59.6, "1 min 00 s");
        check(185.0, "3 min 05 s");
        check(7_620.0, "2 h 07 min");
    }

    #[test]
    fn a_time_that_a_person_writes_is_of_the_zone_unless_it_says_otherwise() {
        let zone = TimeZone::get("Europe/Zurich").expect("bundled");
        let check = |text: &str, expected: Option<&str>| {
            let time = instant_in(text, &zone).ok().map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{text}");
        };
        check("2027-01-15 09:00", Some("2027-01-15T08:00:00Z"));
        check("2027-01-15T09:00:00.25", Some("2027-01-15T08:00:00.25Z"));
        check("2027-01-15T09:00:00Z", Some("2027-01-15T09:00:00Z"));
        check("2027-01-15 09:00:00-05:00", Some("2027-01-15T14:00:00Z"));
        check("2027-10-31 02:30", None);
        check("2027-10-31 02:30:00+01:00", Some("2027-10-31T01:30:00Z"));
        check("yesterday", None);
    }

    #[test]
    fn a_moment_is_shown_in_the_callers_zone() {
        let zone = TimeZone::get("Europe/Zurich").expect("bundled");
        let time = Timestamp::from_second(1_800_000_000).expect("in range");
        assert_eq!(minute(time, &zone), "2027-01-15 09:00");
        assert_eq!(second(time, &zone), "2027-01-15 09:00:00 CET");
        assert_eq!(compact(time, &zone), "20270115-090000");
    }
}
