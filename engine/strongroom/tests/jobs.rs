//! Jobs of which a part fails: what can be backed up is, and everybody is told what is missing.

mod common;

use std::fs;

use common::{Place, TWO_OF_EACH, files};
use serde_json::{Value, json};

/// Two volumes and two folders; nothing is made where a volume is not there.
fn two_of_each() -> String {
    TWO_OF_EACH.replace(", writable = true", "")
}

/// The second volume is not there.
fn one_is_down() -> Place {
    let place = Place::new(&two_of_each());
    place.write("media/a.txt", "a");
    place.ok(&["init"]);
    place
}

fn last_line(text: &str) -> Value {
    let last = text.lines().last().expect("a line");
    serde_json::from_str(last).expect("JSON")
}

#[test]
fn a_source_that_is_down_keeps_no_other_from_being_backed_up() {
    let place = one_is_down();
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with("incomplete backup "),
        "{}",
        ended.stdout
    );
    assert!(
        ended
            .stdout
            .contains("  notes  failed, and is not in this backup\n")
    );
    assert!(
        ended.stderr.contains("error: source notes: "),
        "{}",
        ended.stderr
    );
    let state = "job nightly failed; its backup lacks notes, and has the rest at nas, offsite\n";
    assert!(ended.stderr.ends_with(state), "{}", ended.stderr);

    let listed = place.json(&["list"]);
    assert_eq!(listed[0]["state"], "incomplete");
    assert_eq!(listed[0]["missing_sources"], json!(["notes"]));
    assert_eq!(listed[0]["partial_destinations"], json!(["nas", "offsite"]));
    assert!(place.ok(&["list"]).contains("media, not notes"));
    let shown = place.ok(&["show", "latest"]);
    assert!(
        shown.lines().any(|line| line == "missing  notes"),
        "{shown}"
    );

    let restored = place.run(&["restore", "latest", "--target", "out"]);
    assert_eq!(restored.exit, 0, "{}", restored.stderr);
    assert!(
        restored
            .stderr
            .contains("it lacks notes, which failed when it was made")
    );
    assert_eq!(files(&place.path("out")).len(), 1);
    let verified = place.run(&["verify", "--sample", "100"]);
    assert_eq!(verified.exit, 0, "{}", verified.stderr);
    assert!(
        verified.stderr.contains("it lacks notes"),
        "{}",
        verified.stderr
    );
    let quiet = place.run(&["restore", "latest", "--source", "media", "--target", "one"]);
    assert_eq!((quiet.exit, quiet.stderr.as_str()), (0, ""));
    let id = listed[0]["id"].as_str().expect("an id");
    place.fails(
        &["restore", id, "--source", "notes", "--target", "x"],
        1,
        "strongroom list --source notes",
    );
}

#[test]
fn the_last_backup_of_a_source_outlives_the_runs_that_lack_it() {
    let place = Place::new(&format!(
        "{}\n[jobs.nightly.on_demand_retention]\nlast = 1\n",
        two_of_each()
    ));
    place.write("media/a.txt", "a");
    place.write("notes/b.md", "b");
    place.ok(&["init"]);
    place.ok(&["backup"]);
    fs::remove_dir_all(place.path("notes")).expect("removed");
    for number in ["1", "2", "3"] {
        place.write("media/a.txt", number);
        let ended = place.run(&["backup", "--json"]);
        assert_eq!(ended.exit, 1, "{}", ended.stderr);
        let made = last_line(&ended.stdout);
        assert_eq!(made["missing_sources"], json!(["notes"]));
        assert_eq!(made["state"], "incomplete");
    }
    place.ok(&["forget"]);
    let listed = place.json(&["list"]);
    let sources = |backup: &Value| -> Vec<String> {
        let sources = backup["sources"].as_array().expect("a list");
        sources
            .iter()
            .map(|it| it["source"].as_str().expect("a name").to_owned())
            .collect()
    };
    let kept: Vec<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(sources)
        .collect();
    assert_eq!(kept, [vec!["notes"], vec!["media"]]);
    place.ok(&["restore", "latest", "--source", "notes", "--target", "out"]);
    assert_eq!(files(&place.path("out/notes"))["b.md"], b"b");
}

#[test]
fn where_every_source_fails_there_is_no_backup() {
    let place = one_is_down();
    fs::remove_dir_all(place.path("media")).expect("removed");
    let ended = place.run(&["backup", "--json"]);
    assert_eq!(ended.exit, 1);
    let made = last_line(&ended.stdout);
    assert_eq!(made["id"], Value::Null);
    assert_eq!(made["missing_sources"], json!(["media", "notes"]));
    assert_eq!(place.json(&["list"]), json!([]));
}

/// One source that cannot even be asked beside one that can, and a job that has nothing to do with it.
fn check_world(table: &str, plugins: &str, expected: &str) {
    let place = Place::new(&format!(
        r#"
{plugins}
[sources.media]
plugin = "volume"
config = {{ path = "$DIR/media" }}

[sources.odd]
{table}

[destinations.nas]
plugin = "filesystem"
config = {{ path = "$DIR/nas" }}
password = {{ file = "nas.key" }}

[jobs.both]
sources = ["odd", "media"]
destinations = ["nas"]

[jobs.other]
sources = ["media"]
destinations = ["nas"]
"#
    ));
    place.write("media/a.txt", "a");
    place.ok(&["init"]);
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let listed = place.json(&["list"]);
    let found: Vec<_> = listed.as_array().expect("a list").iter().collect();
    let found: Vec<_> = found
        .iter()
        .map(|it| (&it["job"], &it["missing_sources"]))
        .collect();
    assert_eq!(
        found,
        [
            (&json!("both"), &json!(["odd"])),
            (&json!("other"), &json!([]))
        ]
    );
    // By itself it is what it always was: nothing was touched.
    let alone = place.run(&["backup", "both", "--source", "odd"]);
    assert_ne!(alone.exit, 0);
    assert!(
        !alone.stderr.contains("job both failed"),
        "{}",
        alone.stderr
    );
}

#[test]
fn a_secret_that_is_not_there_costs_the_source_that_needs_it() {
    let table = r#"plugin = "postgres"
config = { host = "127.0.0.1", port = 1, user = "x", password = { file = "missing.key" } }"#;
    check_world(table, "", "cannot read the secret file");
}

#[test]
fn a_plugin_that_is_not_there_costs_the_source_that_needs_it() {
    let plugins = "[plugins.odd]\npath = \"odd.wasm\"\nsha256 = \"00\"\n";
    let plugins = plugins.replace("\"00\"", &format!("\"{}\"", "0".repeat(64)));
    check_world("plugin = \"odd\"", &plugins, "cannot read the plugin file");
}

#[test]
fn a_destination_whose_secret_is_not_there_costs_the_copy_there() {
    let place = Place::new(&TWO_OF_EACH.replace(
        "{ command = [\"echo\", \"another password\"] }",
        "{ file = \"offsite.key\" }",
    ));
    place.write("media/a.txt", "a");
    place.write("notes/b.md", "b");
    place.write("offsite.key", "another password");
    place.ok(&["init"]);
    fs::remove_file(place.path("offsite.key")).expect("removed");
    place.fails(&["backup"], 1, "its backup is complete at nas");
    let restored = place.run(&["restore", "latest", "--from", "nas", "--target", "out"]);
    assert_eq!(restored.exit, 0, "{}", restored.stderr);
}

#[test]
fn what_is_wrong_with_the_file_itself_keeps_everything_from_running() {
    let check = |right: &str, wrong: &str| {
        let place = Place::new(&TWO_OF_EACH.replace(right, wrong));
        place.write("media/a.txt", "a");
        place.ok(&["init"]);
        let ended = place.run(&["backup"]);
        assert_eq!(ended.exit, 2, "{wrong}: {}", ended.stderr);
        assert_eq!(place.json(&["list"]).as_array().map(Vec::len), Some(0));
    };
    check(
        "path = \"$DIR/notes\", writable = true",
        "path = \"$DIR/notes\", writeable = true",
    );
    check(
        "[sources.notes]\nplugin = \"volume\"",
        "[sources.notes]\nplugin = \"volumes\"",
    );
    check("path = \"$DIR/notes\"", "path = \"notes\"");
    check(
        "[sources.notes]\nplugin = \"volume\"",
        "[sources.notes]\nplugin = \"volume\"\nallow = { read = [] }",
    );
}
