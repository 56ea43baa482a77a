//! What holds for every history.

use std::collections::BTreeSet;

use super::history::{Fate, ten_years};
use super::oracle::must_keep;
use super::*;

const ZONES: [&str; 4] = [
    "Europe/Zurich",
    "America/New_York",
    "Pacific/Apia",
    "Australia/Lord_Howe",
];

/// Days with one backup and days with many, weeks without any.
const QUIET: Fate = Fate {
    a_day: 3,
    incomplete: 10,
    gap: 60,
    jump: None,
};

/// As above, with a clock that goes wrong.
const JUMPY: Fate = Fate {
    jump: Some(45),
    ..QUIET
};

fn tables() -> Vec<Retention> {
    let none = Retention::default;
    vec![
        Retention {
            daily: Some(7),
            weekly: Some(4),
            monthly: Some(12),
            ..none()
        },
        Retention {
            hourly: Some(24),
            daily: Some(7),
            weekly: Some(5),
            monthly: Some(3),
            yearly: Some(10),
            ..none()
        },
        Retention {
            weekly: Some(2),
            yearly: Some(3),
            last: Some(2),
            ..none()
        },
        Retention {
            monthly: Some(6),
            hourly: Some(5),
            ..none()
        },
        Retention {
            within: Some("30d".into()),
            last: Some(3),
            ..none()
        },
        Retention {
            within: Some("30d".into()),
            last_beyond: Some(3),
            daily: Some(1),
            monthly: Some(2),
            ..none()
        },
        Retention {
            last: Some(1),
            ..none()
        },
    ]
}

/// Calls `check` with policies, zones and histories.
fn for_all(fate: Fate, check: impl Fn(&Retention, &[Candidate], &TimeZone, &str)) {
    for (number, table) in tables().iter().enumerate() {
        for (seed, name) in (number as u64 * 10..).zip(ZONES) {
            let backups = ten_years(seed, fate);
            check(
                table,
                &backups,
                &zone(name),
                &format!("{table:?} {name} seed {seed}"),
            );
        }
    }
}

/// What is left after the rules were carried out when each backup had been made, with the clock that it was made by.
fn step_by_step(table: &Retention, backups: &[Candidate], zone: &TimeZone) -> Vec<Candidate> {
    let policy = policy(table.clone());
    let mut left: Vec<Candidate> = Vec::new();
    for backup in backups {
        left.push(backup.clone());
        let kept = kept(&policy, &left, backup.time, zone);
        left.retain(|backup| kept.contains(&backup.id));
    }
    left
}

#[test]
fn what_the_rules_name_is_kept_and_nothing_else() {
    for_all(QUIET, |table, backups, zone, case| {
        for share in [1, 7, 50, 100] {
            let backups = &backups[..backups.len() * share / 100];
            let Some(last) = backups.last() else { continue };
            let kept = kept(&policy(table.clone()), backups, last.time, zone);
            let expected = must_keep(table, backups, last.time, zone);
            assert_eq!(
                kept.into_iter().collect::<BTreeSet<_>>(),
                expected,
                "{case}"
            );
        }
    });
}

#[test]
fn with_a_clock_that_jumps_nothing_that_the_rules_name_is_lost_at_any_time() {
    for_all(JUMPY, |table, backups, zone, case| {
        let policy = policy(table.clone());
        let mut left: Vec<Candidate> = Vec::new();
        for backup in backups {
            left.push(backup.clone());
            let now = backup.time;
            let kept = kept(&policy, &left, now, zone);
            let expected = must_keep(table, &left, now, zone);
            assert_eq!(
                kept.iter().cloned().collect::<BTreeSet<_>>(),
                expected,
                "{case} {now}"
            );
            // The one just made is kept, whatever a wrong clock said before.
            assert!(kept.contains(&backup.id), "{case} {now}");
            left.retain(|backup| kept.contains(&backup.id));
        }
    });
}

#[test]
fn forgetting_after_every_backup_ends_as_forgetting_once() {
    for_all(QUIET, |table, backups, zone, case| {
        let now = backups.last().expect("one").time;
        let left = step_by_step(table, backups, zone);
        let left: Vec<String> = left.into_iter().map(|backup| backup.id).collect();
        assert_eq!(
            left,
            kept(&policy(table.clone()), backups, now, zone),
            "{case}"
        );
    });
}

#[test]
fn forgetting_from_the_newest_on_may_be_interrupted_anywhere() {
    for_all(JUMPY, |table, backups, zone, case| {
        let policy = policy(table.clone());
        let now = backups.last().expect("one").time;
        let whole = kept(&policy, backups, now, zone);
        let mut times: Vec<Timestamp> = backups.iter().map(|backup| backup.time).collect();
        times.sort_unstable();
        // Where it was done with the first of them, this is a second application.
        for done in [0, 1, 10, 40, 60, 90, 95, 99] {
            let since = times[times.len() * done / 100];
            let mut left = backups.to_vec();
            left.retain(|backup| backup.time < since || whole.contains(&backup.id));
            assert_eq!(kept(&policy, &left, now, zone), whole, "{case} {done} %");
        }
    });
}

#[test]
fn the_newest_complete_backup_is_never_forgotten() {
    for_all(JUMPY, |table, backups, zone, case| {
        for end in (1..backups.len()).step_by(97) {
            let (backups, now) = (&backups[..end], backups[end - 1].time);
            let complete = backups.iter().filter(|b| b.is_complete);
            let by_time = |backup: &&Candidate| (backup.time, backup.id.clone());
            let kept = kept(&policy(table.clone()), backups, now, zone);
            for newest in [
                complete.clone().max_by_key(by_time),
                complete.filter(|b| b.time <= now).max_by_key(by_time),
            ] {
                assert!(newest.is_none_or(|b| kept.contains(&b.id)), "{case} {now}");
            }
        }
    });
}

#[test]
fn an_incomplete_backup_never_displaces_a_complete_one() {
    let fate = Fate {
        incomplete: 2,
        ..JUMPY
    };
    for_all(fate, |table, backups, zone, case| {
        let policy = policy(table.clone());
        let now = backups.last().expect("one").time;
        let complete: Vec<_> = backups.iter().filter(|b| b.is_complete).cloned().collect();
        let alone = kept(&policy, &complete, now, zone);
        let mut beside = kept(&policy, backups, now, zone);
        beside.retain(|id| complete.iter().any(|backup| backup.id == *id));
        assert_eq!(beside, alone, "{case}");
    });
}

#[test]
fn no_policy_loses_anything_without_a_rule() {
    let backups = ten_years(1, JUMPY);
    let now = backups[backups.len() / 2].time;
    let all: Vec<String> = backups.iter().map(|backup| backup.id.clone()).collect();
    let none = policy(Retention::default());
    assert_eq!(kept(&none, &backups, now, &TimeZone::UTC), all);
}
