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

/// Sixty backups a day for ten days, at uneven distances, a few of them incomplete.
fn sixty_a_day(start: &str) -> Vec<Candidate> {
    let start: Timestamp = start.parse().expect("a time");
    let backups = (0..600).map(|number| {
        let second = start.as_second() + number * 1_440 + number * 7_919 % 1_200;
        Candidate {
            id: format!("{number:05}"),
            time: Timestamp::from_second(second).expect("in range"),
            is_complete: number % 19 != 0,
        }
    });
    backups.collect()
}

/// An hour that comes twice is two, and one that is left out takes nothing away.
#[test]
fn many_backups_a_day_are_counted_by_the_hour_when_the_clock_changes() {
    let check = |name: &str, start: &str, hours_that_come_twice: usize| {
        let (backups, zone) = (sixty_a_day(start), zone(name));
        let now = backups.last().expect("one").time;
        let hourly = |hourly| Retention {
            hourly: Some(hourly),
            daily: Some(3),
            ..Retention::default()
        };
        for table in [3, 24, 60].map(hourly) {
            for (end, last) in backups.iter().enumerate().step_by(7) {
                let backups = &backups[..=end];
                let kept = kept(&policy(table.clone()), backups, last.time, &zone);
                let expected = must_keep(&table, backups, last.time, &zone);
                let kept: BTreeSet<String> = kept.into_iter().collect();
                assert_eq!(kept, expected, "{name} {table:?} {}", last.time);
            }
            let left = step_by_step(&table, &backups, &zone);
            let left: Vec<String> = left.into_iter().map(|backup| backup.id).collect();
            assert_eq!(left, kept(&policy(table), &backups, now, &zone), "{name}");
        }
        let kept = kept(&policy(hourly(1_000)), &backups, now, &zone);
        let complete = backups.iter().filter(|it| it.is_complete);
        let kept = complete.filter(|it| kept.contains(&it.id));
        let clock = |it: &Candidate| it.time.to_zoned(zone.clone()).strftime("%F %H").to_string();
        let hours: Vec<String> = kept.map(clock).collect();
        let different: BTreeSet<&String> = hours.iter().collect();
        let twice = hours.len() - different.len();
        assert_eq!(twice, hours_that_come_twice, "{name} {start}");
        assert!(different.len() >= 238, "{name}: every hour has a backup");
    };
    check("Europe/Zurich", "2026-10-20T00:00:00Z", 1);
    check("Europe/Zurich", "2026-03-24T00:00:00Z", 0);
    check("America/New_York", "2026-10-27T00:00:00Z", 1);
    check("America/New_York", "2026-03-03T00:00:00Z", 0);
    // By half an hour.
    check("Australia/Lord_Howe", "2026-03-31T00:00:00Z", 1);
    check("Australia/Lord_Howe", "2026-09-29T00:00:00Z", 0);
}
