//! Backups put together from made-up snapshots.

use strongroom_repository::Progress;

use super::super::latest::{Wanted, Whose, find};
use super::*;

fn snapshot(second: i64, paths: &[&str], tags: &[&str]) -> (Id, Snapshot) {
    let time = Time::from_nanoseconds(second * 1_000_000_000);
    let id = Id::of(format!("{second}{paths:?}{tags:?}").as_bytes());
    let json = serde_json::json!({
        "time": time,
        "tree": Id::of(b""),
        "paths": paths,
        "tags": tags,
        "hostname": "host",
    });
    (id, serde_json::from_value(json).expect("a snapshot"))
}

fn here() -> Whose {
    Whose::new("host".into(), None)
}

fn run<'a>(id: &'a str, source: &'a str) -> Vec<&'a str> {
    let all = [
        "job:nightly",
        "kind:incremental",
        "run-sources:2",
        "note:before: the move",
    ];
    let mut tags = all.to_vec();
    tags.extend([id, source]);
    tags
}

fn nas_and_offsite() -> Vec<Backup> {
    group(vec![
        (
            "nas".into(),
            vec![
                snapshot(20, &["/media"], &run("run:abcd000000", "source:media")),
                snapshot(21, &["/shop"], &run("run:abcd000000", "source:shop")),
                snapshot(10, &["/home/a", "/etc"], &["restic-tag"]),
            ],
        ),
        (
            "offsite".into(),
            vec![
                snapshot(20, &["/media"], &run("run:abcd000000", "source:media")),
                snapshot(30, &["/media"], &run("run:abce000000", "source:media")),
            ],
        ),
    ])
}

#[test]
fn snapshots_of_one_run_are_one_backup() {
    let backups = nas_and_offsite();
    let ids: Vec<_> = backups.iter().map(|backup| backup.short_id()).collect();
    assert_eq!(ids[1..], ["abcd000000", "abce000000"]);
    let backup = &backups[1];
    assert_eq!(backup.note.as_deref(), Some("before: the move"));
    assert_eq!(backup.job.as_deref(), Some("nightly"));
    let sources: Vec<_> = backup
        .sources
        .iter()
        .map(|source| (source.source.as_str(), source.copies.len()))
        .collect();
    assert_eq!(sources, [("media", 2), ("shop", 1)]);
}

#[test]
fn a_run_that_lacks_a_source_is_incomplete() {
    let states: Vec<_> = nas_and_offsite()
        .iter()
        .map(|backup| backup.state)
        .collect();
    assert_eq!(
        states,
        [State::Complete, State::Complete, State::Incomplete]
    );
}

#[test]
fn a_destination_that_lacks_a_source_does_not_count_as_one_that_has_the_backup() {
    let backups = nas_and_offsite();
    let places: Vec<_> = backups.iter().map(Backup::places).collect();
    assert_eq!(
        places,
        ["nas", "nas, offsite (partial)", "offsite (partial)"]
    );
    assert_eq!(backups[1].destinations, ["nas"]);
    assert_eq!(backups[1].partial_destinations, ["offsite"]);

    // One source here and the other there is no whole backup anywhere.
    let scattered = group(vec![
        (
            "nas".into(),
            vec![snapshot(
                20,
                &["/media"],
                &run("run:abcd000000", "source:media"),
            )],
        ),
        (
            "offsite".into(),
            vec![snapshot(
                21,
                &["/shop"],
                &run("run:abcd000000", "source:shop"),
            )],
        ),
    ]);
    assert_eq!(scattered[0].state, State::Incomplete);
    assert!(scattered[0].destinations.is_empty());
}

/// As after `repair snapshots` at one of two destinations.
#[test]
fn a_whole_copy_is_preferred_to_one_that_lacks_something() {
    let media = |tags: &[&str]| {
        let mut all = vec!["job:nightly", "run:abcd000000", "source:media"];
        all.extend(tags);
        vec![snapshot(20, &["/media"], &all)]
    };
    let check = |nas: &[&str], offsite: &[&str], best: &str, places: &str, state| {
        let backups = group(vec![
            ("nas".into(), media(nas)),
            ("offsite".into(), media(offsite)),
        ]);
        let [backup] = &backups[..] else {
            panic!("they are one backup: {backups:?}")
        };
        let source = &backup.sources[0];
        assert_eq!(source.copies[0].destination, best);
        assert_eq!(source.snapshot, source.snapshots[best]);
        assert_eq!((backup.places().as_str(), backup.state), (places, state));
    };
    let repaired = &["state:incomplete", "repaired"];
    check(&[], &[], "nas", "nas, offsite", State::Complete);
    check(
        repaired,
        &[],
        "offsite",
        "offsite, nas (partial)",
        State::Complete,
    );
    check(
        &[],
        repaired,
        "nas",
        "nas, offsite (partial)",
        State::Complete,
    );
    // Nobody could read all of it.
    let unread = &["state:incomplete"];
    check(unread, unread, "nas", "nas, offsite", State::Incomplete);
}

#[test]
fn a_snapshot_of_stock_restic_stands_for_itself() {
    let backups = nas_and_offsite();
    let foreign = &backups[0];
    assert_eq!(
        (foreign.job.as_deref(), foreign.kind.as_deref()),
        (None, None)
    );
    assert_eq!(foreign.short_id().len(), 8);
    assert_eq!(foreign.sources[0].source, "/home/a, /etc");
}

#[test]
fn a_backup_is_found_by_the_beginning_of_its_id() {
    let backups = nas_and_offsite();
    let check = |name: &str, source: Option<&str>, expected: &str| {
        let found = match find(&backups, name, source, &here(), &Progress::default()) {
            Ok(backup) => backup.id.clone(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{name} {source:?}");
    };
    check("abcd", None, "abcd000000");
    check("ABCE0", None, "abce000000");
    check("latest", None, "abce000000");
    check("latest", Some("shop"), "abcd000000");
    check(
        "latest",
        Some("nothing"),
        "there is no backup of nothing yet",
    );
    check(
        "abc",
        None,
        "'abc' is too short to name a backup: give 4 digits or more",
    );
    check("zzzz", None, "there is no backup 'zzzz'");
    let snapshot = backups[0].sources[0].snapshot.to_string();
    check(&snapshot[..8], None, &snapshot);
}

#[test]
fn an_ambiguous_id_names_the_candidates() {
    let backups = group(vec![(
        "nas".into(),
        vec![
            snapshot(1, &["/a"], &["run:abcd111111"]),
            snapshot(2, &["/a"], &["run:abcd222222"]),
        ],
    )]);
    let error =
        find(&backups, "abcd", Wanted::Any, &here(), &Progress::default()).expect_err("two");
    assert_eq!(error.to_string(), "'abcd' names 2 backups");
    assert_eq!(
        error.hint_text(),
        Some("give more digits: abcd1111, abcd2222")
    );
}

#[test]
fn a_source_that_failed_is_named_until_it_is_there() {
    let tags = |run: &'static str, source: &'static str| {
        let mut tags = vec!["job:nightly", "run-sources:2", "missing-source:shop"];
        tags.extend([run, source]);
        tags
    };
    let one = || snapshot(20, &["/media"], &tags("run:abcd000000", "source:media"));
    let backups = group(vec![("nas".into(), vec![one()])]);
    let backup = &backups[0];
    assert_eq!(backup.missing_sources, ["shop"]);
    assert_eq!(backup.state, State::Incomplete);
    assert_eq!(backup.places(), "nas (partial)");
    let shortfall = backup.shortfall(None).expect("it lacks one");
    assert!(shortfall.contains("it lacks shop"), "{shortfall}");
    assert_eq!(backup.shortfall(Some("media")), None);
    let error = backup.source("shop").expect_err("not there");
    assert!(
        error
            .hint_text()
            .is_some_and(|hint| hint.contains("list --source shop"))
    );
}

#[test]
fn latest_is_the_newest_whose_time_has_come() {
    let day = 86_400;
    let now = Time::now().nanoseconds() / 1_000_000_000;
    let at =
        |second: i64, run: &'static str| snapshot(second, &["/a"], &[run, "job:j", "source:a"]);
    let check = |snapshots: &[(i64, &'static str)], expected: &str, warnings: usize| {
        let said = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let heard = std::sync::Arc::clone(&said);
        let progress = Progress::with_listener(Box::new(move |_| {
            heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }));
        let snapshots = snapshots.iter().map(|(second, run)| at(*second, run));
        let backups = group(vec![("nas".into(), snapshots.collect())]);
        let found = find(&backups, "latest", Wanted::Any, &here(), &progress).expect("there");
        assert_eq!(found.id, expected);
        assert_eq!(said.load(std::sync::atomic::Ordering::Relaxed), warnings);
    };
    check(
        &[(now - day, "run:past000000"), (now + day, "run:future0000")],
        "past000000",
        1,
    );
    check(&[(now + day, "run:future0000")], "future0000", 1);
    // The clocks of two machines are never quite the same.
    check(
        &[(now - day, "run:past000000"), (now + 60, "run:ahead00000")],
        "ahead00000",
        0,
    );
    check(
        &[(-3 * day, "run:old0000000"), (-day, "run:before1970")],
        "before1970",
        0,
    );
}

#[test]
fn latest_is_of_this_host_or_of_the_one_that_is_asked_for() {
    let by = |host: &str, second: i64, run: &'static str, source: &'static str| {
        let (id, mut snapshot) = snapshot(second, &["/a"], &[run, "job:j", source]);
        snapshot.hostname = host.into();
        (id, snapshot)
    };
    let backups = group(vec![(
        "nas".into(),
        vec![
            by("alpha", 10, "run:aaaa", "source:a"),
            by("beta", 20, "run:bbbb", "source:a"),
            by("alpha", 30, "run:cccc", "source:c"),
        ],
    )]);
    let check = |whose: Whose, source: Option<&str>, expected: &str, expected_said: &str| {
        let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let heard = std::sync::Arc::clone(&said);
        let progress = Progress::with_listener(Box::new(move |event| {
            heard.lock().expect("whole").push_str(&format!("{event:?}"));
        }));
        let found = match find(&backups, "latest", source, &whose, &progress) {
            Ok(backup) => backup.id.clone(),
            Err(error) => format!("{error}; {}", error.hint_text().unwrap_or_default()),
        };
        assert_eq!(found, expected);
        let said = said.lock().expect("whole").clone();
        assert!(
            said.contains(expected_said) && said.is_empty() == expected_said.is_empty(),
            "{said}"
        );
    };
    let at = |host: &str| Whose::new(host.into(), None);
    check(at("alpha"), None, "cccc", "");
    check(at("beta"), None, "bbbb", "");
    // What this host never had may be another's.
    let beta = "no backup by this host, beta: the latest is taken to be cccc, by alpha";
    check(at("beta"), Some("c"), "cccc", beta);
    // A machine that takes the place of another one.
    let new = "no backup by this host, new: the latest is taken to be bbbb, by beta; there are some by alpha too: name one with --host";
    check(at("new"), Some("a"), "bbbb", new);
    check(
        Whose::new("new".into(), Some("alpha")),
        Some("a"),
        "aaaa",
        "",
    );
    let none = "there is no backup yet by host new; there are some by alpha, beta: name one with --host, or a backup by its id";
    check(Whose::new("alpha".into(), Some("new")), None, none, "");
    check(at("new").strictly(), None, none, "");
    let asked = Whose::new("new".into(), Some("alpha"));
    let error =
        find(&backups, "bbbb", Wanted::Any, &asked, &Progress::default()).expect_err("beta's");
    assert_eq!(
        error.to_string(),
        "backup bbbb was made by host beta, not alpha"
    );
}
