//! The plan for the backups of one source: policy, backups, now and time zone in; the reasons to keep each of them out.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cascade::{Dated, cascade};
use super::policy::Policy;
use super::reason::Reason;

/// A backup that is decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Of two that were made at the same moment, the one with the greater id counts as the newer.
    pub id: String,
    /// When it was made.
    pub time: Timestamp,
    /// Whether it holds all that it should.
    pub is_complete: bool,
}

/// The reasons to keep each of `candidates`, in their order. Those without a reason are to be forgotten.
///
/// `beside` is the time of the newest complete backup of the same source that another plan decides about; ages are counted from the newest of all.
///
/// Rules count complete backups only. One from the future is kept and not counted: a clock that was wrong once would otherwise make every
/// backup look old that is made after it was put right. When its time has come, it is as any other.
pub fn plan(
    policy: &Policy,
    candidates: &[Candidate],
    beside: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Vec<Reason>> {
    let mut reasons = vec![Vec::new(); candidates.len()];
    let mut keep = |backup: usize, reason: Reason| {
        if let Some(reasons) = reasons.get_mut(backup) {
            reasons.push(reason);
        }
    };
    if policy.is_empty() {
        (0..candidates.len()).for_each(|backup| keep(backup, Reason::NoRule));
        return reasons;
    }
    let mut newest_first: Vec<(usize, &Candidate)> = candidates.iter().enumerate().collect();
    newest_first.sort_by(|(_, a), (_, b)| (b.time, &b.id).cmp(&(a.time, &a.id)));
    let (future, past): (Vec<_>, Vec<_>) = newest_first
        .into_iter()
        .partition(|(_, candidate)| candidate.time > now);
    let complete: Vec<Dated> = past
        .iter()
        .filter(|(_, candidate)| candidate.is_complete)
        .map(|(backup, candidate)| (*backup, candidate.time))
        .collect();

    for (backup, reason) in cascade(&policy.calendar, &complete, zone) {
        keep(backup, reason);
    }
    for (position, (backup, _)) in complete.iter().take(policy.last).enumerate() {
        let (number, of) = (position + 1, policy.last);
        keep(*backup, Reason::Last { number, of });
    }
    if let Some(within) = &policy.within {
        // From the newest one on, not from now: a clock that runs ahead, or a job that has failed for long, would forget what is left.
        let newest = complete.first().map(|(_, time)| *time).max(beside);
        let since = within.since(newest.unwrap_or(now), zone);
        for (backup, _) in past.iter().filter(|(_, candidate)| candidate.time >= since) {
            keep(*backup, Reason::Within(within.text.clone()));
        }
        let older = complete.iter().filter(|(_, time)| *time < since);
        for (position, (backup, _)) in older.take(policy.last_beyond).enumerate() {
            let (number, of) = (position + 1, policy.last_beyond);
            keep(*backup, Reason::LastBeyond { number, of });
        }
    }
    if let Some((backup, _)) = complete.first() {
        keep(*backup, Reason::NewestComplete);
    }
    for (backup, _) in past
        .iter()
        .take_while(|(_, candidate)| !candidate.is_complete)
    {
        keep(*backup, Reason::NewerThanComplete);
    }
    for (backup, _) in future {
        keep(backup, Reason::Future);
    }
    reasons
}
