//! Verifying volumes, and what is kept of it.

mod common;

use std::fs;

use common::{ONE_OF_EACH, Place, files, two_of_each};
use serde_json::{Value, json};
use strongroom_repository::testing::noise;

fn backed_up(config: &str) -> Place {
    let place = Place::new(config);
    for number in 0..40 {
        place.write(&format!("media/{number}.txt"), format!("file {number}"));
    }
    place.ok(&["init"]);
    place.ok(&["backup"]);
    place
}

/// Changes a byte in the middle of every pack.
fn damage(place: &Place) {
    for (name, mut bytes) in files(&place.path("nas/data")) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(place.path("nas/data").join(name), bytes).expect("written");
    }
}

#[test]
fn a_volume_is_proven_by_a_sample_and_the_list_says_since_when() {
    let place = backed_up(ONE_OF_EACH);
    let listed = place.ok(&["list"]);
    assert!(
        listed.contains("PROVEN") && listed.contains("complete  -"),
        "{listed}"
    );
    let told = place.ok(&["verify"]);
    assert!(told.starts_with("media: proven · from nas · "), "{told}");
    let sample = "\n  ok  sample  2 of 40 files restored and read back as they were\n";
    assert!(told.ends_with(sample), "{told}");
    let verified = place.json(&["verify", "latest", "--sample", "100%"]);
    assert_eq!(verified["proven"], true);
    let source = &verified["sources"][0];
    assert_eq!(source["result"], "proven");
    let detail = "40 of 40 files restored and read back as they were";
    let finding = json!([{"verdict": "passed", "subject": "sample", "detail": detail}]);
    assert_eq!(source["findings"], finding);

    let listed = place.json(&["list"]);
    assert_eq!(
        listed[0]["proof"],
        json!({"result": "proven", "time": source["time"]})
    );
    let shown = place.json(&["show", "latest"]);
    assert_eq!(&shown["sources"][0]["verification"], source);
    assert!(
        place
            .ok(&["show", "latest"])
            .contains("\nverification  proven, ")
    );
}

#[test]
fn damage_is_found_and_the_list_says_failed_until_it_is_proven_again() {
    let place = backed_up(ONE_OF_EACH);
    let good = files(&place.path("nas/data"));
    damage(&place);
    let ended = place.run(&["verify", "--sample", "100"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with("media: not proven · "),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("\n  failed  "), "{}", ended.stdout);
    assert_eq!(place.json(&["list"])[0]["proof"]["result"], "failed");
    assert!(place.ok(&["list"]).trim_end().ends_with("  failed"));

    for (name, bytes) in good {
        fs::write(place.path("nas/data").join(name), bytes).expect("written");
    }
    place.ok(&["verify"]);
    assert_eq!(place.json(&["list"])[0]["proof"]["result"], "proven");
}

#[test]
fn a_backup_of_several_sources_is_proven_when_all_are() {
    let place = two_of_each();
    place.ok(&["backup"]);
    place.ok(&["verify", "--source", "notes", "--from", "offsite"]);
    let proof = || place.json(&["list"])[0]["proof"].clone();
    assert_eq!(proof(), json!({"result": "partly", "proven": 1, "of": 2}));
    assert!(place.ok(&["list"]).contains("1 of 2"));
    let told = place.ok(&["verify"]);
    assert_eq!(told.matches(": proven").count(), 2, "{told}");
    assert_eq!(proof()["result"], "proven");
}

/// What was proven is one snapshot, and others of the same run are not.
#[test]
fn a_backup_whose_proven_snapshot_is_gone_is_not_proven() {
    let place = two_of_each();
    place.write("media/noise", noise(1 << 20, 1));
    place.ok(&["backup"]);
    place.ok(&["verify", "--from", "nas"]);
    let listed = || place.json(&["list"])[0].clone();
    assert_eq!(listed()["proof"]["result"], "proven");
    let id = listed()["id"].as_str().expect("an id").to_owned();
    place.ok(&["forget", "--backup", &id, "--destination", "nas", "--force"]);
    assert_eq!(listed()["proof"], Value::Null);
    let shown = place.json(&["show", "latest"]);
    assert_eq!(shown["sources"][0]["verification"], Value::Null);
    place.ok(&["verify"]);
    assert_eq!(listed()["proof"]["result"], "proven");

    // Without its largest pack it is repaired: another snapshot of the same run.
    let data = place.path("offsite/data");
    let packs = files(&data);
    let largest = packs.iter().max_by_key(|(_, bytes)| bytes.len());
    fs::remove_file(data.join(largest.expect("a pack").0)).expect("removed");
    for what in ["index", "snapshots"] {
        assert_eq!(place.run(&["repair", what, "offsite"]).exit, 3, "{what}");
    }
    assert_eq!(listed()["state"], "incomplete");
    assert_ne!(listed()["proof"]["result"], "proven");
}

#[test]
fn the_jobs_table_says_how_much_and_where() {
    let config = format!("{ONE_OF_EACH}\nverify = {{ sample = 50, scratch = \"here\" }}\n");
    let place = backed_up(&config);
    // What an engine that was killed left behind goes, and what is nobody's stays.
    for name in [
        "here/strongroom-verify-left.lock",
        "here/strongroom-verify-left/data/file",
        "here/other",
        "here/other.lock",
    ] {
        place.write(name, "");
    }
    let verified = place.json(&["verify"]);
    let detail = verified["sources"][0]["findings"][0]["detail"].as_str();
    assert!(
        detail.expect("a finding").starts_with("20 of 40 "),
        "{verified}"
    );
    let left: Vec<_> = files(&place.path("here")).into_keys().collect();
    assert_eq!(left, ["other", "other.lock"]);
    assert!(!place.path("here/strongroom-verify-left").exists());
    let elsewhere = place.path("elsewhere").display().to_string();
    place.ok(&["verify", "--scratch", &elsewhere]);
    assert_eq!(fs::read_dir(elsewhere).expect("made").count(), 0);
}

#[test]
fn what_cannot_be_verified_says_why_and_takes_nothing_back() {
    let place = backed_up(ONE_OF_EACH);
    let check = |config: &str, expected: &str| {
        place.configure(config);
        let ended = place.run(&["verify"]);
        assert_eq!(ended.stderr.trim_end(), expected);
        assert_eq!((ended.exit, ended.stdout.as_str()), (1, ""));
    };
    check(
        &ONE_OF_EACH
            .replace("media\"]", "other\"]")
            .replace("sources.media", "sources.other"),
        "error: there is no source 'media'\n\
         hint: a backup is verified by the plugin of its source: the configuration has to have one of this name",
    );
    check(
        &ONE_OF_EACH.replace(
            "plugin = \"volume\"\nconfig = { path = \"$DIR/media\" }",
            "plugin = \"postgres\"",
        ),
        "error: source media: the backup was made by plugin volume, and the source is now one of postgres",
    );
    check(
        &format!("{ONE_OF_EACH}\nverify = {{ assertions = [\"select 1\"] }}"),
        "error: source media: a volume cannot be asked 'select 1'\n\
         hint: name the source that each of the assertions is of",
    );
    let proof = |place: &Place| place.json(&["list"])[0]["proof"].clone();
    assert_eq!(proof(&place), Value::Null);
    place.configure(ONE_OF_EACH);
    place.ok(&["verify"]);
    place.configure(&format!(
        "{ONE_OF_EACH}\nverify = {{ assertions = [\"select 1\"] }}"
    ));
    assert_eq!(place.run(&["verify"]).exit, 1);
    assert_eq!(proof(&place)["result"], "proven");
}
