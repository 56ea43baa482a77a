//! Retention carried out by the real program on real repositories, ten simulated years among them, with the stock restic as witness.

mod common;

use std::fs;
use std::sync::Arc;

use common::{ONE_OF_EACH, Place, TWO_OF_EACH};
use jiff::civil::date;
use jiff::{Span, ToSpan};
use strongroom_repository::loss::ACCEPTED;
use strongroom_repository::testing::{DirectoryDestination, Restic, noise};
use strongroom_repository::{Id, Lock, Repository, Snapshot, Time};

const PASSWORD: &str = "correct horse";

/// [`ONE_OF_EACH`], whose job says what is kept.
fn keeping(retention: &str) -> String {
    let job = format!("destinations = [\"nas\"]\ntimezone = \"Europe/Zurich\"\n{retention}");
    ONE_OF_EACH.replace("destinations = [\"nas\"]", &job)
}

/// A place with a repository, and one real backup to make others from.
fn place(config: &str) -> (Place, Snapshot) {
    let place = Place::new(config);
    for source in ["media", "notes"] {
        fs::create_dir(place.path(source)).expect("a folder");
    }
    place.ok(&["init"]);
    place.ok(&["backup"]);
    let repository = open(&place);
    let snapshots = repository.snapshots().expect("are listed").good;
    let (id, snapshot) = snapshots.first().expect("one").clone();
    fs::remove_file(place.path(&format!("nas/snapshots/{id}"))).expect("removed");
    (place, snapshot)
}

fn open(place: &Place) -> Arc<Repository> {
    let destination = DirectoryDestination::new("nas", place.path("nas"));
    Arc::new(Repository::open(Arc::new(destination), PASSWORD).expect("opens"))
}

/// Stores what a run at `time` would have stored.
fn store(repository: &Repository, like: &Snapshot, time: &str, tags: &[&str]) -> Id {
    let mut snapshot = like.clone();
    snapshot.time = time.parse().expect("a time");
    snapshot.tags = tags.iter().map(ToString::to_string).collect();
    snapshot.save(repository).expect("is stored")
}

fn tags<'a>(run: &'a str, trigger: &'a str) -> [&'a str; 4] {
    ["job:nightly", "source:media", trigger, run]
}

/// Ten years of a job: scheduled at two in the morning of Zurich every day, and by hand at noon of every 90th.
fn ten_years(place: &Place, like: &Snapshot) {
    let repository = open(place);
    let mut number = 0;
    let mut run = || {
        number += 1;
        format!("run:{number:010}")
    };
    for day in 0..3_653 {
        let date = date(2016, 1, 1).checked_add(day.days()).expect("in range");
        let at = |hour| {
            let zoned = date
                .at(hour, 0, 0, 0)
                .in_tz("Europe/Zurich")
                .expect("a time");
            zoned.timestamp().to_string()
        };
        store(
            &repository,
            like,
            &at(2),
            &tags(&run(), "trigger:scheduled"),
        );
        if day % 90 == 0 {
            store(
                &repository,
                like,
                &at(12),
                &tags(&run(), "trigger:on-demand"),
            );
        }
    }
}

fn snapshots(place: &Place, folder: &str) -> usize {
    let folder = place.path(folder).join("snapshots");
    fs::read_dir(folder).expect("a folder").count()
}

const GRANDFATHER: &str = "retention = { daily = 7, weekly = 4, monthly = 12, yearly = 5 }\non_demand_retention = { last = 3 }";

/// Of the tables, what is kept: the time and the reasons, newest first.
fn kept(text: &str) -> Vec<String> {
    let rows = text
        .lines()
        .rev()
        .filter_map(|line| line.split_once("  keep"));
    rows.map(|(head, why)| {
        let (_, time) = head.split_once("  ").expect("an id and a time");
        format!("{}: {}", time.trim(), why.trim())
    })
    .collect()
}

#[test]
fn a_history_of_ten_years_is_planned_shown_and_thinned_out() {
    let (place, like) = place(&keeping(GRANDFATHER));
    ten_years(&place, &like);
    assert_eq!(snapshots(&place, "nas"), 3_694);

    let shown = place.ok(&["forget", "--dry-run"]);
    assert_eq!(snapshots(&place, "nas"), 3_694);
    let (scheduled, by_hand) = shown.split_once("\n\n").expect("two groups");
    let expected = [
        "2025-12-31 02:00: daily 1 of 7: 2025-12-31, newest complete",
        "2025-12-30 02:00: daily 2 of 7: 2025-12-30",
        "2025-12-29 02:00: daily 3 of 7: 2025-12-29",
        "2025-12-28 02:00: daily 4 of 7: 2025-12-28",
        "2025-12-27 02:00: daily 5 of 7: 2025-12-27",
        "2025-12-26 02:00: daily 6 of 7: 2025-12-26",
        "2025-12-25 02:00: daily 7 of 7: 2025-12-25",
        "2025-12-22 02:00: weekly 1 of 4: week 2025-W52",
        "2025-12-15 02:00: weekly 2 of 4: week 2025-W51",
        "2025-12-08 02:00: weekly 3 of 4: week 2025-W50",
        "2025-12-01 02:00: weekly 4 of 4: week 2025-W49",
        "2025-11-03 02:00: monthly 1 of 12: 2025-11",
        "2025-10-06 02:00: monthly 2 of 12: 2025-10",
        "2025-09-01 02:00: monthly 3 of 12: 2025-09",
        "2025-08-04 02:00: monthly 4 of 12: 2025-08",
        "2025-07-07 02:00: monthly 5 of 12: 2025-07",
        "2025-06-02 02:00: monthly 6 of 12: 2025-06",
        "2025-05-05 02:00: monthly 7 of 12: 2025-05",
        "2025-04-07 02:00: monthly 8 of 12: 2025-04",
        "2025-03-03 02:00: monthly 9 of 12: 2025-03",
        "2025-02-03 02:00: monthly 10 of 12: 2025-02",
        "2025-01-06 02:00: monthly 11 of 12: 2025-01",
        "2024-12-02 02:00: monthly 12 of 12: 2024-12",
        "2024-01-01 02:00: yearly 1 of 5: 2024",
        "2023-01-02 02:00: yearly 2 of 5: 2023",
        "2022-01-03 02:00: yearly 3 of 5: 2022",
        "2021-01-04 02:00: yearly 4 of 5: 2021",
        "2020-01-06 02:00: yearly 5 of 5: 2020",
    ];
    assert_eq!(kept(scheduled), expected);
    assert_eq!(
        kept(by_hand),
        [
            "2025-11-09 12:00: last 1 of 3, newest complete",
            "2025-08-11 12:00: last 2 of 3",
            "2025-05-13 12:00: last 3 of 3",
        ]
    );
    assert!(
        shown.ends_with("\nnas: 3,694 backups, 31 kept, 3,663 would be forgotten\n"),
        "{shown}"
    );
    the_handbook_shows(&shown);

    let done = place.run(&["forget"]);
    assert_eq!(done.exit, 0, "{}", done.stderr);
    assert_eq!(
        done.stdout,
        shown.replace(" would be forgotten", " forgotten"),
        "what was shown is what was done"
    );
    assert_eq!(snapshots(&place, "nas"), 31);
    assert!(
        place
            .path("nas/locks")
            .read_dir()
            .expect("a folder")
            .next()
            .is_none()
    );

    // A second application changes nothing.
    let again = place.ok(&["forget"]);
    assert_eq!(kept(&again), kept(&shown));
    assert!(again.ends_with("nas: 31 backups, 31 kept, 0 forgotten\n"));

    for restic in Restic::installed() {
        let nas = place.path("nas");
        let listed = restic.run(&nas, PASSWORD, &["snapshots", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        assert_eq!(listed.as_array().map(Vec::len), Some(31));
        restic.run(&nas, PASSWORD, &["check", "--read-data"]);
    }
}

/// The excerpt in docs/operating.md consists of lines of the real output.
fn the_handbook_shows(shown: &str) {
    let handbook = include_str!("../../../docs/operating.md");
    let (_, excerpt) = handbook
        .split_once("$ strongroom forget --dry-run\n")
        .expect("the excerpt");
    let (excerpt, _) = excerpt.split_once("```").expect("its end");
    let lines: Vec<&str> = excerpt.lines().filter(|line| *line != "…").collect();
    assert!(lines.len() > 10, "{excerpt}");
    for line in lines {
        assert!(shown.lines().any(|real| real == line), "{line}");
    }
}

#[test]
fn each_destination_is_planned_for_by_what_it_holds() {
    let (place, like, [nas, offsite]) = two_places("retention = { weekly = 1 }");
    // offsite missed the Sunday.
    store(
        &nas,
        &like,
        "2025-01-04T02:00:00Z",
        &tags("run:aaaa", "trigger:scheduled"),
    );
    store(
        &offsite,
        &like,
        "2025-01-04T02:00:00Z",
        &tags("run:aaaa", "trigger:scheduled"),
    );
    store(
        &nas,
        &like,
        "2025-01-05T02:00:00Z",
        &tags("run:bbbb", "trigger:scheduled"),
    );
    place.ok(&["forget", "--destination", "offsite"]);
    assert_eq!(
        (snapshots(&place, "nas"), snapshots(&place, "offsite")),
        (2, 1)
    );
    place.ok(&["forget"]);
    assert_eq!(
        (snapshots(&place, "nas"), snapshots(&place, "offsite")),
        (1, 1)
    );
}

#[test]
fn a_snapshot_that_cannot_be_read_keeps_all_others() {
    let (place, like) = place(&keeping("retention = { last = 1 }"));
    let repository = open(&place);
    for (time, run) in [
        ("2025-01-04T02:00:00Z", "run:aaaa"),
        ("2025-01-05T02:00:00Z", "run:bbbb"),
    ] {
        store(&repository, &like, time, &tags(run, "trigger:scheduled"));
    }
    let newest = store(
        &repository,
        &like,
        "2025-01-06T02:00:00Z",
        &tags("run:cccc", "trigger:scheduled"),
    );
    place.write(&format!("nas/snapshots/{newest}"), "spoilt");
    for args in [&["forget", "-n"][..], &["forget"]] {
        let ended = place.run(args);
        assert_eq!((ended.exit, ended.stdout.as_str()), (1, ""), "{args:?}");
        assert_eq!(
            ended.stderr,
            format!(
                "error: nas: snapshot {} is damaged: its content does not match its name; nothing was forgotten there\n\
                 hint: get the file back from a copy of the repository; if it is lost for good, run `strongroom repair snapshots nas` first\n",
                newest.short()
            )
        );
        assert_eq!(snapshots(&place, "nas"), 3);
    }
    // It drops the damaged one.
    assert_eq!(place.run(&["repair", "snapshots", "nas"]).exit, 3);
    place.ok(&["forget"]);
    assert_eq!(snapshots(&place, "nas"), 1);
}

#[test]
fn nothing_is_forgotten_beside_somebody_at_work() {
    let (place, like) = place(&keeping("retention = { last = 1 }"));
    let repository = open(&place);
    for (time, run) in [
        ("2025-01-04T02:00:00Z", "run:aaaa"),
        ("2025-01-05T02:00:00Z", "run:bbbb"),
    ] {
        store(&repository, &like, time, &tags(run, "trigger:scheduled"));
    }
    let lock = Lock::shared(&repository).expect("is free");
    let ended = place.run(&["forget"]);
    assert_eq!(ended.exit, 1);
    assert!(
        ended
            .stderr
            .starts_with("error: repository nas is locked by "),
        "{}",
        ended.stderr
    );
    assert_eq!(snapshots(&place, "nas"), 2);
    // Looking is free.
    let shown = place.ok(&["forget", "--dry-run"]);
    assert!(
        shown.ends_with("nas: 2 backups, 1 kept, 1 would be forgotten\n"),
        "{shown}"
    );
    lock.release().expect("is released");
    place.ok(&["forget"]);
    assert_eq!(snapshots(&place, "nas"), 1);
}

#[test]
fn what_is_not_of_a_configured_job_stays() {
    let (place, like) = place(&keeping("retention = { last = 1 }"));
    let repository = open(&place);
    let theirs = [
        "run:aaaa",
        "job:nightly",
        "source:photos",
        "trigger:scheduled",
    ];
    store(&repository, &like, "2025-01-04T02:00:00Z", &theirs);
    store(
        &repository,
        &like,
        "2025-01-04T02:00:00Z",
        &["a-tag-of-restic"],
    );
    store(
        &repository,
        &like,
        "2025-01-05T02:00:00Z",
        &tags("run:bbbb", "trigger:scheduled"),
    );
    store(
        &repository,
        &like,
        "2025-01-06T02:00:00Z",
        &tags("run:cccc", "trigger:scheduled"),
    );
    let done = place.ok(&["forget"]);
    assert!(
        done.ends_with(
            "nas: 2 backups, 1 kept, 1 forgotten\n\
             left alone: 1 backup of jobs or sources that the configuration does not send here\n\
             left alone: 1 snapshot that another program made\n"
        ),
        "{done}"
    );
    assert_eq!(snapshots(&place, "nas"), 3);
}

#[test]
fn the_plan_is_a_document_too() {
    let (place, like) = place(&keeping("retention = { last = 1, within = \"1h\" }"));
    let repository = open(&place);
    let mut broken = tags("run:bbbb", "trigger:scheduled").to_vec();
    broken.push("state:incomplete");
    let old = store(
        &repository,
        &like,
        "2025-01-04T02:00:00Z",
        &tags("run:aaaa", "trigger:scheduled"),
    );
    store(&repository, &like, "2025-01-05T02:00:00Z", &broken);
    let soon = Time::now()
        .point()
        .checked_add(Span::new().hours(1))
        .expect("in range");
    store(
        &repository,
        &like,
        &soon.to_string(),
        &tags("run:cccc", "trigger:scheduled"),
    );
    let plan = place.json(&["forget", "nightly", "--dry-run"]);
    assert_eq!(plan["dry_run"], true);
    let group = &plan["destinations"][0]["groups"][0];
    assert_eq!(
        group["policy"],
        "keeps all within 1h of the newest; in any case the newest"
    );
    assert_eq!(
        group["backups"][0],
        serde_json::json!({
            "id": "aaaa",
            "snapshot": old,
            "created": "2025-01-04T02:00:00Z",
            "state": "complete",
            "almost_empty": false,
            "keep": true,
            "reasons": ["last 1 of 1", "within 1h", "newest complete"],
        })
    );
    let reasons = |number: usize| group["backups"][number]["reasons"].clone();
    assert_eq!(
        reasons(1),
        serde_json::json!(["within 1h", "newer than any complete one"])
    );
    assert_eq!(reasons(2), serde_json::json!(["from the future"]));
}

#[test]
fn an_unknown_job_or_destination_is_named() {
    let (place, _) = place(&keeping("retention = { last = 1 }"));
    let check = |args: &[&str], stderr: &str| {
        let ended = place.run(args);
        assert_eq!((ended.exit, ended.stderr.as_str()), (2, stderr), "{args:?}");
    };
    check(
        &["forget", "nigthly"],
        "error: there is no job 'nigthly'\nhint: did you mean 'nightly'?\n",
    );
    check(
        &["forget", "--destination", "nass"],
        "error: there is no destination 'nass'\nhint: did you mean 'nas'?\n",
    );
}

#[test]
fn a_backup_that_is_named_is_forgotten_unless_it_is_the_newest_complete_one() {
    let (place, like) = place(&keeping(""));
    let repository = open(&place);
    let mut broken = tags("run:cccc333333", "trigger:scheduled").to_vec();
    broken.push("state:incomplete");
    for (time, tags) in [
        (
            "2025-01-04T02:00:00Z",
            &tags("run:aaaa111111", "trigger:scheduled")[..],
        ),
        (
            "2025-01-05T02:00:00Z",
            &tags("run:bbbb222222", "trigger:on-demand"),
        ),
        ("2025-01-06T02:00:00Z", &broken),
    ] {
        store(&repository, &like, time, tags);
    }
    let theirs = store(&repository, &like, "2025-01-07T02:00:00Z", &["theirs"]);
    let check = |args: &[&str], exit: i32, text: &str, left: usize| {
        let ended = place.run(&[&["forget", "--quiet"], args].concat());
        assert_eq!(
            (ended.exit, ended.stdout + &ended.stderr),
            (exit, text.into()),
            "{args:?}"
        );
        assert_eq!(snapshots(&place, "nas"), left, "{args:?}");
    };
    check(
        &["--backup", "bbbb"],
        1,
        "error: nas: backup bbbb222222 is the newest complete one of media; nothing was forgotten there\n\
         hint: make another backup first, or add --force\n",
        4,
    );
    check(
        &["--backup", "zzzz"],
        1,
        "error: there is no backup 'zzzz'; nothing was forgotten\nhint: `strongroom list` shows the backups\n",
        4,
    );
    check(
        &["--backup", "aaa"],
        2,
        "error: 'aaa' is too short to name a backup: give 4 digits or more; nothing was forgotten\n\
         hint: `strongroom list` shows the backups\n",
        4,
    );
    check(
        &["--backup", "AAAA", "--dry-run"],
        0,
        "nas: would forget media of backup aaaa111111\n",
        4,
    );
    check(
        &["--backup", "aaaa", "--backup", "cccc333333"],
        0,
        "nas: forgot media of backup aaaa111111\nnas: forgot media of backup cccc333333\n",
        2,
    );
    check(
        &["--backup", "bbbb", "--force"],
        0,
        "nas: forgot media of backup bbbb222222\n",
        1,
    );
    // Who names one of stock restic's means it.
    let short = theirs.short();
    check(
        &["--backup", &short.to_string(), "--force"],
        0,
        &format!("nas: forgot {} of backup {short}\n", like.paths.join(", ")),
        0,
    );
}

/// Two destinations without a backup, and something to make backups of.
fn two_places(retention: &str) -> (Place, Snapshot, [Arc<Repository>; 2]) {
    let config = TWO_OF_EACH.replace(
        "{ command = [\"echo\", \"another password\"] }",
        "{ file = \"nas.key\" }",
    );
    let job = "destinations = [\"nas\", \"offsite\"]\n";
    let (place, like) = place(&config.replace(job, &format!("{job}{retention}\n")));
    for folder in ["nas", "offsite"] {
        for name in fs::read_dir(place.path(folder).join("snapshots")).expect("a folder") {
            fs::remove_file(name.expect("readable").path()).expect("removed");
        }
    }
    let offsite = DirectoryDestination::new("offsite", place.path("offsite"));
    let offsite = Repository::open(Arc::new(offsite), PASSWORD).expect("opens");
    let nas = open(&place);
    (place, like, [nas, Arc::new(offsite)])
}

#[test]
fn no_name_is_forgotten_before_all_of_them_are_understood_everywhere() {
    let (place, like, [nas, offsite]) = two_places("");
    let at = |repository: &Repository, hour: u8, run: &str| {
        let time = format!("2025-01-04T{hour:02}:00:00Z");
        let run = format!("run:{run}");
        store(repository, &like, &time, &tags(&run, "trigger:scheduled"))
    };
    let named_by_snapshot = at(&nas, 1, "aaaa111111");
    at(&nas, 9, "cccc333333");
    at(&offsite, 1, "aaaa222222");
    at(&offsite, 2, "bbbb222222");
    at(&offsite, 9, "cccc333333");
    let check = |args: &[&str], exit: i32, text: &str, left: [usize; 2]| {
        let ended = place.run(&[&["forget", "--quiet"], args].concat());
        assert_eq!(
            (ended.exit, ended.stdout + &ended.stderr),
            (exit, text.into()),
            "{args:?}"
        );
        let now = ["nas", "offsite"].map(|folder| snapshots(&place, folder));
        assert_eq!(now, left, "{args:?}");
    };
    check(
        &["--backup", "bbbb", "--backup", "typo"],
        1,
        "error: there is no backup 'typo'; nothing was forgotten\nhint: `strongroom list` shows the backups\n",
        [2, 3],
    );
    // Each destination has one of these.
    check(
        &["--backup", "bbbb", "--backup", "aaaa"],
        2,
        "error: 'aaaa' names 2 backups; nothing was forgotten\n\
         hint: give more digits: aaaa111111, aaaa222222\n",
        [2, 3],
    );
    check(
        &["--backup", "latest"],
        1,
        "error: nas: backup cccc333333 is the newest complete one of media; nothing was forgotten there\n\
         hint: make another backup first, or add --force\n\
         error: offsite: backup cccc333333 is the newest complete one of media; nothing was forgotten there\n\
         hint: make another backup first, or add --force\n",
        [2, 3],
    );
    check(
        &["--backup", &named_by_snapshot.to_string(), "-n"],
        0,
        "nas: would forget media of backup aaaa111111\n",
        [2, 3],
    );
    check(
        &["--backup", "bbbb", "--backup", "bbbb2", "--backup", "aaaa1"],
        0,
        "nas: forgot media of backup aaaa111111\noffsite: forgot media of backup bbbb222222\n",
        [1, 2],
    );
    check(
        &["--backup", "latest", "--force"],
        0,
        "nas: forgot media of backup cccc333333\noffsite: forgot media of backup cccc333333\n",
        [0, 1],
    );
}

#[test]
fn a_name_is_not_denied_while_something_cannot_be_read() {
    let (place, like, [nas, _]) = two_places("");
    let mut ids = Vec::new();
    for (hour, run) in [(1, "aaaa111111"), (2, "bbbb222222"), (3, "cccc333333")] {
        let time = format!("2025-01-04T{hour:02}:00:00Z");
        let run = format!("run:{run}");
        ids.push(store(&nas, &like, &time, &tags(&run, "trigger:scheduled")));
    }
    let spoilt = ids[1];
    place.write(&format!("nas/snapshots/{spoilt}"), "spoilt");
    let problem = format!(
        "nas: snapshot {} is damaged: its content does not match its name",
        spoilt.short()
    );
    let check = |args: &[&str], exit: i32, text: String| {
        let ended = place.run(&[&["forget", "--quiet"], args].concat());
        assert_eq!((ended.exit, ended.stdout + &ended.stderr), (exit, text));
    };
    check(
        &["--backup", "bbbb"],
        1,
        format!(
            "error: there is no backup 'bbbb' in what can be read, and nothing was forgotten: {problem}\n\
             hint: `strongroom list` shows the backups\n"
        ),
    );
    check(
        &["--backup", "latest", "--force"],
        1,
        format!(
            "error: which backup is the latest is not certain, and nothing was forgotten: {problem}\n\
             hint: name the backup by its id: `strongroom list` shows what can be read\n"
        ),
    );
    assert_eq!(snapshots(&place, "nas"), 3);
    check(
        &["--backup", "aaaa"],
        3,
        format!(
            "nas: forgot media of backup aaaa111111\n\
             error: {problem}\n\
             hint: the other backups do not need it; `strongroom repair snapshots` drops it\n"
        ),
    );
    assert_eq!(snapshots(&place, "nas"), 2);
}

#[test]
fn what_the_clock_made_is_counted_by_its_own_rule_and_pruning_gives_the_space_back() {
    let place = Place::new(&keeping(
        "retention = { last = 1 }\non_demand_retention = {}",
    ));
    place.ok(&["init"]);
    place.write("media/gone", noise(20 << 20, 1));
    for source in ["media", "notes"] {
        place.write(&format!("{source}/stays"), source);
    }
    place.ok(&["backup", "--scheduled", "--note", "old"]);
    fs::remove_file(place.path("media/gone")).expect("removed");
    place.ok(&["backup", "--scheduled"]);
    place.ok(&["backup"]);
    assert_eq!(snapshots(&place, "nas"), 3);
    let ended = place.run(&["forget", "--prune"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("nas: freed 20."), "{}", ended.stdout);
    assert!(!ended.stderr.contains("still taken"), "{}", ended.stderr);
    assert_eq!(snapshots(&place, "nas"), 2);
    let triggers: Vec<String> = place
        .json(&["list"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|backup| format!("{} {}", backup["trigger"], backup["note"]))
        .collect();
    assert_eq!(triggers.len(), 2, "{triggers:?}");
    for trigger in ["scheduled", "on-demand"] {
        let expected = format!("\"{trigger}\" null");
        assert!(triggers.contains(&expected), "{triggers:?}");
    }
    let again = place.json(&["forget", "--prune"]);
    assert_eq!(again["pruned"][0]["freed_bytes"], 0, "{again}");
    let restic = &Restic::installed()[0];
    restic.run(&place.path("nas"), PASSWORD, &["check", "--read-data"]);
}

#[test]
fn an_almost_empty_backup_is_told_and_takes_no_fuller_ones_place() {
    let (place, like) = place(&keeping("retention = { last = 1 }"));
    let repository = open(&place);
    let holding = |time: &str, files: u64, words: &[&str]| {
        let figures =
            serde_json::json!({"total_files_processed": files, "total_bytes_processed": files});
        let like = Snapshot {
            summary: serde_json::from_value(figures).expect("a summary"),
            ..like.clone()
        };
        store(&repository, &like, time, words);
    };
    let scheduled = "trigger:scheduled";
    holding("2025-01-04T02:00:00Z", 100, &tags("run:aaaa", scheduled));
    holding("2025-01-05T02:00:00Z", 0, &tags("run:bbbb", scheduled));
    let shown = place.ok(&["forget", "nightly"]);
    let words = "bbbb holds next to nothing of what there was, and takes no other's place: if that is meant, `strongroom backup nightly --source media --allow-empty` makes one that does";
    assert!(
        shown.contains(words) && shown.contains("almost empty"),
        "{shown}"
    );
    // Neither does it by name.
    place.fails(
        &["forget", "--backup", "aaaa"],
        1,
        "is the newest complete one of media",
    );
    place.ok(&["forget", "--backup", "bbbb"]);
    let accepted = [&tags("run:cccc", scheduled)[..], &[ACCEPTED]].concat();
    holding("2025-01-06T02:00:00Z", 0, &accepted);
    let shown = place.ok(&["forget", "nightly"]);
    assert!(shown.contains("1 forgotten"), "{shown}");
}
