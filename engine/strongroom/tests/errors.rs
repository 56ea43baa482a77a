//! What the program says when something is wrong, word for word.

mod common;

use std::fs::File;
use std::process::{Command, Stdio};

use common::{ONE_OF_EACH, Place, files, two_of_each};
use strongroom_repository::Id;

/// Runs the program with a configuration and compares its exit code and all that it says.
#[track_caller]
fn check(config: &str, args: &[&str], exit: i32, stderr: &str) {
    check_in(&Place::new(config), args, exit, stderr);
}

#[track_caller]
fn check_in(place: &Place, args: &[&str], exit: i32, stderr: &str) {
    let ended = place.run(args);
    assert_eq!(ended.stderr.trim_end(), stderr.trim(), "{args:?}");
    assert_eq!(ended.exit, exit, "{args:?}");
    assert_eq!(
        ended.stdout, "",
        "nothing but results goes to standard output"
    );
}

/// [`ONE_OF_EACH`] with a change.
#[track_caller]
fn with(from: &str, to: &str) -> String {
    assert!(ONE_OF_EACH.contains(from), "{from}");
    ONE_OF_EACH.replace(from, to)
}

/// `config check` of [`ONE_OF_EACH`] with a change.
#[track_caller]
fn check_config(from: &str, to: &str, stderr: &str) {
    check(&with(from, to), &["config", "check"], 2, stderr);
}

/// A repository, and a folder to back up.
fn initialised() -> Place {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/a.txt", "a");
    place.ok(&["init"]);
    place
}

fn backed_up() -> Place {
    let place = initialised();
    place.ok(&["backup"]);
    place
}

/// The only file below `folder`.
fn only_file(place: &Place, folder: &str) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(place.path(folder)).expect("a folder");
    files.next().expect("a file").expect("readable").path()
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    check_config(
        "plugin = \"volume\"",
        "plugn = \"volume\"",
        "error: strongroom.toml:3:1: unknown key 'plugn' in 'sources.media'\n\
         hint: did you mean 'plugin'?",
    );
    check_config(
        "[jobs.nightly]",
        "[job.nightly]",
        "error: strongroom.toml:11:2: unknown key 'job'\n\
         hint: did you mean 'jobs'?",
    );
    check_config(
        "{ file =",
        "{ fiel =",
        "error: strongroom.toml:9:14: unknown key 'fiel' in 'destinations.nas.password'\n\
         hint: did you mean 'file'?",
    );
    check_config(
        "destinations = [\"nas\"]",
        "destinations = [\"nas\"]\nretention = { dayly = 7 }",
        "error: strongroom.toml:14:15: unknown key 'dayly' in 'jobs.nightly.retention'\n\
         hint: did you mean 'daily'?",
    );
}

#[test]
fn an_unknown_key_of_a_plugin_is_named_with_what_there_is() {
    check_config(
        "path = \"$DIR/media\"",
        "path = \"/srv\", exclud = []",
        "error: strongroom.toml:4:27: unknown key 'exclud' in 'sources.media.config'\n\
         hint: did you mean 'exclude'?",
    );
    check_config(
        "path = \"$DIR/nas\"",
        "path = \"/srv\", xyz = 1",
        "error: strongroom.toml:8:27: unknown key 'xyz' in 'destinations.nas.config'\n\
         hint: known keys: path",
    );
}

#[test]
fn a_missing_key_is_explained() {
    check_config(
        "plugin = \"volume\"",
        "",
        "error: strongroom.toml:2:1: missing key 'plugin' in 'sources.media'\n\
         hint: add 'plugin': the plugin that reads it",
    );
    check_config(
        "path = \"$DIR/media\"",
        "",
        "error: strongroom.toml:4:10: missing key 'path' in 'sources.media.config'\n\
         hint: add 'path': the directory to back up; an absolute path",
    );
    check_config(
        "password = { file = \"nas.key\" }",
        "",
        "error: strongroom.toml:6:1: missing key 'password' in 'destinations.nas'\n\
         hint: it is a secret: write password = { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARGUMENT\"] }",
    );
}

#[test]
fn a_wrong_value_is_placed_and_not_quoted() {
    check_config(
        "path = \"$DIR/media\"",
        "path = 4711",
        "error: strongroom.toml:4:19: 'sources.media.config.path' must be a string, not a number",
    );
    check_config(
        "path = \"$DIR/media\"",
        "path = \"media\"",
        "error: strongroom.toml:4:19: 'sources.media.config.path' has not the right form\n\
         hint: the directory to back up; an absolute path",
    );
    check_config(
        "sources = [\"media\"]",
        "sources = []",
        "error: strongroom.toml:12:11: 'jobs.nightly.sources' must not be empty",
    );
    check_config(
        "sources = [\"media\"]",
        "sources = [\"media\"]\nschedule = 5",
        "error: strongroom.toml:13:12: 'jobs.nightly.schedule' must be a string or a table",
    );
    check_config(
        "[jobs.nightly]",
        "[jobs.\"a b\"]",
        "error: strongroom.toml:11:7: 'a b' cannot be a name in 'jobs'\n\
         hint: a name has at most 64 letters, digits, '.', '_' and '-', and begins with a letter or digit",
    );
    check_config(
        "[jobs.nightly]",
        "[jobs.nightly",
        "error: strongroom.toml:11:14: unclosed table, expected `]`",
    );
}

#[test]
fn how_backups_are_proven_is_checked_too() {
    let check_job = |line: &str, stderr: &str| {
        let to = format!("sources = [\"media\"]\nverify = {{ {line} }}");
        check_config("sources = [\"media\"]", &to, stderr);
    };
    check_job(
        "schedule = \"0 25 * * *\"",
        "error: strongroom.toml:13:23: 'jobs.nightly.verify.schedule' is no cron expression: value must be in range 0..=23; found 25\n\
         hint: minute, hour, day of month, month, day of week, such as \"0 2 * * MON-SAT\"",
    );
    check_job(
        "sample = 101",
        "error: strongroom.toml:13:21: 'jobs.nightly.verify.sample' must be 100 or less",
    );
    check_job(
        "user = \"\"",
        "error: strongroom.toml:13:19: 'jobs.nightly.verify.user' must not be empty",
    );
    check_job(
        "programs = \"/usr/bin\"",
        "error: strongroom.toml:13:23: 'jobs.nightly.verify.programs' must be an array, not a string",
    );
    check_job(
        "asertions = []",
        "error: strongroom.toml:13:12: unknown key 'asertions' in 'jobs.nightly.verify'\n\
         hint: did you mean 'assertions'?",
    );
    check_job(
        "assertions = [{ source = \"meda\", sql = \"select true\" }]",
        "error: strongroom.toml:13:37: 'jobs.nightly.verify.assertions[0].source' names 'meda', which the job has not\n\
         hint: did you mean 'media'?",
    );
    check_job(
        "assertions = [\"select true\", \" \"]",
        "error: strongroom.toml:13:41: 'jobs.nightly.verify.assertions[1]' is empty",
    );
    let two = with(
        "[jobs.nightly]",
        "[sources.notes]\nplugin = \"volume\"\nconfig = { path = \"$DIR/notes\" }\n[jobs.nightly]",
    );
    let two = two.replace(
        "sources = [\"media\"]",
        "sources = [\"media\", \"notes\"]\nverify = { assertions = [\"select true\"] }",
    );
    check(
        &two,
        &["config", "check"],
        2,
        "error: strongroom.toml:16:26: 'jobs.nightly.verify.assertions[0]' names no source, and the job has several\n\
         hint: write { source = \"NAME\", sql = \"…\" }",
    );
}

#[test]
fn schedules_zones_and_retention_are_checked_before_they_are_needed() {
    let check_job = |line: &str, stderr: &str| {
        let to = format!("sources = [\"media\"]\n{line}");
        check_config("sources = [\"media\"]", &to, stderr);
    };
    check_job(
        "schedule = \"0 25 * * *\"",
        "error: strongroom.toml:13:12: 'jobs.nightly.schedule' is no cron expression: value must be in range 0..=23; found 25\n\
         hint: minute, hour, day of month, month, day of week, such as \"0 2 * * MON-SAT\"",
    );
    check_job(
        "schedule = { full = \"0 2 * *\" }",
        "error: strongroom.toml:13:21: 'jobs.nightly.schedule.full' has 4 fields where cron has 5\n\
         hint: minute, hour, day of month, month, day of week, such as \"0 2 * * MON-SAT\"",
    );
    check_job(
        "timezone = \"Europe/Zurigo\"",
        "error: strongroom.toml:13:12: 'jobs.nightly.timezone' is no known time zone\n\
         hint: write an IANA name such as \"Europe/Zurich\" or \"UTC\"",
    );
    check_job(
        "retention = { within = \"30 days\" }",
        "error: strongroom.toml:13:24: 'jobs.nightly.retention.within' has not the right form\n\
         hint: all that are not older than the newest complete one by more than this: a number and `h`, `d`, `w`, `m` (months) or `y`, such as \"30d\"",
    );
    check_job(
        "retention = { daily = -1 }",
        "error: strongroom.toml:13:23: 'jobs.nightly.retention.daily' must be 0 or more",
    );
    check_job(
        "on_demand_retention = { last_beyond = 3 }",
        "error: strongroom.toml:13:23: 'jobs.nightly.on_demand_retention' has last_beyond without within\n\
         hint: last_beyond counts backups that are older than within: add within = \"30d\", or say last",
    );
}

#[test]
fn a_name_that_is_not_configured_is_named_with_the_nearest_one() {
    check_config(
        "sources = [\"media\"]",
        "sources = [\"medai\"]",
        "error: strongroom.toml:12:12: 'jobs.nightly.sources' names the unknown source 'medai'\n\
         hint: did you mean 'media'?",
    );
    check_config(
        "destinations = [\"nas\"]",
        "destinations = [\"offsite\"]",
        "error: strongroom.toml:13:17: 'jobs.nightly.destinations' names the unknown destination 'offsite'\n\
         hint: configured destinations: nas",
    );
    check_config(
        "plugin = \"volume\"",
        "plugin = \"volum\"",
        "error: strongroom.toml:3:10: there is no plugin 'volum'\n\
         hint: did you mean 'volume'?",
    );
    check_config(
        "plugin = \"volume\"",
        "plugin = \"filesystem\"",
        "error: strongroom.toml:3:10: 'sources.media.plugin' names 'filesystem', which is no plugin for sources\n\
         hint: `strongroom plugin list` shows which plugins are for what",
    );
    let place = Place::new(ONE_OF_EACH);
    for (args, stderr) in [
        (
            ["backup", "nightli"],
            "error: there is no job 'nightli'\nhint: did you mean 'nightly'?",
        ),
        (
            ["backup", "--source=shop"],
            "error: there is no source 'shop'\nhint: configured sources: media",
        ),
        (
            ["check", "nsa"],
            "error: there is no destination 'nsa'\nhint: did you mean 'nas'?",
        ),
    ] {
        check_in(&place, &args, 2, stderr);
    }
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let forms = "hint: write { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARGUMENT\"] }";
    check_config(
        "{ file = \"nas.key\" }",
        "\"hunter2\"",
        &format!(
            "error: strongroom.toml:9:12: 'destinations.nas.password' is a secret and must not stand in the file\n{forms}"
        ),
    );
    check_config(
        "{ file = \"nas.key\" }",
        "{ file = \"a\", env = \"B\" }",
        &format!(
            "error: strongroom.toml:9:12: 'destinations.nas.password' needs exactly one of env, file and command\n{forms}"
        ),
    );
    check_config(
        "path = \"$DIR/media\"",
        "path = { env = \"MEDIA\" }",
        "error: strongroom.toml:4:19: 'sources.media.config.path' must be a string, not a table\n\
         hint: this table has no secret: write the value itself",
    );
}

#[test]
fn a_secret_that_cannot_be_had_names_the_key_and_the_place() {
    let check_secret = |reference: &str, stderr: &str| {
        let config = with("{ file = \"nas.key\" }", reference);
        let stderr = format!("error: strongroom.toml:9:12: destinations.nas.password: {stderr}");
        check(&config, &["list"], 2, &stderr);
    };
    check_secret(
        "{ env = \"NAS_KEY\" }",
        "the environment variable NAS_KEY is not set\n\
         hint: set it where strongroom is started, or name a file or a command instead",
    );
    check_secret(
        "{ file = \"other.key\" }",
        "cannot read the secret file other.key: no such file or directory\n\
         hint: make it, readable for nobody else, or write another path",
    );
    check_secret(
        "{ command = [\"sh\", \"-c\", \"echo hunter2; exit 7\"] }",
        "the secret's command sh ended with exit status: 7\n\
         hint: run it by hand to see what it says",
    );
}

#[test]
fn a_configuration_that_is_not_there_says_where_it_was_looked_for() {
    let place = Place::new(ONE_OF_EACH);
    check_in(
        &place,
        &["--config", "nope.toml", "list"],
        2,
        "error: cannot read the configuration nope.toml: no such file or directory\n\
         hint: name another file with --config or STRONGROOM_CONFIG",
    );
    check(
        "",
        &["backup"],
        2,
        "error: no jobs are configured\nhint: add a table [jobs.NAME] to the configuration",
    );
}

#[test]
fn a_plugin_file_is_run_only_with_its_checksum() {
    let place = Place::new("[plugins.redis]\npath = \"redis.wasm\"\n");
    let check_plugin = |stderr: &str| check_in(&place, &["config", "check"], 2, stderr);
    check_plugin(
        "error: strongroom.toml:2:8: cannot read the plugin file $DIR/redis.wasm: no such file or directory\n\
         hint: put the component there, or correct the path",
    );
    place.write("redis.wasm", "a plugin");
    let sha256 = Id::of(b"a plugin");
    check_plugin(&format!(
        "error: strongroom.toml:1:1: 'plugins.redis' needs the checksum of its file\n\
         hint: if the file is to be trusted: sha256 = \"{sha256}\""
    ));
    place.configure(&format!(
        "[plugins.redis]\npath = \"redis.wasm\"\nsha256 = \"{}\"\n",
        "0".repeat(64)
    ));
    check_plugin(&format!(
        "error: strongroom.toml:3:10: the plugin file $DIR/redis.wasm is not the one whose checksum stands here\n\
         hint: get the right file, or if this one is to be trusted: sha256 = \"{sha256}\""
    ));
}

#[test]
fn a_plugin_file_that_is_no_plugin_says_what_it_is() {
    let check_file = |bytes: &[u8], stderr: &str| {
        let place = Place::new(&format!(
            "[plugins.redis]\npath = \"redis.wasm\"\nsha256 = \"{}\"\n",
            Id::of(bytes)
        ));
        place.write("redis.wasm", bytes);
        let stderr = format!("error: strongroom.toml:2:8: plugin redis: {stderr}");
        check_in(&place, &["config", "check"], 2, &stderr);
    };
    let build_hint = "hint: build it for the target wasm32-wasip2, or turn a module into a component with `wasm-tools component new`";
    check_file(b"", "is an empty file\nhint: copy or download it again");
    check_file(
        b"#!/bin/sh\n",
        &format!("is no WebAssembly component\n{build_hint}"),
    );
    check_file(
        b"\0asm\x01\0\0\0",
        &format!("is a core WebAssembly module, not a component\n{build_hint}"),
    );
    check_file(
        b"\0asm\x0d\0\x01\0",
        "does not export strongroom:plugin/source or strongroom:plugin/destination@0.1.0\n\
         hint: it is a component, but no plugin of this engine: see the guide for plugin authors",
    );
}

#[test]
fn a_capability_that_is_not_allowed_is_refused_with_the_line_to_add() {
    check(
        &with(
            "plugin = \"volume\"",
            "plugin = \"volume\"\nallow = { read = [\"/srv\"] }",
        ),
        &["backup"],
        2,
        "error: strongroom.toml:2:10: source media: is not allowed to read $DIR/media\n\
         hint: if it should be, set in [sources.media]: allow = { read = [\"/srv\", \"$DIR/media\"] }",
    );
}

#[test]
fn a_repository_that_is_not_there_names_the_command_that_makes_it() {
    let place = Place::new(ONE_OF_EACH);
    let missing = "error: no repository at destination nas\nhint: strongroom init nas";
    check_in(&place, &["list"], 1, missing);
    check_in(
        &place,
        &["backup"],
        1,
        &format!("{missing}\njob nightly failed; no backup was made"),
    );
}

#[test]
fn a_wrong_password_is_told_apart_from_a_damaged_repository() {
    let place = initialised();
    place.write("nas.key", "wrong");
    check_in(
        &place,
        &["list"],
        1,
        "error: wrong password for repository nas\n\
         hint: the recovery key that `strongroom init` showed opens it too",
    );
    place.write("nas.key", "correct horse");
    place.write("nas/config", "half");
    check_in(
        &place,
        &["list"],
        1,
        "error: the config of repository nas is damaged: it is too short to be encrypted data\n\
         hint: get the file 'config' back from a copy of the repository",
    );
}

#[test]
fn a_damaged_snapshot_is_named_and_makes_the_list_incomplete() {
    let place = backed_up();
    let snapshot = only_file(&place, "nas/snapshots");
    let id = snapshot.file_name().expect("a name").to_string_lossy();
    place.write(&format!("nas/snapshots/{id}"), "half");
    check_in(
        &place,
        &["list"],
        3,
        &format!(
            "error: nas: snapshot {} is damaged: its content does not match its name\n\
             hint: the other backups do not need it; `strongroom repair snapshots` drops it",
            &id[..8]
        ),
    );
}

#[test]
fn a_damaged_index_is_named() {
    let place = backed_up();
    let index = only_file(&place, "nas/index");
    let id = index.file_name().expect("a name").to_string_lossy();
    place.write(&format!("nas/index/{id}"), "half");
    check_in(
        &place,
        &["restore", "latest", "--target", "out"],
        1,
        &format!(
            "error: nas: index {} is damaged: its content does not match its name\n\
             hint: `strongroom repair index` makes the index anew from the packs (so does `restic repair index`)",
            &id[..8]
        ),
    );
    assert!(!place.path("out").exists(), "nothing is written before");
}

#[test]
fn a_backup_that_is_not_there_points_at_the_list() {
    let place = initialised();
    let hint = "hint: `strongroom list` shows the backups";
    let check_id = |id: &str, exit, stderr: &str| {
        let stderr = format!("error: {stderr}\n{hint}");
        check_in(&place, &["restore", id, "--target", "out"], exit, &stderr);
    };
    check_id("latest", 1, "there is no backup yet");
    check_id("abcd", 1, "there is no backup 'abcd'");
    check_id(
        "abc",
        2,
        "'abc' is too short to name a backup: give 4 digits or more",
    );
}

#[test]
fn a_source_folder_that_is_missing_fails_the_backup() {
    let place = Place::new(ONE_OF_EACH);
    place.ok(&["init"]);
    check_in(
        &place,
        &["backup"],
        1,
        "error: source media: cannot open $DIR/media: no such file or directory\n\
         hint: correct the path, or mount what belongs there\n\
         job nightly failed; no backup was made",
    );
    assert_eq!(place.json(&["list"]), serde_json::json!([]));
}

#[test]
fn a_destination_that_is_no_folder_is_named() {
    let place = Place::new(ONE_OF_EACH);
    place.write("nas", "a file");
    let ended = place.run(&["init"]);
    assert!(
        ended
            .stderr
            .contains("destination nas: $DIR/nas is no directory"),
        "{}",
        ended.stderr
    );
    assert_ne!(ended.exit, 0);
}

#[test]
fn a_restore_does_not_write_over_files_unless_told() {
    let place = backed_up();
    place.write("out/media/a.txt", "precious");
    check_in(
        &place,
        &["restore", "latest", "--target", "out"],
        1,
        "error: $DIR/out/media/a.txt: exists already; nothing was restored\n\
         hint: choose an empty folder, or say --overwrite or --keep-existing",
    );
    check_in(
        &place,
        &["restore", "latest", "--to", "media"],
        1,
        "error: source media: $DIR/media is configured for reading only\n\
         hint: set writable = true in the source's config, or restore into another directory",
    );
    let kept = std::fs::read_to_string(place.path("out/media/a.txt")).expect("readable");
    assert_eq!(kept, "precious");
}

#[test]
fn a_key_that_is_in_use_is_not_removed() {
    let place = initialised();
    let keys = place.json(&["key", "list", "nas"]);
    let used = keys
        .as_array()
        .expect("a list")
        .iter()
        .find(|key| key["current"] == true)
        .expect("one is in use");
    let id = used["id"].as_str().expect("an id");
    check_in(
        &place,
        &["key", "remove", "nas", &id[..12]],
        1,
        &format!(
            "error: nas: key {} is the one that the repository was opened with\n\
             hint: open the repository with another password to remove this one",
            &id[..8]
        ),
    );
}

#[test]
fn a_list_of_a_source_that_nobody_knows_is_no_empty_list() {
    let place = backed_up();
    check_in(
        &place,
        &["list", "--source", "medai"],
        2,
        "error: there is no source 'medai'\nhint: did you mean 'media'?",
    );
}

#[test]
fn a_check_that_failed_does_not_end_as_if_all_was_well() {
    let place = backed_up();
    assert!(place.run(&["check"]).stderr.contains("only the structure"));
    let pack = only_file(&place, "nas/data");
    std::fs::remove_dir_all(pack).expect("removed");
    let ended = place.run(&["check"]);
    assert_eq!(ended.exit, 1);
    assert!(
        !ended.stderr.contains("only the structure"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("problem"), "{}", ended.stdout);
}

/// The id of the only backup.
fn only_id(place: &Place) -> String {
    let listed = place.json(&["list"]);
    listed[0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_path_that_no_source_has_points_at_those_that_there_are() {
    let place = backed_up();
    let id = only_id(&place);
    let stderr = format!(
        "error: no 'nowhere' in backup {id}\n\
         hint: paths are relative to the source: `strongroom ls --recursive {id}` shows them all"
    );
    for args in [
        ["ls", "latest", "nowhere", "--long"],
        ["cat", "latest", "nowhere", "--source=media"],
        ["show", "latest", "--files", "--path=nowhere"],
    ] {
        check_in(&place, &args, 1, &stderr);
    }
    check_in(
        &place,
        &["diff", "latest", &id, "--path", "nowhere"],
        1,
        &format!(
            "error: no 'nowhere' in backup {id} or {id}\n\
             hint: paths are relative to the source: leave out --path to compare everything"
        ),
    );
}

#[test]
fn what_has_no_content_or_too_much_of_it_is_not_printed() {
    let place = two_of_each();
    place.write("notes/a.txt", "another a");
    std::os::unix::fs::symlink("a.txt", place.path("media/link")).expect("linked");
    place.ok(&["backup"]);
    let id = only_id(&place);
    let check_cat =
        |path: &str, stderr: &str| check_in(&place, &["cat", "latest", path], 2, stderr);
    for (path, what) in [("deep", "a folder"), ("link", "a symbolic link")] {
        check_cat(
            path,
            &format!(
                "error: '{path}' is {what}, not a file with content\n\
                 hint: `strongroom ls --long {id} '{path}'` shows it"
            ),
        );
    }
    check_cat(
        "a.txt",
        "error: 'a.txt' is in 2 sources of this backup\n\
         hint: choose with --source: media, notes",
    );
    assert_eq!(
        place.ok(&["cat", "latest", "a.txt", "--source", "notes"]),
        "another a"
    );
}

#[test]
fn a_pattern_that_means_nothing_is_explained() {
    let place = backed_up();
    for (pattern, reason) in [
        ("[", "has a [ without its ]"),
        ("", "names nothing"),
        ("a\\", "ends in a backslash"),
    ] {
        let shown = pattern.escape_debug();
        check_in(
            &place,
            &["find", pattern],
            2,
            &format!(
                "error: the pattern '{shown}' {reason}\n\
                 hint: write '*.jpg' for names, 'photos/**/*.jpg' for paths; a backslash makes the next character literal"
            ),
        );
    }
    check_in(
        &place,
        &["find", "*", "--job", "nightli"],
        2,
        "error: there is no job 'nightli'\nhint: did you mean 'nightly'?",
    );
}

#[test]
fn what_cannot_be_copied_or_unlocked_is_refused() {
    let place = two_of_each();
    place.ok(&["backup", "--source", "media"]);
    for (args, exit, stderr) in [
        (
            &["copy", "nas", "nas"][..],
            2,
            "error: nas cannot be copied to itself\nhint: name another destination as the second one",
        ),
        (
            &["copy", "nas", "offsit"],
            2,
            "error: there is no destination 'offsit'\nhint: did you mean 'offsite'?",
        ),
        (
            &["copy", "nas", "offsite", "--job", "nightli"],
            2,
            "error: there is no job 'nightli'\nhint: did you mean 'nightly'?",
        ),
        (
            &["copy", "nas", "offsite", "zzzzzz"],
            1,
            "error: destination nas: there is no backup 'zzzzzz'\n\
             hint: `strongroom list` shows which destination has which backup",
        ),
        (
            &["unlock", "nsa"],
            2,
            "error: there is no destination 'nsa'\nhint: did you mean 'nas'?",
        ),
    ] {
        let before = files(&place.path("offsite"));
        check_in(&place, args, exit, stderr);
        assert_eq!(files(&place.path("offsite")), before, "{args:?}");
    }
}

#[test]
fn a_configuration_that_is_a_device_or_a_pipe_without_an_end_is_not_read() {
    let place = Place::new(ONE_OF_EACH);
    let made = Command::new("mkfifo").arg(place.path("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    for name in ["pipe", "/dev/zero"] {
        let stderr = format!(
            "error: cannot read the configuration {name}: it is no regular file\n\
             hint: name another file with --config or STRONGROOM_CONFIG"
        );
        check_in(&place, &["--config", name, "list"], 2, &stderr);
    }
    // What a shell substitutes is a pipe that somebody writes to.
    let substituted = place
        .command(&["config", "check", "--config", "/dev/stdin"])
        .stdin(Stdio::from(
            File::open(place.path("strongroom.toml")).expect("opens"),
        ))
        .output()
        .expect("the program starts");
    assert!(substituted.status.success(), "{substituted:?}");
}

#[test]
fn a_recovery_key_that_nobody_has_seen_is_told() {
    let check = |output: &str, exit: i32, words: &str| {
        let place = Place::new(ONE_OF_EACH);
        let init = place
            .command(&["init"])
            .stdout(File::create(output).expect("opens"))
            .output()
            .expect("the program starts");
        let stderr = String::from_utf8_lossy(&init.stderr);
        for words in [
            words,
            "was created, and nobody has seen its recovery key",
            "hint: `strongroom key add nas --recovery` makes and shows another one",
        ] {
            assert!(stderr.contains(words), "{output}: {stderr}");
        }
        assert_eq!(init.status.code(), Some(exit), "{output}: {stderr}");
    };
    check("/dev/null", 0, "standard output is discarded");
    check("/dev/full", 1, "no space left on device");
}
