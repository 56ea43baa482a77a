//! Repair and sampled checks through the program.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{ONE_OF_EACH, Place};
use serde_json::Value;
use strongroom_repository::Repository;
use strongroom_repository::testing::{DirectoryDestination, Restic, noise};

const WHERE_TO_GO_ON: &str = "`strongroom repair index nas` comes first, then `strongroom repair snapshots nas`; --dry-run shows what each would save\n";

fn backed_up() -> Place {
    let place = Place::new(ONE_OF_EACH);
    place.ok(&["init"]);
    place.write("media/photo", noise(2 << 20, 1));
    place.ok(&["backup"]);
    place.write("media/second", noise(2 << 20, 2));
    place.ok(&["backup"]);
    place
}

fn objects(place: &Place, kind: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = common::files(&place.path("nas").join(kind))
        .into_keys()
        .map(|name| place.path("nas").join(kind).join(name))
        .collect();
    found.sort();
    found
}

#[test]
fn an_index_that_is_damaged_is_made_anew() {
    let place = backed_up();
    let sound = place.ok(&["repair", "index"]);
    assert_eq!(sound, "nas: the index is sound\n");
    let damaged = objects(&place, "index").remove(0);
    fs::write(&damaged, "half").expect("written");
    assert_eq!(place.run(&["check"]).exit, 1);
    let planned = place.json(&["repair", "index", "--dry-run"]);
    assert_eq!(planned["dry_run"], true);
    let planned = &planned["destinations"][0];
    assert_eq!(
        (&planned["changed"], &planned["packs"]),
        (&true.into(), &4.into())
    );
    assert!(damaged.is_file());
    let done = place.ok(&["repair", "index", "nas"]);
    assert!(
        done.starts_with("nas: the index was made anew · "),
        "{done}"
    );
    assert!(
        done.contains("is damaged: its content does not match its name"),
        "{done}"
    );
    place.ok(&["check", "--read-data"]);
    for restic in Restic::installed() {
        restic.run(&place.path("nas"), "correct horse", &["check"]);
    }
}

#[test]
fn what_a_lost_pack_costs_is_named_and_the_backup_becomes_incomplete() {
    let place = backed_up();
    let largest = |path: &PathBuf| fs::metadata(path).expect("there").len();
    let packs = objects(&place, "data");
    // One of the two that hold a photo.
    fs::remove_file(
        packs
            .iter()
            .max_by_key(|path| largest(path))
            .expect("a pack"),
    )
    .expect("removed");
    let checked = place.run(&["check"]);
    assert_eq!((checked.exit, checked.stderr.as_str()), (1, WHERE_TO_GO_ON));
    let early = place.run(&["repair", "snapshots"]);
    assert_eq!(early.exit, 1);
    assert!(
        early
            .stderr
            .contains("hint: run `strongroom repair index nas` first"),
        "{}",
        early.stderr
    );
    let repair = |args: &[&str], note: &str| {
        let ended = place.run(&[&["repair"], args].concat());
        let expected = (3, format!("{note}\n"));
        assert_eq!((ended.exit, ended.stderr), expected, "{}", ended.stdout);
        ended.stdout
    };
    let costs = "`strongroom repair snapshots nas --dry-run` names the files that this costs";
    for args in [&["index", "--dry-run"][..], &["index"]] {
        assert!(repair(args, costs).contains(" is missing\n"));
    }
    let again = "a new backup to nas stores again what its source still has";
    let planned = repair(&["snapshots", "--dry-run"], again);
    assert!(planned.contains("would be replaced\n"), "{planned}");
    assert!(planned.contains(" is lost: data blob"), "{planned}");
    let json = place.run(&["repair", "snapshots", "--dry-run", "--json"]);
    assert_eq!(json.exit, 3);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let repair_of = &json["destinations"][0]["repairs"][0];
    let backup = repair_of["backup"].as_str().expect("an id");
    let changes = repair_of["changes"].as_array().expect("a list");
    let lost = changes.last().expect("a change")["path"].as_str();
    // The names are those that other commands take.
    let lost = lost.expect("a path");
    assert!(place.path("media").join(lost).is_file(), "{lost}");
    assert!(
        planned.contains(&format!("    {lost} is lost")),
        "{planned}"
    );
    let done = repair(&["snapshots"], again);
    assert!(
        done.contains(&format!(" of media in backup {backup} was replaced by ")),
        "{done}"
    );
    let listed = place.json(&["list"]);
    let states: Vec<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["state"])
        .collect();
    assert!(
        states.iter().any(|state| *state == "incomplete"),
        "{states:?}"
    );
    let ended = place.run(&["check", "--read-data"]);
    assert_eq!(
        (ended.exit, ended.stderr.as_str()),
        (0, ""),
        "{}",
        ended.stdout
    );
    assert!(
        place
            .ok(&["repair", "snapshots"])
            .contains("2 sound snapshots, nothing to repair")
    );
}

/// The file that says where the next check of a share goes on.
fn place_kept(repository: &Repository, destination: &str) -> PathBuf {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state/checks");
    state.join(destination).join(repository.id().to_string())
}

#[test]
fn a_snapshot_that_makes_no_sense_is_left_alone_with_a_next_step() {
    let place = backed_up();
    let destination = DirectoryDestination::new("nas", place.path("nas"));
    let repository = Repository::open(Arc::new(destination), "correct horse").expect("opens");
    let odd = serde_json::json!({"time": "a new way to say it"});
    let id = repository
        .save_json(strongroom_repository::FileType::Snapshot, &odd)
        .expect("saved");
    let next = "a newer program may have made it: update strongroom, or forget it with a restic that understands it\n";
    let pruned = place.run(&["prune"]);
    assert_eq!(pruned.exit, 1);
    assert!(pruned.stderr.ends_with(next), "{}", pruned.stderr);
    let left = place.run(&["repair", "snapshots"]);
    assert_eq!((left.exit, left.stderr.as_str()), (3, ""));
    let line = format!(
        "\n  snapshot {} was left alone: snapshot {} cannot be understood: ",
        id.short(),
        id.short()
    );
    assert!(left.stdout.contains(&line), "{}", left.stdout);
    assert!(left.stdout.ends_with(next), "{}", left.stdout);
}

#[test]
fn a_check_of_a_share_goes_on_where_the_last_one_stopped() {
    let place = backed_up();
    let destination = DirectoryDestination::new("nas", place.path("nas"));
    let repository = Repository::open(Arc::new(destination), "correct horse").expect("opens");
    let file = place_kept(&repository, "nas");
    place.ok(&["check", "--read-data"]);
    assert!(
        !file.exists(),
        "who reads everything has no place to remember"
    );
    let mut packs_read = 0;
    for _ in 0..2 {
        let before = fs::read_to_string(&file).ok();
        let checked = place.json(&["check", "--read-data=50"]);
        packs_read += checked["destinations"][0]["packs_read"]
            .as_u64()
            .expect("a number");
        assert_ne!(fs::read_to_string(&file).ok(), before);
    }
    assert!(packs_read >= 4, "two halves are all four packs");
}

#[test]
fn a_copied_repository_is_checked_from_a_place_of_its_own() {
    let place = backed_up();
    for (name, content) in common::files(&place.path("nas")) {
        place.write(&format!("twin/{name}"), content);
    }
    let twin = "[destinations.twin]\nplugin = \"filesystem\"\nconfig = { path = \"$DIR/twin\" }\n\
                password = { file = \"nas.key\" }\n";
    place.configure(&format!("{ONE_OF_EACH}{twin}"));
    let destination = DirectoryDestination::new("nas", place.path("nas"));
    let repository = Repository::open(Arc::new(destination), "correct horse").expect("opens");
    for name in ["nas", "twin"] {
        let file = place_kept(&repository, name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, "0").expect("written");
    }
    // The first pack from there on. Were nas's half counted for both, it would not be read at the twin.
    let packs = common::files(&place.path("twin/data"));
    let by_id = |name: &&String| name.rsplit('/').next().map(str::to_owned);
    let first = packs.keys().min_by_key(by_id).expect("a pack");
    let mut bytes = packs[first].clone();
    bytes[10] ^= 1;
    place.write(&format!("twin/data/{first}"), bytes);
    let ended = place.run(&["check", "--read-data=50"]);
    assert_eq!(ended.exit, 1, "{}", ended.stdout);
    let (nas, twin) = ended.stdout.split_once("twin: ").expect("both");
    assert!(nas.starts_with("nas: no problems"), "{nas}");
    let id = first.rsplit('/').next().and_then(|id| id.get(..8));
    assert!(twin.contains(id.expect("an id")), "{twin}");
}

/// One that restic made long ago.
#[test]
fn a_repository_of_version_1_is_upgraded_by_name() {
    for restic in Restic::installed() {
        let config = format!("{ONE_OF_EACH}\n[engine]\nstate = \"$DIR/state\"\n");
        let place = Place::new(&config);
        let nas = place.path("nas");
        restic.run(
            &nas,
            "correct horse",
            &["init", "--repository-version", "1"],
        );
        place.write("media/text", "words ".repeat(100_000));
        place.ok(&["backup"]);
        restic.run(&nas, "correct horse", &["check", "--read-data"]);
        let before = fs::read(place.path("nas/config")).expect("read");
        let ended = place.run(&["repair", "format"]);
        assert_eq!(ended.exit, 2, "it wants a name: {}", ended.stderr);
        assert_eq!(
            place.ok(&["repair", "format", "nas", "--dry-run"]),
            "nas: would be brought from format version 1 to 2\n"
        );
        assert!(fs::read(place.path("nas/config")).expect("read") == before);

        let done = place.json(&["repair", "format", "nas"]);
        let done = &done["destinations"][0];
        assert_eq!((&done["from"], &done["to"]), (&1.into(), &2.into()));
        let kept = done["old_config"].as_str().expect("a path");
        let kept = kept.strip_prefix("$DIR/state/").expect("in the state");
        let kept = place.path("state").join(kept);
        assert!(fs::read(kept).expect("read") == before);
        assert_eq!(
            place.ok(&["repair", "format", "nas"]),
            "nas: has format version 2 already\n"
        );
        place.write("media/more", "other words ".repeat(100_000));
        place.ok(&["backup"]);
        place.ok(&["check", "--read-data"]);
        restic.run(&nas, "correct horse", &["check", "--read-data"]);
        place.ok(&["restore", "latest", "--target", "out"]);
        assert_eq!(
            common::files(&place.path("out/media")),
            common::files(&place.path("media"))
        );
    }
}
