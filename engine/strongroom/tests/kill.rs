//! The engine killed at fifty points of a backup: the next backup succeeds, restic finds nothing wrong, earlier backups restore.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{ONE_OF_EACH, Place};
use strongroom_repository::testing::{Restic, assert_same_files, noise};

const POINTS: u32 = 50;

/// How many kills must have left a lock, and how many must have left packs which no index names, for the test to mean something.
const ENOUGH: u32 = 4;

/// Adds what the backup that will be killed has to store: several packs, so that there is something between begin and end.
fn change(data: &Path, round: u32) {
    let name = format!("new {}", round % 2);
    fs::write(data.join(name), noise(32 << 20, u64::from(round) + 100)).expect("written");
}

/// A backup that has taken its lock: what comes before is the program's start, where a kill finds nothing to interrupt.
fn backup_with_lock(place: &Place) -> (Child, Instant) {
    let locks = place.path("nas/locks");
    let stale = names(&locks);
    let mut child = place
        .command(&["backup"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    while names(&locks).is_subset(&stale) {
        let ended = child.try_wait().expect("waited");
        assert!(ended.is_none(), "ended without a lock: {ended:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    (child, Instant::now())
}

/// Runs a backup and kills it `delay` after it took its lock.
fn killed_backup(place: &Place, delay: Duration) {
    let (mut child, started) = backup_with_lock(place);
    std::thread::sleep(delay.saturating_sub(started.elapsed()));
    child.kill().expect("killed");
    child.wait().expect("waited");
}

/// Runs a backup and kills it as soon as it has stored a pack.
fn backup_killed_at_its_first_pack(place: &Place) {
    let data = place.path("nas/data");
    let before = names(&data);
    let (mut child, _) = backup_with_lock(place);
    while names(&data).is_subset(&before) && child.try_wait().expect("waited").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("waited");
}

/// How long an undisturbed backup takes from its lock on.
fn whole_backup(place: &Place) -> Duration {
    let (mut child, started) = backup_with_lock(place);
    assert!(child.wait().expect("waited").success());
    started.elapsed()
}

/// The objects in a folder of the repository and in the folders below. What is half-written is none.
fn names(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        if entry.path().is_dir() {
            names.extend(self::names(&entry.path()));
        } else if name.len() == 64 {
            names.insert(name);
        }
    }
    names
}

#[test]
fn a_kill_at_any_point_loses_at_most_the_run_in_hand() {
    let place = Place::new(ONE_OF_EACH);
    let media = place.path("media");
    place.write("media/first", noise(20 << 20, 1));
    for number in 0..200 {
        place.write(&format!("media/{number}"), noise(5000, number + 2));
    }
    place.ok(&["init"]);
    place.ok(&["backup", "--note", "before"]);
    let listed = place.json(&["list"]);
    let first = listed[0]["id"].as_str().expect("the first backup's id");
    let before = place.path("before");
    let copied = Command::new("cp")
        .arg("-a")
        .args([&media, &before])
        .status();
    assert!(copied.expect("cp runs").success());

    let mut whole = whole_backup(&place);
    let nas = place.path("nas");
    let restic = Restic::installed().remove(0);
    let (mut locked, mut orphaned, mut lost) = (0, 0, 0);
    for point in 0..POINTS {
        change(&media, point);
        let objects = |kind: &str| names(&nas.join(kind));
        let (packs, indexes, snapshots) = (objects("data"), objects("index"), objects("snapshots"));
        if point % 5 == 4 {
            backup_killed_at_its_first_pack(&place);
        } else {
            // A little beyond the end too: a run may be killed while it says that it is done.
            killed_backup(&place, whole.mul_f64(1.05) * point / POINTS);
        }
        let in_time = objects("snapshots") == snapshots;
        lost += u32::from(in_time);
        locked += u32::from(!objects("locks").is_empty());
        orphaned += u32::from(objects("data") != packs && objects("index") == indexes);
        assert!(packs.is_subset(&objects("data")), "point {point}");
        assert!(snapshots.is_subset(&objects("snapshots")), "point {point}");

        let undisturbed = whole_backup(&place);
        if in_time {
            // It had the same to do. How fast the machine is may change meanwhile, as it may be busy with something else too.
            whole = (whole + undisturbed) / 2;
        }
        assert!(objects("locks").is_empty(), "point {point}: a lock is left");
        let found = restic.run(&nas, "correct horse", &["check"]);
        assert!(
            found.contains("no errors were found"),
            "point {point}: {found}"
        );
        if point % 10 == 9 {
            // What the kills have left behind is no hindrance to tidying up, and goes by it.
            restic.run(&nas, "correct horse", &["prune"]);
            let out = format!("early {point}");
            place.ok(&["restore", first, "--target", &out]);
            assert_same_files(&place.path(&format!("{out}/media")), &before);
        }
    }
    let kills = format!(
        "of {POINTS} kills within {whole:?}, {lost} came before the snapshot, {locked} left a lock, {orphaned} left packs in no index"
    );
    eprintln!("{kills}");
    assert!(locked >= ENOUGH && orphaned >= ENOUGH, "{kills}");

    place.ok(&["check", "--read-data"]);
    restic.run(&nas, "correct horse", &["check", "--read-data"]);
    place.ok(&["restore", "latest", "--target", "late"]);
    assert_same_files(&place.path("late/media"), &media);
}
