//! What people expect, with dates that can be looked up.

use super::*;

/// One complete backup at noon of each day up to `until`, which is named by its date.
fn daily(days: i64, until: &str) -> Vec<Candidate> {
    let until: jiff::civil::Date = until.parse().expect("a date");
    let day = |ago| {
        let date = until
            .checked_sub(jiff::Span::new().days(ago))
            .expect("in range");
        Candidate {
            id: date.to_string(),
            time: date
                .at(12, 0, 0, 0)
                .in_tz("UTC")
                .expect("a time")
                .timestamp(),
            is_complete: true,
        }
    };
    (0..days).rev().map(day).collect()
}

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

/// What is kept and why, newest first.
fn explained(table: Retention, backups: &[Candidate], now: &str) -> Vec<String> {
    let plan = plan(&policy(table), backups, None, at(now), &TimeZone::UTC);
    let kept = backups
        .iter()
        .zip(plan)
        .rev()
        .filter(|(_, why)| !why.is_empty());
    kept.map(|(backup, why)| {
        let why: Vec<String> = why.iter().map(ToString::to_string).collect();
        format!("{}: {}", backup.id, why.join(", "))
    })
    .collect()
}

#[test]
fn seven_four_and_twelve_are_three_and_twenty() {
    let table = Retention {
        daily: Some(7),
        weekly: Some(4),
        monthly: Some(12),
        ..Retention::default()
    };
    // The 20th of November 2026 is a Friday.
    let found = explained(table, &daily(3_650, "2026-11-20"), "2026-11-20T13:00:00Z");
    assert_eq!(
        found,
        [
            "2026-11-20: daily 1 of 7: 2026-11-20, newest complete",
            "2026-11-19: daily 2 of 7: 2026-11-19",
            "2026-11-18: daily 3 of 7: 2026-11-18",
            "2026-11-17: daily 4 of 7: 2026-11-17",
            "2026-11-16: daily 5 of 7: 2026-11-16",
            "2026-11-15: daily 6 of 7: 2026-11-15",
            "2026-11-14: daily 7 of 7: 2026-11-14",
            // The Monday has left the window of days already, the Sunday of its week has not.
            "2026-11-09: weekly 1 of 4: week 2026-W46",
            "2026-11-02: weekly 2 of 4: week 2026-W45",
            "2026-10-26: weekly 3 of 4: week 2026-W44",
            "2026-10-19: weekly 4 of 4: week 2026-W43",
            "2026-10-05: monthly 1 of 12: 2026-10",
            "2026-09-07: monthly 2 of 12: 2026-09",
            "2026-08-03: monthly 3 of 12: 2026-08",
            "2026-07-06: monthly 4 of 12: 2026-07",
            "2026-06-01: monthly 5 of 12: 2026-06",
            "2026-05-04: monthly 6 of 12: 2026-05",
            "2026-04-06: monthly 7 of 12: 2026-04",
            "2026-03-02: monthly 8 of 12: 2026-03",
            "2026-02-02: monthly 9 of 12: 2026-02",
            "2026-01-05: monthly 10 of 12: 2026-01",
            "2025-12-01: monthly 11 of 12: 2025-12",
            "2025-11-03: monthly 12 of 12: 2025-11",
        ]
    );
}

#[test]
fn within_and_last_keep_all_of_a_time_and_some_in_any_case() {
    let table = Retention {
        within: Some("30d".into()),
        last: Some(3),
        ..Retention::default()
    };
    let backups = daily(100, "2026-11-20");
    let found = explained(table.clone(), &backups, "2026-11-20T12:00:00Z");
    assert_eq!(found.len(), 31);
    assert_eq!(
        found[0],
        "2026-11-20: last 1 of 3, within 30d, newest complete"
    );
    assert_eq!(found[30], "2026-10-21: within 30d");
}

#[test]
fn without_new_backups_age_takes_none_away() {
    let check = |last_beyond| {
        let table = Retention {
            within: Some("30d".into()),
            last_beyond,
            ..Retention::default()
        };
        let mut backups = daily(100, "2026-11-20");
        let then = explained(table.clone(), &backups, "2026-11-20T12:00:00Z");
        // Two months without a backup, or a clock that runs ahead.
        for now in ["2027-01-20T12:00:00Z", "2199-01-01T00:00:00Z"] {
            assert_eq!(explained(table.clone(), &backups, now), then);
        }
        // Incomplete ones since: they stay, and age nothing.
        for day in ["2026-12-30", "2026-12-31"] {
            let mut failed = daily(1, day);
            failed[0].is_complete = false;
            backups.append(&mut failed);
        }
        let found = explained(table.clone(), &backups, "2027-01-20T12:00:00Z");
        assert_eq!(found.len(), then.len() + 2);
        assert_eq!(found[2..], then);
        // The first complete one ends that.
        backups.append(&mut daily(1, "2027-01-20"));
        let found = explained(table, &backups, "2027-01-20T12:00:00Z");
        assert_eq!(found[0], "2027-01-20: within 30d, newest complete");
        assert_eq!(found.len(), 3 + last_beyond.unwrap_or(0) as usize);
    };
    check(None);
    check(Some(3));
}

#[test]
fn within_and_last_beyond_keep_all_of_a_time_and_some_that_are_older() {
    let table = Retention {
        within: Some("30d".into()),
        last_beyond: Some(3),
        ..Retention::default()
    };
    let found = explained(table, &daily(100, "2026-11-20"), "2026-11-20T12:00:00Z");
    assert_eq!(found.len(), 34);
    assert_eq!(
        found[30..],
        [
            "2026-10-21: within 30d",
            "2026-10-20: last beyond 1 of 3",
            "2026-10-19: last beyond 2 of 3",
            "2026-10-18: last beyond 3 of 3",
        ]
    );
}

#[test]
fn of_many_backups_of_a_day_the_newest_is_the_daily() {
    let mut backups = daily(3, "2026-11-20");
    for (id, time) in [
        ("early", "2026-11-20T03:00:00Z"),
        ("late", "2026-11-20T22:00:00Z"),
    ] {
        backups.push(Candidate {
            id: id.into(),
            time: at(time),
            is_complete: true,
        });
    }
    let table = Retention {
        daily: Some(2),
        ..Retention::default()
    };
    let found = explained(table, &backups, "2026-11-20T23:00:00Z");
    assert_eq!(
        found,
        [
            "late: daily 1 of 2: 2026-11-20, newest complete",
            "2026-11-19: daily 2 of 2: 2026-11-19",
        ]
    );
}

#[test]
fn an_incomplete_backup_stays_until_a_complete_one_is_newer() {
    let mut backups = daily(4, "2026-11-20");
    backups[1].is_complete = false;
    backups[3].is_complete = false;
    let table = Retention {
        last: Some(2),
        ..Retention::default()
    };
    let now = "2026-11-20T13:00:00Z";
    assert_eq!(
        explained(table.clone(), &backups, now),
        [
            "2026-11-20: newer than any complete one",
            "2026-11-19: last 1 of 2, newest complete",
            "2026-11-17: last 2 of 2",
        ]
    );
    let all = Retention {
        within: Some("30d".into()),
        ..table
    };
    let found = explained(all, &backups, now);
    assert_eq!(found[2], "2026-11-18: within 30d");
}

#[test]
fn a_backup_from_the_future_is_kept_and_takes_no_ones_place() {
    let mut backups = daily(3, "2026-11-20");
    backups[0].time = at("2031-01-01T00:00:00Z");
    let table = Retention {
        last: Some(1),
        ..Retention::default()
    };
    let mut found = explained(table, &backups, "2026-11-20T13:00:00Z");
    found.sort();
    assert_eq!(
        found,
        [
            "2026-11-18: from the future",
            "2026-11-20: last 1 of 1, newest complete",
        ]
    );
}

#[test]
fn a_rule_that_counts_to_nothing_is_none() {
    let table = Retention {
        daily: Some(0),
        last: Some(0),
        ..Retention::default()
    };
    let found = explained(table, &daily(2, "2026-11-20"), "2026-11-20T13:00:00Z");
    assert_eq!(found, ["2026-11-20: no rule", "2026-11-19: no rule"]);
}
