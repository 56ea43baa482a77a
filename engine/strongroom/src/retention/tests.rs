//! Retention by example, and over ten simulated years.

mod examples;
mod history;
mod oracle;
mod properties;

use super::*;
use crate::config::model::Retention;
use jiff::Timestamp;
use jiff::tz::TimeZone;

fn policy(table: Retention) -> Policy {
    Policy::new(&table).expect("a policy")
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("bundled")
}

/// The ids of those that are kept, in the order of `backups`.
fn kept(policy: &Policy, backups: &[Candidate], now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let plan = plan(policy, backups, None, now, zone);
    let kept = backups.iter().zip(plan).filter(|(_, why)| !why.is_empty());
    kept.map(|(backup, _)| backup.id.clone()).collect()
}
