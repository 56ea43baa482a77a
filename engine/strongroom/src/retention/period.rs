//! Periods of the calendar: a moment and a time zone in, the name of the hour, day, week, month or year out.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// By the clock on the wall. The hour that comes twice when summer time ends is two of them.
    Hour,
    /// From midnight to midnight, however long that takes.
    Day,
    /// From Monday to Sunday, numbered as ISO 8601 has it.
    Week,
    /// Of the calendar.
    Month,
    /// Of the calendar.
    Year,
}

impl Period {
    /// The rule that counts such periods, as the configuration has it.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The period that `time` lies in. Two moments are in the same one if the names are the same.
    pub fn name(self, time: Timestamp, zone: &TimeZone) -> String {
        let local = time.to_zoned(zone.clone());
        let format = match self {
            Self::Hour => "%Y-%m-%d %H:00 %:z",
            Self::Day => "%Y-%m-%d",
            Self::Week => {
                let week = local.date().iso_week_date();
                return format!("week {}-W{:02}", week.year(), week.week());
            }
            Self::Month => "%Y-%m",
            Self::Year => "%Y",
        };
        local.strftime(format).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(period: Period, zone: &str, time: &str, expected: &str) {
        let zone = TimeZone::get(zone).expect("bundled");
        let time: Timestamp = time.parse().expect("a time");
        assert_eq!(period.name(time, &zone), expected);
    }

    #[test]
    fn a_day_is_the_one_of_the_zone() {
        check(Period::Day, "UTC", "2026-11-18T23:30:00Z", "2026-11-18");
        check(
            Period::Day,
            "Europe/Zurich",
            "2026-11-18T23:30:00Z",
            "2026-11-19",
        );
        // The day that Samoa left out.
        check(
            Period::Day,
            "Pacific/Apia",
            "2011-12-30T09:59:59Z",
            "2011-12-29",
        );
        check(
            Period::Day,
            "Pacific/Apia",
            "2011-12-30T10:00:00Z",
            "2011-12-31",
        );
    }

    #[test]
    fn a_week_begins_on_monday_and_belongs_to_the_year_of_its_thursday() {
        check(Period::Week, "UTC", "2026-11-15T23:59:59Z", "week 2026-W46");
        check(Period::Week, "UTC", "2026-11-16T00:00:00Z", "week 2026-W47");
        check(Period::Week, "UTC", "2027-01-03T12:00:00Z", "week 2026-W53");
        check(Period::Week, "UTC", "2024-12-30T12:00:00Z", "week 2025-W01");
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours() {
        let zurich = "Europe/Zurich";
        let check = |time, expected| check(Period::Hour, zurich, time, expected);
        check("2026-10-25T00:30:00Z", "2026-10-25 02:00 +02:00");
        check("2026-10-25T01:30:00Z", "2026-10-25 02:00 +01:00");
        check("2026-03-29T00:59:59Z", "2026-03-29 01:00 +01:00");
        check("2026-03-29T01:00:00Z", "2026-03-29 03:00 +02:00");
    }

    #[test]
    fn months_and_years_are_those_of_the_zone() {
        check(Period::Month, "UTC", "2026-12-31T23:30:00Z", "2026-12");
        check(Period::Year, "UTC", "2026-12-31T23:30:00Z", "2026");
        let auckland = "Pacific/Auckland";
        check(Period::Month, auckland, "2026-12-31T23:30:00Z", "2027-01");
        check(Period::Year, auckland, "2026-12-31T23:30:00Z", "2027");
    }
}
