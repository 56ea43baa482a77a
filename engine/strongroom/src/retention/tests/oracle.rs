//! What must be kept, found in another way than the program finds it: the backups are walked through in time, as if each were made and the
//! rules were carried out at once, with a queue for each rule of the calendar.

use std::collections::{BTreeSet, VecDeque};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::Candidate;
use crate::config::model::Retention;

/// The ids of those that `table` keeps.
pub(super) fn must_keep(
    table: &Retention,
    backups: &[Candidate],
    now: Timestamp,
    zone: &TimeZone,
) -> BTreeSet<String> {
    let mut in_time = backups.to_vec();
    in_time.sort_by_key(|backup| (backup.time, backup.id.clone()));
    let arrived = in_time.iter().filter(|backup| backup.time <= now);
    let arrived: Vec<&Candidate> = arrived.collect();
    let complete: Vec<&Candidate> = arrived.iter().copied().filter(|b| b.is_complete).collect();
    let mut keep = BTreeSet::new();
    let mut add = |backup: &Candidate| {
        keep.insert(backup.id.clone());
    };
    in_time
        .iter()
        .filter(|backup| backup.time > now)
        .for_each(&mut add);
    calendar(table, &complete, zone)
        .into_iter()
        .for_each(&mut add);
    let newest = |number: Option<u32>, of: &[&Candidate]| {
        let number = number.unwrap_or(0) as usize;
        of[of.len().saturating_sub(number)..]
            .iter()
            .map(|b| (*b).clone())
            .collect::<Vec<_>>()
    };
    newest(table.last, &complete).iter().for_each(&mut add);
    if let Some(days) = &table.within {
        let days: i64 = days
            .strip_suffix('d')
            .expect("days")
            .parse()
            .expect("a number");
        let since = complete.last().map_or(now, |newest| newest.time);
        let since = since
            .to_zoned(zone.clone())
            .checked_sub(Span::new().days(days));
        let since = since.expect("in range").timestamp();
        arrived
            .iter()
            .filter(|b| b.time >= since)
            .for_each(|b| add(b));
        let older: Vec<_> = complete
            .iter()
            .copied()
            .filter(|b| b.time < since)
            .collect();
        newest(table.last_beyond, &older).iter().for_each(&mut add);
    }
    newest(Some(1), &complete).iter().for_each(&mut add);
    let newest = complete
        .last()
        .map(|newest| (newest.time, newest.id.clone()));
    let newer = arrived
        .iter()
        .filter(|b| Some((b.time, b.id.clone())) > newest);
    newer.for_each(|b| add(b));
    keep
}

fn calendar<'a>(
    table: &Retention,
    complete: &[&'a Candidate],
    zone: &TimeZone,
) -> Vec<&'a Candidate> {
    type Key = (i64, i64);
    type Period = fn(Timestamp, &TimeZone) -> Key;
    let rules: [(Option<u32>, Period); 5] = [
        (table.hourly, |time, zone| {
            // Seconds of local time and the offset: together they tell the two hours of October apart.
            let offset = i64::from(zone.to_offset(time).seconds());
            ((time.as_second() + offset).div_euclid(3600), offset)
        }),
        (table.daily, |time, zone| (local_day(time, zone), 0)),
        (table.weekly, |time, zone| {
            // The first of January 1970 was a Thursday.
            ((local_day(time, zone) + 3).div_euclid(7), 0)
        }),
        (table.monthly, |time, zone| {
            let date = time.to_zoned(zone.clone()).date();
            (date.year().into(), date.month().into())
        }),
        (table.yearly, |time, zone| {
            (time.to_zoned(zone.clone()).year().into(), 0)
        }),
    ];
    let rules: Vec<(usize, Period)> = rules
        .into_iter()
        .filter_map(|(number, key)| Some((number? as usize, key)))
        .filter(|(number, _)| *number > 0)
        .collect();
    let mut queues: Vec<VecDeque<&Candidate>> = vec![VecDeque::new(); rules.len()];
    for backup in complete {
        let mut moving = Some(*backup);
        for (stage, ((number, key), queue)) in rules.iter().zip(&mut queues).enumerate() {
            let Some(arriving) = moving.take() else { break };
            let of = |backup: &Candidate| key(backup.time, zone);
            let is_same = queue.back().is_some_and(|last| of(last) == of(arriving));
            match (is_same, stage) {
                // Of the finest periods the newest stays, of the others the first that came.
                (true, 0) => *queue.back_mut().expect("there") = arriving,
                (true, _) => {}
                (false, _) => queue.push_back(arriving),
            }
            if queue.len() > *number {
                moving = queue.pop_front();
            }
        }
    }
    queues.into_iter().flatten().collect()
}

fn local_day(time: Timestamp, zone: &TimeZone) -> i64 {
    (time.as_second() + i64::from(zone.to_offset(time).seconds())).div_euclid(86_400)
}
