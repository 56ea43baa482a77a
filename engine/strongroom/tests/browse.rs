//! Looking into backups: `ls`, `cat`, `find` and `diff`, beside what restic says.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use common::{ONE_OF_EACH, Place, two_of_each};
use serde_json::{Value, json};
use strongroom_repository::testing::{Restic, noise};

/// Two backups of one folder, with every kind of change between them.
fn changed() -> (Place, [String; 2]) {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/same/kept.txt", "kept");
    place.write("media/a.txt", "a");
    place.write("media/gone.bin", vec![1; 5000]);
    place.write("media/deep/b.bin", noise(3_000_000, 1));
    place.write("media/mode.txt", "mode");
    place.write("media/turned", "a file");
    place.ok(&["init"]);
    place.ok(&["backup"]);
    place.write("media/a.txt", "another a");
    fs::remove_file(place.path("media/gone.bin")).expect("removed");
    place.write("media/deep/new/c.bin", noise(1000, 2));
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(place.path("media/mode.txt"), mode).expect("set");
    fs::remove_file(place.path("media/turned")).expect("removed");
    symlink("a.txt", place.path("media/turned")).expect("linked");
    place.ok(&["backup"]);
    let listed = place.json(&["list"]);
    let id = |number: usize| listed[number]["id"].as_str().expect("an id").to_owned();
    let ids = [id(0), id(1)];
    (place, ids)
}

#[test]
fn a_difference_has_restics_signs() {
    let (place, [before, after]) = changed();
    let text = place.ok(&["diff", &before, &after]);
    let lines: Vec<&str> = text.lines().collect();
    let changes = [
        "U    ./",
        "M    a.txt",
        "U    deep/",
        "+    deep/new/",
        "+    deep/new/c.bin",
        "-    gone.bin",
        "U    mode.txt",
        "T    turned",
    ];
    assert_eq!(lines[..8], changes, "{text}");
    let summary = "1 file added, 1 removed, 2 changed · 1 folder added, 0 removed · 3 entries with other metadata \
                   · 0.99 KiB added, 4.89 KiB removed";
    assert_eq!(lines[8..], ["", summary]);
    for restic in Restic::installed() {
        let snapshot = |id: &str| {
            let shown = place.json(&["show", id]);
            shown["sources"][0]["snapshot"]
                .as_str()
                .expect("an id")
                .to_owned()
        };
        let (first, second) = (snapshot(&before), snapshot(&after));
        let theirs = restic.run(
            &place.path("nas"),
            "correct horse",
            &["diff", "--metadata", &first, &second],
        );
        let mut theirs: Vec<String> = theirs
            .lines()
            .filter_map(|line| {
                let (signs, path) = line
                    .split_once(" /media/")
                    .or_else(|| line.split_once("/media/"))?;
                let path = if path.is_empty() { "./" } else { path };
                // restic says of a changed type that the metadata differ, too.
                let sign = signs.trim().chars().next()?;
                Some(format!("{sign}    {}", path.trim_start()))
            })
            .collect();
        theirs.sort();
        let mut ours: Vec<String> = changes.map(str::to_owned).to_vec();
        ours.sort();
        assert_eq!(ours, theirs);
    }

    let json = place.json(&["diff", &before, &after, "--path", "deep"]);
    let changes = json["changes"].as_array().expect("a list").iter();
    let changes: Vec<_> = changes
        .map(|change| (&change["change"], &change["path"], &change["size"]))
        .collect();
    assert_eq!(
        changes,
        [
            (&json!("U"), &json!("deep"), &json!(null)),
            (&json!("+"), &json!("deep/new"), &json!(null)),
            (&json!("+"), &json!("deep/new/c.bin"), &json!(1000)),
        ]
    );
    assert_eq!(
        json["summary"],
        json!({
            "files_added": 1, "files_removed": 0, "files_changed": 0, "folders_added": 1, "folders_removed": 0,
            "metadata_changed": 1, "bytes_added": 1000, "bytes_removed": 0,
        })
    );
    let none = place.json(&["diff", &after, &after]);
    assert_eq!(none["changes"], json!([]));
    assert_eq!(place.ok(&["diff", &after, &after]), "no differences\n");
}

#[test]
fn a_directory_is_listed_and_a_file_is_printed() {
    let place = two_of_each();
    place.write("media/odd \u{1b}[2J name", "odd");
    let touched = Command::new("touch")
        .args(["--date=2001-02-03T04:05:06Z", "media/deep/b.bin"])
        .current_dir(place.path(""))
        .status();
    assert!(touched.expect("touch runs").success());
    place.ok(&["backup"]);
    assert_eq!(
        place.ok(&["ls", "latest", "--source", "media"]),
        "a.txt\ndeep/\nodd \\u{1b}[2J name\n"
    );
    assert_eq!(place.ok(&["ls", "latest", "deep"]), "media\ndeep/b.bin\n");
    let all = place.ok(&["ls", "latest", "--recursive"]);
    assert!(
        all.contains("deep/b.bin") && all.contains("note.md"),
        "{all}"
    );
    let long = place.ok(&["ls", "latest", "--long", "--recursive"]);
    assert_eq!(long, place.ok(&["show", "latest", "--files"]));
    let entries = place.json(&["ls", "latest", "deep"]);
    let expected = json!([{
        "source": "media", "path": "deep/b.bin", "type": "file", "mode": "0600", "size": 3_000_000,
        "modified": "2001-02-03T04:05:06Z", "target": null,
    }]);
    assert_eq!(entries, expected);
    assert_eq!(place.ok(&["cat", "latest", "a.txt"]), "a");
    assert_eq!(place.ok(&["cat", "latest", "note.md"]), "# note");
    let json = place.json(&["cat", "latest", "note.md"]);
    let expected = json!({"source": "notes", "path": "note.md", "size": 6, "content": "IyBub3Rl"});
    assert_eq!(json, expected);
    let large = place
        .command(&["cat", "latest", "deep/b.bin"])
        .output()
        .expect("starts");
    assert!(large.stdout == vec![7; 3_000_000], "other bytes");
}

#[test]
fn a_reader_who_has_gone_ends_it_in_silence() {
    let place = two_of_each();
    place.write("media/large", noise(60_000_000, 4));
    place.ok(&["backup"]);
    let mut child = place
        .command(&["cat", "latest", "large"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn damaged_content_is_never_printed() {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/large.bin", noise(30_000_000, 1));
    place.ok(&["init"]);
    place.ok(&["backup"]);
    let packs = common::files(&place.path("nas/data"));
    for (name, mut bytes) in packs
        .into_iter()
        .filter(|(_, bytes)| bytes.len() > 5_000_000)
    {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        place.write(&format!("nas/data/{name}"), bytes);
    }
    let ended = place
        .command(&["cat", "latest", "large.bin"])
        .output()
        .expect("starts");
    assert_eq!(ended.status.code(), Some(1));
    assert!(noise(30_000_000, 1).starts_with(&ended.stdout));
    assert!(ended.stdout.len() < 30_000_000);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.starts_with("error: repository nas: pack "), "{said}");
}

#[test]
fn a_pattern_finds_names_paths_and_folders_in_all_backups() {
    let (place, [before, after]) = changed();
    let found = |args: &[&str]| -> Vec<(String, String)> {
        let json = place.json(&[&["find"], args].concat());
        let hits = json.as_array().expect("a list").iter();
        let text = |hit: &Value, key: &str| hit[key].as_str().expect("text").to_owned();
        hits.map(|hit| (text(hit, "backup"), text(hit, "path")))
            .collect()
    };
    let hit = |backup: &String, path: &str| (backup.clone(), path.to_owned());
    assert_eq!(
        found(&["*.bin"]),
        [
            hit(&before, "deep/b.bin"),
            hit(&before, "gone.bin"),
            hit(&after, "deep/b.bin"),
            hit(&after, "deep/new/c.bin"),
        ]
    );
    assert_eq!(found(&["deep/*.bin", &after]), [hit(&after, "deep/b.bin")]);
    assert_eq!(found(&["deep/**/c.*"]), [hit(&after, "deep/new/c.bin")]);
    assert_eq!(found(&["new/"]), [hit(&after, "deep/new")]);
    assert_eq!(found(&["kept.txt", "--job", "nightly"]).len(), 2);
    let json = place.json(&["find", "gone.bin"]);
    let listed = place.json(&["list"]);
    let expected = json!([{
        "backup": before, "created": listed[0]["created"], "job": "nightly", "source": "media", "path": "gone.bin",
        "type": "file", "size": 5000, "modified": json[0]["modified"],
    }]);
    assert_eq!(json, expected);
    assert_eq!(place.json(&["find", "nowhere"]), json!([]));
    let text = place.ok(&["find", "gone.bin"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("BACKUP"), "{text}");
    assert!(lines[1].starts_with(&before), "{text}");
    assert!(
        lines[1].ends_with("media         file     4.88 KiB  gone.bin"),
        "{text}"
    );
    let none = place.run(&["find", "nowhere"]);
    assert_eq!((none.exit, none.stdout.as_str()), (0, ""));
    assert_eq!(none.stderr, "nothing matches 'nowhere'\n");
}

#[test]
fn what_was_shown_whole_is_done_though_another_destination_is_away() {
    let place = two_of_each();
    place.ok(&["backup"]);
    place.write("media/c.txt", "c");
    place.ok(&["backup"]);
    let listed = place.json(&["list"]);
    let first = listed[0]["id"].as_str().expect("an id");
    fs::rename(place.path("offsite"), place.path("away")).expect("moved");
    let check = |args: &[&str], exit: i32, stdout: &str| {
        let ended = place.run(args);
        assert_eq!(ended.exit, exit, "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.contains(stdout), "{args:?}: {}", ended.stdout);
        assert!(
            ended.stderr.starts_with("error: "),
            "{args:?}: {}",
            ended.stderr
        );
    };
    check(&["ls", "latest"], 0, "c.txt\n");
    check(&["ls", "latest", "--recursive"], 0, "deep/b.bin\n");
    check(&["diff", first, "latest"], 0, "+    c.txt\n");
    check(&["cat", "latest", "c.txt"], 0, "c");
    // There may be more backups where it could not look.
    check(&["find", "c.txt"], 3, "c.txt\n");
    check(&["list"], 3, first);
}
