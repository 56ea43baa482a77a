//! A policy: the rules of a table of the configuration, understood, and said in a sentence.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use strongroom_repository::{Error, ErrorKind, Result};

use super::cascade::Rule;
use super::period::Period;
use crate::config::model::Retention;
use crate::render::size::counted;

/// What is kept. A rule that counts to 0 is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// So many of the newest.
    pub last: usize,
    /// All that are not older than the newest by more.
    pub within: Option<Within>,
    /// So many of the newest that are older than `within`.
    pub last_beyond: usize,
    /// By the calendar, the finest first.
    pub calendar: Vec<Rule>,
}

/// An age, such as `30d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// As the configuration has it.
    pub text: String,
    number: i64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

impl Policy {
    /// Understands a table of the configuration.
    pub fn new(table: &Retention) -> Result<Self> {
        let within = table.within.as_deref().map(Within::parse).transpose()?;
        let count = |number: Option<u32>| number.unwrap_or(0) as usize;
        let last_beyond = count(table.last_beyond);
        if last_beyond > 0 && within.is_none() {
            return Err(wrong("has last_beyond without within")
                .hint("last_beyond counts backups that are older than within: add within = \"30d\", or say last"));
        }
        let calendar = [
            (Period::Hour, table.hourly),
            (Period::Day, table.daily),
            (Period::Week, table.weekly),
            (Period::Month, table.monthly),
            (Period::Year, table.yearly),
        ]
        .into_iter()
        .map(|(period, number)| Rule {
            period,
            count: count(number),
        })
        .filter(|rule| rule.count > 0)
        .collect();
        Ok(Self {
            last: count(table.last),
            within,
            last_beyond,
            calendar,
        })
    }

    /// Whether there is no rule, so that everything is kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What it keeps, as one sentence without its full stop.
    pub fn sentence(&self) -> String {
        if self.is_empty() {
            return "keeps everything: the policy has no rule".into();
        }
        let mut parts = Vec::new();
        for (stage, rule) in self.calendar.iter().enumerate() {
            let period = rule.period.as_str();
            let periods = counted(rule.count as u64, period);
            parts.push(match (stage, rule.count) {
                (0, 1) => format!("the newest of the last {period} that has one"),
                (0, _) => format!("the newest of each of the last {periods} that have one"),
                (_, 1) => format!("of those before, the oldest of a {period}"),
                (_, _) => format!("of those before, the oldest of each of {periods}"),
            });
        }
        if let Some(within) = &self.within {
            parts.push(format!("all within {} of the newest", within.text));
        }
        let newest = |count: usize| match count {
            1 => "the newest".to_owned(),
            _ => format!("the {count} newest"),
        };
        if self.last_beyond > 0 {
            parts.push(format!("{} of those older", newest(self.last_beyond)));
        }
        if self.last > 0 {
            parts.push(format!("in any case {}", newest(self.last)));
        }
        format!("keeps {}", parts.join("; "))
    }
}

impl Within {
    /// A number and `h`, `d`, `w`, `m` or `y`.
    pub fn parse(text: &str) -> Result<Self> {
        let parse = || {
            let unit = match text.chars().last()? {
                'h' => Unit::Hours,
                'd' => Unit::Days,
                'w' => Unit::Weeks,
                'm' => Unit::Months,
                'y' => Unit::Years,
                _ => return None,
            };
            let digits = text.get(..text.len() - 1)?;
            let number = digits.parse::<u32>().ok().filter(|number| *number > 0)?;
            Some(Self {
                text: text.to_owned(),
                number: number.into(),
                unit,
            })
        };
        parse().ok_or_else(|| {
            wrong(format!("has a wrong within: '{}'", text.escape_debug()))
                .hint("write a number and h, d, w, m (months) or y, such as \"30d\"")
        })
    }

    /// The moment from which on backups are young enough, beside one of `newest`. Days and longer are those of the calendar in `zone`.
    pub fn since(&self, newest: Timestamp, zone: &TimeZone) -> Timestamp {
        let span = match self.unit {
            Unit::Hours => Span::new().try_hours(self.number),
            Unit::Days => Span::new().try_days(self.number),
            Unit::Weeks => Span::new().try_weeks(self.number),
            Unit::Months => Span::new().try_months(self.number),
            Unit::Years => Span::new().try_years(self.number),
        };
        let since = span.and_then(|span| newest.to_zoned(zone.clone()).checked_sub(span));
        // Before the first year there is: everything is young enough.
        since.map_or(Timestamp::MIN, |since| since.timestamp())
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_counted_in_the_calendar_of_the_zone() {
        let check = |within: &str, newest: &str, zone: &str, expected: &str| {
            let within = Within::parse(within).expect("an age");
            let newest = newest.parse().expect("a time");
            let zone = TimeZone::get(zone).expect("bundled");
            assert_eq!(within.since(newest, &zone).to_string(), expected);
        };
        let newest = "2026-11-20T12:00:00Z";
        check("36h", newest, "UTC", "2026-11-19T00:00:00Z");
        check("30d", newest, "UTC", "2026-10-21T12:00:00Z");
        check("2w", newest, "UTC", "2026-11-06T12:00:00Z");
        check("1y", newest, "UTC", "2025-11-20T12:00:00Z");
        // Summer time has ended in between: noon is noon.
        check("30d", newest, "Europe/Zurich", "2026-10-21T11:00:00Z");
        check("720h", newest, "Europe/Zurich", "2026-10-21T12:00:00Z");
        // No 31st of February.
        check("1m", "2026-03-31T12:00:00Z", "UTC", "2026-02-28T12:00:00Z");
        // Longer than there is time.
        let ever = Timestamp::MIN.to_string();
        check("99999y", newest, "UTC", &ever);
    }

    #[test]
    fn an_age_that_is_none_is_refused_rather_than_left_out() {
        for text in ["", "d", "30", "0d", "-1d", "30 d", "30D", "1.5d", "3é"] {
            assert!(Within::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_lies_beyond_needs_something_to_lie_beyond() {
        let mut table = Retention {
            last_beyond: Some(3),
            ..Retention::default()
        };
        let error = Policy::new(&table).expect_err("refused");
        assert_eq!(error.to_string(), "has last_beyond without within");
        table.within = Some("30d".into());
        assert!(Policy::new(&table).is_ok());
    }

    #[test]
    fn a_policy_is_said_in_a_sentence() {
        let check = |table: Retention, expected: &str| {
            let policy = Policy::new(&table).expect("a policy");
            assert_eq!(policy.sentence(), expected);
        };
        check(
            Retention::default(),
            "keeps everything: the policy has no rule",
        );
        check(
            Retention {
                daily: Some(0),
                ..Retention::default()
            },
            "keeps everything: the policy has no rule",
        );
        check(
            Retention {
                daily: Some(7),
                weekly: Some(4),
                monthly: Some(12),
                ..Retention::default()
            },
            "keeps the newest of each of the last 7 days that have one; of those before, the oldest of each of 4 weeks; of those before, the oldest of each of 12 months",
        );
        check(
            Retention {
                within: Some("30d".into()),
                last_beyond: Some(3),
                ..Retention::default()
            },
            "keeps all within 30d of the newest; the 3 newest of those older",
        );
        check(
            Retention {
                within: Some("30d".into()),
                last: Some(3),
                ..Retention::default()
            },
            "keeps all within 30d of the newest; in any case the 3 newest",
        );
    }
}
