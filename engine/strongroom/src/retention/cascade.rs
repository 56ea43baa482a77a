//! The rules of the calendar, grandfather, father and son: complete backups in, those that are kept out, each by one rule.
//!
//! The finest rule keeps the newest backup of each of its newest periods. What was the newest of its period and has left that window passes
//! on to the next coarser rule. There the first one of a period stays, and the later ones of the period are dropped when their turn comes:
//! the oldest daily of a week becomes the weekly, the oldest weekly of a month the monthly. So each rule keeps backups of its own, and what
//! a rule keeps never depends on what was dropped before.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::period::Period;
use super::reason::Reason;

/// How many periods of a kind keep a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Which periods.
    pub period: Period,
    /// How many that have a backup, at least 1.
    pub count: usize,
}

/// A backup: its number for the caller, and when it was made.
pub type Dated = (usize, Timestamp);

/// What `rules`, the finest first, keep of `newest_first`, which are complete.
pub fn cascade(rules: &[Rule], newest_first: &[Dated], zone: &TimeZone) -> Vec<(usize, Reason)> {
    let mut kept = Vec::new();
    let mut arrived = newest_first.to_vec();
    for (stage, rule) in rules.iter().enumerate() {
        let mut chosen = if stage == 0 {
            first_of_each(rule.period, arrived.iter(), zone)
        } else {
            let mut oldest_first = first_of_each(rule.period, arrived.iter().rev(), zone);
            oldest_first.reverse();
            oldest_first
        };
        let beyond = chosen.split_off(rule.count.min(chosen.len()));
        for (position, ((backup, _), name)) in chosen.into_iter().enumerate() {
            let reason = Reason::Calendar {
                rule: *rule,
                number: position + 1,
                name,
            };
            kept.push((backup, reason));
        }
        arrived = beyond.into_iter().map(|(backup, _)| backup).collect();
    }
    kept
}

/// The backup of each period that comes first, with the period's name.
fn first_of_each<'a>(
    period: Period,
    backups: impl Iterator<Item = &'a Dated>,
    zone: &TimeZone,
) -> Vec<(Dated, String)> {
    let mut seen = HashSet::new();
    backups
        .map(|backup| (*backup, period.name(backup.1, zone)))
        .filter(|(_, name)| seen.insert(name.clone()))
        .collect()
}
