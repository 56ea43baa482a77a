//! The engine killed at fifty points of a backup: the next backup succeeds, restic finds nothing wrong, earlier backups restore.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{ONE_OF_EACH, Place};
use strongroom_repository::testing::Restic;

const POINTS: u32 = 50;

/// Adds what the backup that will be killed has to store: several packs, so that there is something between begin and end.
fn change(data: &Path, round: u32) {
    let name = format!("new {}", round % 4);
    fs::write(data.join(name), noise(12 << 20, u64::from(round) + 100)).expect("written");
}

/// Runs a backup and kills it after `delay`. True if it ended by itself before.
fn killed_backup(place: &Place, delay: Duration) -> bool {
    let mut child = place
        .command(&["backup"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    std::thread::sleep(delay);
    let ended = child.try_wait().expect("waited").is_some();
    child.kill().expect("killed");
    child.wait().expect("waited");
    ended
}

/// Bytes that do not compress, the same on every machine.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

fn assert_same(left: &Path, right: &Path) {
    let output = Command::new("diff")
        .arg("-r")
        .args([left, right])
        .output()
        .expect("diff runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
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
    let before = place.path("before");
    let copied = Command::new("cp")
        .arg("-a")
        .args([&media, &before])
        .status();
    assert!(copied.expect("cp runs").success());

    change(&media, POINTS);
    let started = Instant::now();
    place.ok(&["backup"]);
    let whole = started.elapsed();
    let restic = Restic::installed().remove(0);
    let check = |arguments: &[&str]| restic.run(&place.path("nas"), "correct horse", arguments);
    let mut cut_short = 0;
    for point in 0..POINTS {
        change(&media, point);
        // A little beyond the end too: a run may be killed while it says that it is done.
        let ended = killed_backup(&place, whole.mul_f64(1.05) * point / POINTS);
        cut_short += u32::from(!ended);
        place.ok(&["backup"]);
        let found = check(&["check"]);
        assert!(
            found.contains("no errors were found"),
            "point {point}: {found}"
        );
    }
    assert!(
        cut_short > POINTS / 2,
        "only {cut_short} runs were killed in time"
    );

    place.ok(&["check", "--read-data"]);
    check(&["check", "--read-data"]);
    let backups = place.json(&["list"]);
    let first = backups
        .as_array()
        .and_then(|backups| backups.iter().find(|it| it["note"] == "before"));
    let first = first
        .and_then(|first| first["id"].as_str())
        .expect("the first backup is listed");
    place.ok(&["restore", first, "--target", "early"]);
    place.ok(&["restore", "latest", "--target", "late"]);
    assert_same(&place.path("early/media"), &before);
    assert_same(&place.path("late/media"), &media);
}
