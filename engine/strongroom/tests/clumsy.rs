//! Places that overlap, clocks that were wrong, names that are meant to do harm.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;

use common::{ONE_OF_EACH, Place, files, two_of_each};
use serde_json::json;
use strongroom_repository::testing::DirectoryDestination;
use strongroom_repository::text::is_unfit;
use strongroom_repository::{FileType, Repository, Snapshot};

#[test]
fn a_repository_inside_of_its_source_is_left_out_and_said_so() {
    let config = ONE_OF_EACH.replace("$DIR/nas", "$DIR/media/backups/nas");
    let other = "[destinations.other]\nplugin = \"filesystem\"\nconfig = { path = \"$DIR/media/other\" }\npassword = { file = \"nas.key\" }\n";
    let engine = "[engine]\nstate = \"$DIR/media/state\"\n";
    let place = Place::new(&format!("{config}\n{other}\n{engine}"));
    place.write("media/a.txt", vec![7; 100_000]);
    place.write("media/backups/b.txt", "b");
    place.ok(&["init"]);
    for _ in 0..3 {
        let ended = place.run(&["backup"]);
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
        let said = [
            "backups/nas is left out: inside of the source lies the repository of destination nas",
            "other is left out: inside of the source lies the repository of destination other",
        ];
        for words in said {
            assert!(ended.stderr.contains(words), "{}", ended.stderr);
        }
    }
    let listed = place.ok(&["ls", "latest", "--recursive"]);
    assert!(listed.contains("a.txt"), "{listed}");
    for own in ["nas", "other", "state/plugins", "state/scratch"] {
        assert!(!listed.contains(own), "{own}: {listed}");
    }
    let shown = place.ok(&["show", "latest"]);
    assert!(shown.contains("backups/nas is left out"), "{shown}");
    place.ok(&["restore", "latest", "--target", "out"]);
    assert_eq!(files(&place.path("out/media"))["a.txt"].len(), 100_000);
}

#[test]
fn a_bind_mount_hides_no_repository() {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/a.txt", "a");
    fs::create_dir(place.path("media/mounted")).expect("a folder");
    place.ok(&["init"]);
    let script = "mount --bind nas media/mounted && exec \"$0\" backup";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]);
    let program = place.command(&[]);
    command
        .arg(program.get_program())
        .current_dir(place.path(""));
    let output = command.output().expect("unshare starts");
    let ended = place.ended(output);
    if ended.stderr.contains("unshare failed") || ended.stderr.contains("permission denied") {
        return common::skip("bind mounts", "this user may not mount");
    }
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let words = "mounted is left out: inside of the source lies the repository of destination nas";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[test]
fn a_repository_cannot_back_up_itself() {
    let place = Place::new(&ONE_OF_EACH.replace("$DIR/media", "$DIR/nas"));
    place.ok(&["init"]);
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1);
    assert!(
        ended.stderr.contains("would hold itself"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
}

/// Two volumes, and the same folder behind both destinations.
fn one_folder_twice(second: &str) -> Place {
    let place = Place::new(
        &common::TWO_OF_EACH.replace("$DIR/offsite", second).replace(
            "{ command = [\"echo\", \"another password\"] }",
            "{ file = \"nas.key\" }",
        ),
    );
    place.write("media/a.txt", "a");
    place.write("notes/b.md", "b");
    symlink("nas", place.path("link")).expect("a link");
    place
}

#[test]
fn one_folder_under_two_names_is_one_copy() {
    for second in ["$DIR/./nas/", "$DIR/link"] {
        let place = one_folder_twice(second);
        let words = "destination offsite: is the same place as destination nas";
        place.fails(&["init"], 2, words);
        place.fails(&["backup"], 1, words);
        place.fails(&["backup"], 1, "its backup is complete at nas");
        place.fails(&["copy", "nas", "offsite"], 2, words);
        let listed = place.run(&["list", "--json"]);
        assert_eq!(listed.exit, 3);
        assert!(listed.stderr.contains(words), "{}", listed.stderr);
        let backups: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
        // By the job there should be two.
        assert_eq!(backups[0]["destinations"], json!(["nas"]));
        // Asked for by itself, either name does.
        place.ok(&["restore", "latest", "--from", "offsite", "--target", "out"]);
        assert_eq!(files(&place.path("out")).len(), 2);
    }
}

#[test]
fn a_repository_that_was_copied_by_hand_is_another_place() {
    let place = one_folder_twice("$DIR/clone");
    place.ok(&["init", "nas"]);
    let copied = Command::new("cp")
        .args(["-a", "nas/.", "clone"])
        .current_dir(place.path(""))
        .status();
    assert!(copied.expect("cp runs").success());
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("copying the files of the other"),
        "{}",
        ended.stderr
    );
    let listed = place.json(&["list"]);
    assert_eq!(listed[0]["destinations"], json!(["nas", "offsite"]));
    let copied = place.run(&["copy", "nas", "offsite"]);
    assert_eq!(copied.exit, 0, "{}", copied.stderr);
    assert!(
        copied.stderr.contains("copying the files of the other"),
        "{}",
        copied.stderr
    );
    for destination in ["nas", "offsite"] {
        place.ok(&["check", destination, "--read-data"]);
    }
}

/// Gives all backups that there are another time.
fn put_into_another_year(place: &Place, year: &str) -> Vec<String> {
    let destination = Arc::new(DirectoryDestination::new("nas", place.path("nas")));
    let repository = Repository::open(destination, "correct horse").expect("opens");
    let snapshots = repository.snapshots().expect("listed").good;
    let mut ids = Vec::new();
    for (id, snapshot) in snapshots {
        let changed = Snapshot {
            time: format!("{year}-03-01T12:00:00Z").parse().expect("a time"),
            ..snapshot
        };
        ids.push(changed.tag("run").expect("ours").to_owned());
        changed.save(&repository).expect("saved");
        repository.delete(FileType::Snapshot, &id).expect("deleted");
    }
    ids
}

#[test]
fn a_backup_from_the_future_is_the_latest_only_where_there_is_no_other() {
    for year in ["2199", "2500"] {
        let place = Place::new(ONE_OF_EACH);
        place.write("media/f", "old");
        place.ok(&["init"]);
        place.ok(&["backup"]);
        let future = put_into_another_year(&place, year);
        let alone = place.run(&["restore", "latest", "--target", "alone"]);
        assert_eq!(alone.exit, 0, "{}", alone.stderr);
        assert!(
            alone
                .stderr
                .contains("see whether the clock of this machine is right")
        );

        place.write("media/f", "new");
        place.ok(&["backup"]);
        let restored = place.run(&["restore", "latest", "--target", "out"]);
        assert_eq!(restored.exit, 0, "{}", restored.stderr);
        assert_eq!(files(&place.path("out/media"))["f"], b"new");
        let words = format!("{} carries a time that has not come", future[0]);
        assert!(restored.stderr.contains(&words), "{}", restored.stderr);
        let listed = place.run(&["list"]);
        assert!(listed.stderr.contains(&future[0]), "{}", listed.stderr);
        place.ok(&["restore", &future[0], "--target", "then"]);
        assert_eq!(files(&place.path("then/media"))["f"], b"old");
        place.ok(&["verify", "--sample", "100"]);
        place.ok(&["forget", "--dry-run"]);
    }
}

#[test]
fn a_backup_from_before_1970_is_as_any_other() {
    for year in ["1969", "1901", "0001"] {
        let place = Place::new(ONE_OF_EACH);
        place.write("media/f", "old");
        place.ok(&["init"]);
        place.ok(&["backup"]);
        put_into_another_year(&place, year);
        assert!(place.ok(&["list"]).contains(&format!("{year}-03-01")));
        place.ok(&["restore", "latest", "--target", "then"]);
        place.ok(&["verify", "--sample", "100"]);
        place.ok(&["show", "latest"]);
        place.write("media/f", "new");
        place.ok(&["backup"]);
        place.ok(&["restore", "latest", "--target", "out"]);
        assert_eq!(files(&place.path("out/media"))["f"], b"new");
    }
}

#[test]
fn verify_takes_the_latest_backup_that_strongroom_made() {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/f", "new");
    place.ok(&["init"]);
    place.ok(&["backup"]);
    for restic in strongroom_repository::testing::Restic::installed() {
        restic.run(
            &place.path("nas"),
            "correct horse",
            &["backup", &place.path("media").display().to_string()],
        );
    }
    let verified = place.run(&["verify", "--sample", "100"]);
    assert_eq!(verified.exit, 0, "{}", verified.stderr);
    assert!(
        verified.stderr.contains("restic made the latest backup"),
        "{}",
        verified.stderr
    );
    // Where it is named, it is what is meant.
    let listed = place.json(&["list"]);
    let foreign = listed
        .as_array()
        .and_then(|all| all.last())
        .expect("a backup");
    let id = foreign["id"].as_str().expect("an id");
    place.fails(&["verify", id], 1, "no plugin knows how to verify it");
}

#[test]
fn nothing_that_others_wrote_reaches_the_terminal_raw() {
    let place = two_of_each();
    let hostile = "a\u{1b}[2J\u{202e}gpj\u{9b}31m\u{feff}\u{200f}\u{2066}\nerror: b";
    place.write(&format!("media/{hostile}"), "a");
    let note = hostile.replace('\n', " ");
    let made = place.run(&["backup", "--note", &note]);
    assert_eq!(made.exit, 0, "{}", made.stderr);
    fs::rename(
        place.path("media/a.txt"),
        place.path("media/b\u{85}\u{61c}"),
    )
    .expect("renamed");
    let listed = place.json(&["list"]);
    let first = listed[0]["id"].as_str().expect("an id").to_owned();
    place.ok(&["backup", "--json", "--note", &note]);
    let commands: &[&[&str]] = &[
        &["list"],
        &["show", "latest"],
        &["show", "latest", "--files"],
        &["ls", "latest", "--source", "media"],
        &["ls", "latest", "--source", "media", "--recursive", "--long"],
        &["find", "*"],
        &["diff", &first, "latest"],
        &["copy", "nas", "offsite", "--dry-run"],
        &["forget", "latest", "--dry-run"],
        &["restore", "latest", "--target", "out", "--source", hostile],
        &["restore", hostile, "--target", "out"],
        &["list", "--source", hostile],
        &["backup", hostile],
    ];
    for command in commands {
        for json in [false, true] {
            let mut command = command.to_vec();
            if json {
                command.push("--json");
            }
            let ended = place.run(&command);
            for text in [&ended.stdout, &ended.stderr] {
                let unfit = text.chars().find(|it| *it != '\n' && is_unfit(*it));
                assert_eq!(unfit, None, "{command:?}: {text:?}");
                assert!(!text.contains("\nerror: b"), "{command:?}: {text}");
            }
        }
    }
    // Only the form is another: a program reads the name that there is.
    let found = place.json(&["find", "a*gpj*"]);
    assert_eq!(found[0]["path"], hostile);
}

/// The times of files are by the clock of who keeps them. By one that is far ahead, what is being written at this moment looks as if it had lain there for long.
#[test]
fn what_is_being_written_is_no_leftover_to_a_clock_that_is_ahead() {
    let place = Place::new(ONE_OF_EACH);
    place.ok(&["init"]);
    place.write("nas/.tmp/0123456789abcdef", "half");
    let touch = |name: &str, when: &str| {
        let touched = Command::new("touch")
            .args(["--date", when])
            .arg(place.path(name))
            .status();
        assert!(touched.expect("touch runs").success());
    };
    touch("nas/.tmp/0123456789abcdef", "3 days ago");
    touch("nas/.tmp", "3 days ago");
    place.ok(&["list"]);
    assert!(place.path("nas/.tmp/0123456789abcdef").exists());
    touch("nas/.tmp", "now");
    place.ok(&["list"]);
    assert!(!place.path("nas/.tmp/0123456789abcdef").exists());
}
