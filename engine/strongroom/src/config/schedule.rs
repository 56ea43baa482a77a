//! When a job runs by itself: cron expressions and time zones, text in, parsed out.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use jiff::tz::TimeZone;

/// A cron expression of five fields. The message says what is wrong with it.
pub fn parse_cron(text: &str) -> Result<Crontab, String> {
    let fields = text.split_whitespace().count();
    if fields != 5 {
        return Err(format!("has {fields} fields where cron has 5"));
    }
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    let normal = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cronexpr::parse_crontab_with(&normal, options).map_err(|error| {
        // The last line of the report is the reason, behind a caret that points into the line above.
        let report = error.to_string();
        let reason = report.lines().last().unwrap_or_default();
        format!(
            "is no cron expression: {}",
            reason.trim_start_matches([' ', '^', '|'])
        )
    })
}

/// A time zone by its IANA name.
pub fn parse_timezone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "is no known time zone".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expressions_of_the_handbook_are_taken() {
        for text in ["0 2 * * SUN", "0 2 * * MON-SAT", "*/15  * * * *"] {
            assert!(parse_cron(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_wrong_expression_says_why_in_one_line() {
        let check = |text, expected| {
            assert_eq!(parse_cron(text).err().as_deref(), Some(expected), "{text}");
        };
        check("0 2 * *", "has 4 fields where cron has 5");
        check("0 2 * * * UTC", "has 6 fields where cron has 5");
        check(
            "0 25 * * *",
            "is no cron expression: value must be in range 0..=23; found 25",
        );
    }

    #[test]
    fn a_time_zone_is_known_by_its_name() {
        assert!(parse_timezone("Europe/Zurich").is_ok());
        assert!(parse_timezone("Europe/Zurigo").is_err());
    }
}
