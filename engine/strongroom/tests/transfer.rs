//! `copy` and `unlock` through the program: a second destination caught up, killed in the middle, locked by restic.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{ONE_OF_EACH, Place, TWO_OF_EACH, files};
use serde_json::{Value, json};
use strongroom_repository::testing::{Restic, assert_same_files, noise};

const PASSWORD: &str = "correct horse";
const OTHER_PASSWORD: &str = "another password";

/// Two backups at `nas`, and an empty repository `offsite`.
fn one_behind() -> Place {
    let place = Place::new(TWO_OF_EACH);
    place.write("media/a.txt", "a");
    place.write("media/deep/b.bin", noise(40_000_000, 1));
    place.write("notes/note.md", "# note");
    place.ok(&["init"]);
    let nas_only = TWO_OF_EACH.replace(
        "destinations = [\"nas\", \"offsite\"]",
        "destinations = [\"nas\"]",
    );
    place.configure(&nas_only);
    place.ok(&["backup"]);
    place.write("media/new.txt", "new");
    place.ok(&["backup", "--source", "media"]);
    place
}

/// The files below a folder, in which another program is at work. None where it is not there yet.
fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => found.extend(names(&entry.path())),
            false => found.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    found
}

/// Those that are complete: before, they have another name.
fn objects(folder: &Path) -> Vec<String> {
    let mut found = names(folder);
    found.retain(|name| name.len() == 64);
    found
}

#[test]
fn a_destination_is_brought_up_to_another() {
    let place = one_behind();
    let text = place.ok(&["copy", "nas", "offsite", "latest"]);
    assert!(text.contains("media") && !text.contains("notes"), "{text}");
    assert!(
        text.lines()
            .last()
            .is_some_and(|line| line.starts_with("copied 1 snapshot: ")),
        "{text}"
    );
    let rest = place.json(&["copy", "nas", "offsite"]);
    assert_eq!(rest["copied"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["present"], 1);
    assert_eq!(rest["failed"], json!([]));
    let again = place.json(&["copy", "nas", "offsite", "--job", "nightly"]);
    assert_eq!((&again["present"], &again["blobs"]), (&json!(3), &json!(0)));

    for backup in place.json(&["list"]).as_array().expect("a list") {
        assert_eq!(backup["destinations"], json!(["nas", "offsite"]));
        assert_eq!(backup["state"], "complete");
    }
    place.ok(&["restore", "latest", "--from", "offsite", "--target", "out"]);
    assert_same_files(&place.path("media"), &place.path("out/media"));
    for restic in Restic::installed() {
        restic.run(
            &place.path("offsite"),
            OTHER_PASSWORD,
            &["check", "--read-data"],
        );
    }
}

#[test]
fn a_dry_run_shows_what_copy_then_does_and_touches_nothing() {
    let place = one_behind();
    let before = files(&place.path("offsite"));
    let text = place.ok(&["copy", "nas", "offsite", "-n"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("BACKUP"), "{text}");
    assert!(
        lines[1..4]
            .iter()
            .all(|line| line.ends_with("would be copied")),
        "{text}"
    );
    assert!(lines[4].starts_with("would copy 3 snapshots: "), "{text}");
    let planned = place.json(&["copy", "nas", "offsite", "--dry-run"]);
    assert_eq!(
        (&planned["dry_run"], &planned["stored_bytes"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(files(&place.path("offsite")), before);

    let done = place.json(&["copy", "nas", "offsite"]);
    assert_eq!(done["dry_run"], false);
    for key in ["blobs", "bytes", "packs", "whole_packs", "present"] {
        assert_eq!(done[key], planned[key], "{key}");
    }
    let stored = done["stored_bytes"].as_u64().expect("a number");
    assert!(stored > 40_000_000, "{stored}");
    let snapshots = |report: &Value| -> Vec<Value> {
        let copied = report["copied"].as_array().expect("a list").iter();
        copied.map(|copied| copied["snapshot"].clone()).collect()
    };
    assert_eq!(snapshots(&done), snapshots(&planned));
}

#[test]
fn a_copy_that_is_killed_counts_for_nothing_and_the_next_one_is_whole() {
    let place = one_behind();
    let mut child = place
        .command(&["copy", "nas", "offsite"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    wait_until(&mut child, || {
        !names(&place.path("offsite/data")).is_empty()
    });
    child.kill().expect("killed");
    child.wait().expect("waited");
    assert!(objects(&place.path("offsite/snapshots")).is_empty());
    let report = place.json(&["copy", "nas", "offsite"]);
    assert_eq!(report["copied"].as_array().map(Vec::len), Some(3));
    for restic in Restic::installed() {
        restic.run(
            &place.path("offsite"),
            OTHER_PASSWORD,
            &["check", "--read-data"],
        );
    }
    place.ok(&["restore", "latest", "--from", "offsite", "--target", "out"]);
    assert_same_files(&place.path("media"), &place.path("out/media"));
}

#[test]
fn damage_costs_one_backup_and_is_named() {
    let place = one_behind();
    place.write("media/more.bin", noise(2_000_000, 7));
    let before = files(&place.path("nas/data"));
    place.ok(&["backup", "--source", "media"]);
    let list = place.json(&["list"]);
    let newest = list.as_array().and_then(|list| list.last());
    let backup = newest.expect("a backup")["id"].as_str().expect("an id");
    let new = files(&place.path("nas/data"));
    let (name, _) = new
        .iter()
        .filter(|(name, _)| !before.contains_key(*name))
        .max_by_key(|(_, bytes)| bytes.len())
        .expect("a new pack");
    fs::remove_file(place.path("nas/data").join(name)).expect("removed");
    let ended = place.run(&["copy", "nas", "offsite"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stdout.contains("damaged"), "{}", ended.stdout);
    let first = ended.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: snapshot "), "{first}");
    assert!(
        first.contains(&format!(
            " of media in backup {backup} was not copied: more.bin: "
        )),
        "{first}"
    );
    assert_eq!(objects(&place.path("offsite/snapshots")).len(), 3);
}

/// Waits for something that a child does.
fn wait_until(child: &mut Child, mut condition: impl FnMut() -> bool) {
    while !condition() {
        let ended = child.try_wait().expect("waited");
        assert!(ended.is_none(), "ended too early: {ended:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A `restic prune` that holds its exclusive lock: reading the index takes it long.
fn pruning(place: &Place, restic: &Restic) -> Child {
    let mut child = restic
        .command(&place.path("nas"), PASSWORD)
        .args(["prune", "--limit-download", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("restic starts");
    wait_until(&mut child, || !objects(&place.path("nas/locks")).is_empty());
    child
}

#[test]
fn a_running_prune_of_restic_keeps_us_out_and_a_killed_one_is_unlocked() {
    for restic in Restic::installed() {
        let place = Place::new(&format!(
            "{ONE_OF_EACH}retention = {{ last = 1 }}\n\n[destinations.offsite]\nplugin = \"filesystem\"\nconfig = {{ path = \"$DIR/offsite\" }}\npassword = {{ command = [\"echo\", \"{OTHER_PASSWORD}\"] }}\n"
        ));
        for number in 0..300 {
            place.write(&format!("media/{number}"), noise(100, number));
        }
        place.ok(&["init"]);
        place.ok(&["backup"]);
        let mut prune = pruning(&place, &restic);
        let pid = prune.id();
        let commands: [&[&str]; 6] = [
            &["backup"],
            &["check", "nas"],
            &["cat", "latest", "0"],
            &["copy", "nas", "offsite"],
            &["forget"],
            &["repair", "index", "nas"],
        ];
        for command in commands {
            let ended = place.run(command);
            assert_eq!(ended.exit, 1, "{command:?}");
            let mut lines = ended.stderr.lines();
            let first = lines.next().unwrap_or_default();
            assert!(
                first.contains("repository nas is locked exclusively by "),
                "{first}"
            );
            assert!(
                first.contains(&format!(" (process {pid}) since 2")),
                "{first}"
            );
            assert_eq!(
                lines.next(),
                Some(
                    "hint: wait for it to end; `strongroom unlock nas` removes the lock of a program that is gone"
                )
            );
        }
        let left = place.run(&["unlock", "nas"]);
        assert_eq!(
            (left.exit, left.stderr.as_str()),
            (
                0,
                "`strongroom unlock nas --all` removes every lock: only for when you know that nobody is at work there\n"
            )
        );
        let left = left.stdout;
        assert!(
            left.starts_with("nas: left · locked exclusively by "),
            "{left}"
        );
        let unknown = " · nothing says that its process has ended\n";
        assert!(left.ends_with(unknown), "{left}");

        prune.kill().expect("killed");
        prune.wait().expect("waited");
        // Its number may be that of another container's process. So half an hour tells, by the clock of the destination.
        let left = place.ok(&["unlock", "nas"]);
        assert!(left.ends_with(unknown), "{left}");
        let [lock] = &objects(&place.path("nas/locks"))[..] else {
            panic!("one lock");
        };
        let lock = std::fs::File::options()
            .append(true)
            .open(place.path("nas/locks").join(lock))
            .expect("opens");
        let stored = std::time::SystemTime::now() - Duration::from_mins(31);
        lock.set_modified(stored).expect("is old");
        let removed = place.json(&["unlock", "nas"]);
        let lock = &removed["destinations"][0]["locks"][0];
        assert_eq!(
            (&lock["removed"], &lock["holder"]),
            (&json!(true), &json!("silent"))
        );
        assert_eq!(lock["lock"]["pid"], pid);
        assert_eq!(place.ok(&["unlock", "nas"]), "nas: no locks\n");
        place.ok(&["backup"]);
        restic.run(&place.path("nas"), PASSWORD, &["prune"]);
        place.ok(&["check", "--read-data"]);
    }
}

#[test]
fn all_locks_are_removed_with_a_warning() {
    let restic = &Restic::installed()[0];
    let place = Place::new(ONE_OF_EACH);
    place.ok(&["init"]);
    let mut waiting = restic
        .command(&place.path("nas"), PASSWORD)
        .args(["backup", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("restic starts");
    wait_until(&mut waiting, || {
        !objects(&place.path("nas/locks")).is_empty()
    });
    let left = place.json(&["unlock"]);
    let lock = &left["destinations"][0]["locks"][0];
    let id = objects(&place.path("nas/locks"));
    let expected = json!({
        "id": id[0], "lock": lock["lock"], "error": null, "holder": "elsewhere", "removed": false,
    });
    assert_eq!(lock, &expected);
    assert_eq!(lock["lock"]["pid"], waiting.id());
    let ended = place.run(&["unlock", "--all"]);
    assert_eq!(ended.exit, 0);
    assert!(
        ended.stdout.starts_with("nas: removed · locked by "),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stderr.starts_with("warning: nas was locked by "),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.ends_with(
            ", and nothing says that its process has ended: what it does there now is not safe\n"
        ),
        "{}",
        ended.stderr
    );
    assert_eq!(objects(&place.path("nas/locks")), [""; 0]);
    let none = json!({"destinations": [{"destination": "nas", "locks": []}]});
    assert_eq!(place.json(&["unlock", "--all"]), none);
    waiting.kill().expect("killed");
    waiting.wait().expect("waited");
}

#[test]
fn a_backup_whose_lock_is_taken_away_writes_no_snapshot() {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/large", noise(100_000_000, 3));
    place.ok(&["init"]);
    let mut backup = place
        .command(&["backup"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let locks = || objects(&place.path("nas/locks"));
    wait_until(&mut backup, || !locks().is_empty());
    for name in locks() {
        fs::remove_file(place.path("nas/locks").join(name)).expect("removed");
    }
    let ended = backup.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("the lock of repository nas was removed by somebody else"),
        "{said}"
    );
    assert!(objects(&place.path("nas/snapshots")).is_empty());
    place.ok(&["backup"]);
}
