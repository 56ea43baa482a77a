//! From an empty folder to a restored backup, through the program, its plugins and a real repository.

mod common;

use std::fs;
use std::process::Stdio;

use common::{ONE_OF_EACH, Place, TWO_OF_EACH, files, two_of_each, unprivileged};
use serde_json::{Value, json};
use strongroom_repository::testing::Restic;

#[test]
fn a_backup_goes_to_all_destinations_and_comes_back_the_same() {
    let place = two_of_each();
    let made = place.json(&["backup", "--note", "before the move"]);
    let listed = place.json(&["list"]);
    let backup = &listed[0];
    for key in [
        "id",
        "job",
        "kind",
        "trigger",
        "note",
        "created",
        "state",
        "sources",
        "destinations",
    ] {
        assert_eq!(made[key], backup[key], "{key}");
    }
    assert_eq!(backup["job"], "nightly");
    assert_eq!(backup["kind"], "full");
    assert_eq!(backup["trigger"], "on-demand");
    assert_eq!(backup["note"], "before the move");
    assert_eq!(backup["state"], "complete");
    assert_eq!(backup["destinations"], json!(["nas", "offsite"]));
    assert_eq!(backup["sources"][0]["source"], "media");
    assert_eq!(backup["sources"][0]["files"], 2);
    assert_eq!(backup["sources"][0]["bytes"], 3_000_001);

    let restored = place.json(&["restore", "latest", "--target", "out"]);
    assert_eq!(restored["sources"][0]["files"], 2);
    for source in ["media", "notes"] {
        assert_eq!(
            files(&place.path(source)),
            files(&place.path("out").join(source))
        );
    }
    let checked = place.json(&["check", "--read-data"]);
    for repository in checked["destinations"].as_array().expect("a list") {
        assert_eq!(repository["problems"], json!([]));
        assert_eq!(repository["packs"], repository["packs_read"]);
        assert_eq!(repository["snapshots"], 2);
    }
}

#[test]
fn an_unchanged_volume_is_carried_over() {
    let place = two_of_each();
    place.ok(&["backup"]);
    let again = place.json(&["backup", "--source", "media"]);
    assert_eq!(again["kind"], "incremental");
    assert_eq!(again["sources"].as_array().map(Vec::len), Some(1));
    // Nothing but the manifest and the trees above it.
    let new_bytes = again["sources"][0]["new_bytes"].as_u64().expect("a number");
    assert!(new_bytes < 10_000, "{new_bytes}");
    let full = place.json(&["backup", "--full", "--source", "media"]);
    assert_eq!(full["kind"], "full");
    let listed = place.json(&["list", "nightly", "--source", "notes"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[test]
fn all_repositories_of_an_engine_are_cut_alike_and_init_leaves_existing_ones_alone() {
    let place = Place::new(TWO_OF_EACH);
    let first = place.json(&["init", "offsite"]);
    assert_eq!(first["repositories"][0]["created"], true);
    let key = first["repositories"][0]["recovery_key"]
        .as_str()
        .expect("shown");
    assert_eq!(key.split('-').count(), 8);
    let second = place.json(&["init"]);
    let created: Vec<_> = second["repositories"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|made| (made["destination"].clone(), made["created"].clone()))
        .collect();
    assert_eq!(
        created,
        [
            (json!("nas"), json!(true)),
            (json!("offsite"), json!(false))
        ]
    );
    assert_eq!(second["repositories"][1]["recovery_key"], Value::Null);
    assert_eq!(
        second["repositories"][1]["repository"],
        first["repositories"][0]["repository"]
    );

    // What is cut alike is stored alike: the same number of blobs for data that takes several.
    place.write("media/random.bin", noise(8_000_000));
    place.write("notes/note.md", "# note");
    place.ok(&["backup"]);
    let checked = place.json(&["check"]);
    let blobs = |index: usize| {
        checked["destinations"][index]["blobs"]
            .as_u64()
            .expect("a number")
    };
    assert!(blobs(0) > 5);
    assert_eq!(blobs(0), blobs(1));

    // The recovery key opens the repository.
    place.write("recovery.key", key);
    place.configure(&TWO_OF_EACH.replace(
        "{ command = [\"echo\", \"another password\"] }",
        "{ file = \"recovery.key\" }",
    ));
    assert_eq!(place.json(&["list"]).as_array().map(Vec::len), Some(1));
}

/// Bytes that neither repeat nor compress, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn an_unreadable_destination_does_not_hide_the_others() {
    let place = two_of_each();
    place.ok(&["backup"]);
    fs::rename(place.path("nas"), place.path("away")).expect("moved");
    let list = place.run(&["list", "--json"]);
    assert_eq!(list.exit, 3, "{}", list.stderr);
    let listed: Value = serde_json::from_str(&list.stdout).expect("JSON");
    assert_eq!(listed[0]["destinations"], json!(["offsite"]));
    assert!(
        list.stderr.contains("no repository at destination nas"),
        "{}",
        list.stderr
    );
    place.ok(&["restore", "latest", "--source", "notes", "--target", "out"]);
    assert_eq!(
        fs::read(place.path("out/notes/note.md")).expect("restored"),
        b"# note"
    );

    // One failed destination fails the backup, and the other has it all the same.
    let backup = place.run(&["backup"]);
    assert_eq!(backup.exit, 1, "{}", backup.stderr);
    assert!(
        backup
            .stderr
            .ends_with("job nightly failed; its backup is complete at offsite\n"),
        "{}",
        backup.stderr
    );
    let list = place.run(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&list.stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_restore_takes_paths_and_can_go_into_a_source() {
    let place = two_of_each();
    place.ok(&["backup"]);
    place.ok(&[
        "restore", "latest", "--source", "media", "--path", "deep", "--target", "part",
    ]);
    let names: Vec<_> = files(&place.path("part")).into_keys().collect();
    assert_eq!(names, ["media/deep/b.bin"]);

    place.write("notes/note.md", "spoilt");
    place.ok(&[
        "restore",
        "latest",
        "--source",
        "notes",
        "--to",
        "notes",
        "--overwrite",
    ]);
    assert_eq!(
        fs::read(place.path("notes/note.md")).expect("restored"),
        b"# note"
    );

    let ambiguous = place.run(&["restore", "latest", "--path", "deep", "--target", "x"]);
    assert_eq!(ambiguous.exit, 2);
    assert!(
        ambiguous
            .stderr
            .contains("hint: name one with --source: media, notes"),
        "{}",
        ambiguous.stderr
    );
}

#[test]
fn a_download_is_a_tar_that_begins_with_its_manifest() {
    let place = two_of_each();
    place.ok(&["backup"]);
    let downloaded = place.json(&["download", "latest", "--source", "media", "--output", "dl"]);
    let path = downloaded["files"][0]["path"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert!(
        path.starts_with("dl/media-") && path.ends_with(".tar"),
        "{path}"
    );
    let listed = std::process::Command::new("tar")
        .args(["--list", "--file"])
        .arg(place.path(&path))
        .output()
        .expect("tar is there");
    let names = String::from_utf8(listed.stdout).expect("UTF-8");
    let names: Vec<_> = names.lines().collect();
    assert_eq!(
        names,
        [
            "manifest.json",
            "media",
            "media/a.txt",
            "media/deep",
            "media/deep/b.bin"
        ]
    );

    let again = place.run(&["download", "latest", "--source", "media", "--output", "dl"]);
    assert_eq!(again.exit, 1);
    assert_eq!(
        again.stderr,
        format!(
            "error: {path} exists already\nhint: move it away, or name another folder with --output\n"
        )
    );
    let left: Vec<_> = fs::read_dir(place.path("dl")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "no partial file is left");
}

#[test]
fn a_path_of_a_volume_comes_as_the_file_that_it_is_or_as_a_smaller_archive() {
    let place = two_of_each();
    place.ok(&["backup"]);
    let media = ["download", "latest", "--source", "media", "--output", "dl"];
    let written = |path: &str| {
        let mut arguments = media.to_vec();
        arguments.extend(["--path", path]);
        let downloaded = place.json(&arguments);
        place.path(downloaded["files"][0]["path"].as_str().expect("a path"))
    };
    let file = written("deep/b.bin");
    assert!(file.to_string_lossy().ends_with("-b.bin"), "{file:?}");
    assert!(fs::read(file).expect("readable") == vec![7; 3_000_000]);
    let archive = written("deep");
    let listed = std::process::Command::new("tar")
        .args(["--list", "--file"])
        .arg(archive)
        .output()
        .expect("tar is there");
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout),
        "manifest.json\nmedia\nmedia/deep\nmedia/deep/b.bin\n"
    );
    let ambiguous = place.run(&["download", "latest", "--path", "deep", "--output", "x"]);
    assert_eq!(ambiguous.exit, 2, "{}", ambiguous.stderr);
}

#[test]
fn keys_are_added_listed_and_removed() {
    let place = two_of_each();
    place.write("new.key", "a new password\n");
    let added = place.json(&["key", "add", "nas", "--new-password-file", "new.key"]);
    let old = place.json(&["key", "list", "nas"]);
    let old = old
        .as_array()
        .expect("a list")
        .iter()
        .find(|key| key["current"] == true);
    let old = old
        .and_then(|key| key["id"].as_str())
        .expect("one is in use")
        .to_owned();
    fs::rename(place.path("new.key"), place.path("nas.key")).expect("moved");
    let removed = place.json(&["key", "remove", "nas", &old[..8]]);
    assert_eq!(removed["id"], json!(old));
    let keys = place.json(&["key", "list", "nas"]);
    assert!(
        keys.as_array()
            .expect("a list")
            .iter()
            .any(|key| key["id"] == added["id"] && key["current"] == true)
    );
    place.write("nas.key", "correct horse");
    assert_eq!(
        place.run(&["key", "list", "nas"]).exit,
        1,
        "the old password is no good any more"
    );
}

#[test]
fn the_configuration_is_shown_with_its_secrets_hidden() {
    let place = Place::new(TWO_OF_EACH);
    let shown = place.ok(&["config", "show"]);
    assert!(
        shown.contains("password = { command = [\"echo\", \"•••••\"] }"),
        "{shown}"
    );
    assert!(
        shown.contains("password = { file = \"nas.key\" }"),
        "{shown}"
    );
    assert!(
        !shown.contains("another password") && !shown.contains("correct horse"),
        "{shown}"
    );
    assert!(
        shown.contains("config = { path = \"$DIR/media\" }"),
        "{shown}"
    );
}

#[test]
fn the_schema_covers_the_tables_of_plugins_and_accepts_a_good_configuration() {
    let place = Place::new(TWO_OF_EACH);
    let schema = place.json(&["config", "schema"]);
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let good = |path: &str| {
        json!({
            "sources": {"media": {"plugin": "volume", "config": {"path": path}}},
            "destinations": {"nas": {"plugin": "filesystem", "config": {"path": "/nas"}, "password": {"env": "X"}}},
        })
    };
    assert!(validator.is_valid(&good("/srv")));
    assert!(!validator.is_valid(&good("srv")), "a plugin's rule holds");
    let mut unknown = good("/srv");
    unknown["sources"]["media"]["config"]["pth"] = json!(1);
    assert!(!validator.is_valid(&unknown), "a plugin's keys are known");
    let mut literal = good("/srv");
    literal["destinations"]["nas"]["password"] = json!("hunter2");
    assert!(!validator.is_valid(&literal), "a literal secret is refused");
}

#[test]
fn bundled_plugins_are_listed_without_a_configuration() {
    let place = Place::new(ONE_OF_EACH);
    fs::remove_file(place.path("strongroom.toml")).expect("removed");
    let plugins = place.json(&["plugin", "list"]);
    let names: Vec<_> = plugins
        .as_array()
        .expect("a list")
        .iter()
        .map(|plugin| (plugin["name"].as_str(), plugin["for"].as_str()))
        .collect();
    assert!(
        names.contains(&(Some("volume"), Some("sources"))),
        "{names:?}"
    );
    assert!(
        names.contains(&(Some("filesystem"), Some("destinations"))),
        "{names:?}"
    );
    let shown = place.ok(&["plugin", "show", "volume"]);
    assert!(
        shown.contains("exclude_caches") && shown.contains("default false"),
        "{shown}"
    );
}

#[test]
fn json_of_a_backup_is_one_object_a_line_and_the_backup_last() {
    let place = two_of_each();
    let lines = place.ok(&["backup", "--json"]);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let (last, events) = lines.split_last().expect("at least one");
    assert!(events.iter().all(|event| event["event"].is_string()));
    assert_eq!(last["state"], "complete");
    assert_eq!(last["unreadable"], json!({"media": [], "notes": []}));
}

#[test]
fn a_reader_who_has_gone_is_no_fault() {
    let place = two_of_each();
    for args in [&["config", "schema"][..], &["--help"], &["list"]] {
        let mut command = place.command(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        drop(child.stdout.take());
        let ended = place.ended(child.wait_with_output().expect("ended"));
        assert_eq!(
            (ended.exit, ended.stderr.contains("panic")),
            (0, false),
            "{args:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn ctrl_c_cancels_and_leaves_nothing_that_counts() {
    let place = two_of_each();
    place.write("media/large.bin", noise(200_000_000));
    let child = place
        .command(&["backup"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    // From the lock on it is at work, and it is not done with so much data before the signal comes.
    let locks = place.path("nas/locks");
    while fs::read_dir(&locks).map_or(0, Iterator::count) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
    let ended = place.ended(child.wait_with_output().expect("ended"));
    assert_eq!(ended.exit, 130, "{}", ended.stderr);
    assert_eq!(
        ended.stderr,
        "cancelling… (once more ends it at once)\ncancelled\n"
    );
    assert_eq!(place.json(&["list"]), json!([]));
    fs::remove_file(place.path("media/large.bin")).expect("removed");
    place.ok(&["backup"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_backup_incomplete() {
    use std::os::unix::fs::PermissionsExt;
    let place = two_of_each();
    place.write("media/deep/secret", "x");
    let nobody = fs::Permissions::from_mode(0o000);
    fs::set_permissions(place.path("media/deep/secret"), nobody).expect("mode");
    let run = |args: &[&str]| {
        let output = unprivileged(&place, args).output();
        place.ended(output.expect("setpriv is there: install the Debian package util-linux"))
    };
    let backup = run(&["backup"]);
    assert_eq!(backup.exit, 3, "{}", backup.stderr);
    assert_eq!(
        backup.stderr,
        "warning: the backup of media is incomplete: 1 file could not be read\n  deep/secret: cannot be opened: permission denied\n"
    );
    assert!(backup.stdout.contains("incomplete"), "{}", backup.stdout);
    let listed = place.json(&["list"]);
    assert_eq!(listed[0]["state"], "incomplete");
    let again = run(&["backup", "--json"]);
    assert_eq!(again.exit, 3);
    let last = again.stdout.lines().last().expect("a line");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(last["unreadable"]["media"][0]["path"], "deep/secret");
    let shown = place.ok(&["show", "latest"]);
    assert!(
        shown.contains("could not be read\n    deep/secret: "),
        "{shown}"
    );
    let restored = place.run(&["restore", "latest", "--target", "out"]);
    assert_eq!(restored.exit, 0);
    assert!(
        restored.stderr.contains("is incomplete"),
        "{}",
        restored.stderr
    );
}

#[test]
fn what_stock_restic_backed_up_is_listed_shown_and_restored() {
    let place = two_of_each();
    let restic = Restic::installed().pop().expect("restic");
    let media = place.path("media").display().to_string();
    restic.run(&place.path("nas"), "correct horse", &["backup", &media]);
    let listed = place.json(&["list"]);
    let backup = &listed[0];
    assert_eq!(
        (&backup["job"], &backup["kind"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(backup["sources"][0]["source"], "$DIR/media");
    let id = backup["id"].as_str().expect("an id");
    let table = place.ok(&["list"]);
    assert!(
        table.contains(&id[..8]) && !table.contains(&id[..9]),
        "{table}"
    );
    place.ok(&["show", &id[..8]]);
    place.ok(&["restore", "latest", "--target", "out"]);
    let restored = place.path("out").join(media.trim_start_matches('/'));
    assert_eq!(files(&place.path("media")), files(&restored));
    place.ok(&["download", "latest", "--output", "dl"]);
}

#[test]
fn stock_restic_restores_what_we_backed_up() {
    let place = two_of_each();
    place.ok(&["backup", "--source", "media"]);
    for (number, restic) in Restic::installed().iter().enumerate() {
        let target = place.path(&format!("restic {number}"));
        let arguments = [
            "restore",
            "latest",
            "--target",
            target.to_str().expect("UTF-8"),
        ];
        restic.run(&place.path("nas"), "correct horse", &arguments);
        assert_eq!(files(&place.path("media")), files(&target.join("media")));
    }
}

#[test]
fn a_source_can_be_looked_at_without_backing_it_up() {
    let place = two_of_each();
    let told = place.json(&["source", "check", "media"]);
    assert_eq!(told["source"], "media");
    assert_eq!(told["plugin"], "volume");
    assert_eq!(told["attributes"]["top-level entries"], "2");
    let shown = place.ok(&["source", "check", "media"]);
    assert!(shown.contains("top-level entries  2\n"), "{shown}");
    assert_eq!(place.json(&["list"]), json!([]));

    fs::remove_dir_all(place.path("media")).expect("removed");
    let gone = place.run(&["source", "check", "media"]);
    assert_eq!(gone.exit, 1, "{}", gone.stderr);
    let unknown = place.run(&["source", "check", "medai"]);
    assert_eq!(unknown.exit, 2, "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("did you mean 'media'"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn what_only_a_plugin_understands_is_handed_to_the_plugin() {
    let place = two_of_each();
    place.ok(&["backup"]);
    let to_notes = |more: &[&str]| {
        let mut args = vec!["restore", "latest", "--source=notes", "--to=notes"];
        args.extend(more);
        place.run(&args)
    };
    let refused = to_notes(&["--option", "delete_extr=true"]);
    assert_eq!(refused.exit, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("delete_extr"), "{}", refused.stderr);
    let refused = to_notes(&["--until", "2026-03-01T13:05:00Z"]);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("as it was at a backup"),
        "{}",
        refused.stderr
    );

    place.write("notes/stray.md", "# stray");
    let done = to_notes(&["--overwrite", "--option", "delete_extra=true"]);
    assert_eq!(done.exit, 0, "{}", done.stderr);
    assert!(!place.path("notes/stray.md").exists());
    // A directory takes no options.
    let wrong = place.run(&["restore", "latest", "--target=out", "--option=a=b"]);
    assert_eq!(wrong.exit, 2, "{}", wrong.stderr);
}
