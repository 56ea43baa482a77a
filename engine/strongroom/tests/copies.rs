//! Two copies of a backup: a damaged one does not hide a sound one, and nothing is half restored.

mod common;

use std::fs;
use std::sync::Arc;

use common::{Place, files, two_of_each};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::index::Index;
use strongroom_repository::testing::{DirectoryDestination, noise};
use strongroom_repository::{BlobType, FileType, Id, Progress, Repository, Snapshot};

/// The files in a folder of a repository, packs included.
fn stored(place: &Place, folder: &str) -> Vec<String> {
    let found = files(&place.path(folder)).into_keys();
    found.map(|name| format!("{folder}/{name}")).collect()
}

/// Spoils everything in a folder of a repository.
fn spoil(place: &Place, folder: &str) {
    for name in stored(place, folder) {
        let mut bytes = fs::read(place.path(&name)).expect("readable");
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
        place.write(&name, bytes);
    }
}

fn backed_up() -> Place {
    let place = two_of_each();
    place.ok(&["backup"]);
    place
}

#[test]
fn what_is_in_the_way_of_one_source_keeps_the_others_from_being_written() {
    let place = backed_up();
    place.write("out/notes/note.md", "precious");
    let ended = place.run(&["restore", "latest", "--target", "out"]);
    assert_eq!(
        (ended.exit, ended.stderr.as_str()),
        (
            1,
            "error: $DIR/out/notes/note.md: exists already; nothing was restored\n\
             hint: choose an empty folder, or say --overwrite or --keep-existing\n"
        )
    );
    let names: Vec<_> = files(&place.path("out")).into_keys().collect();
    assert_eq!(names, ["notes/note.md"]);
    place.ok(&["restore", "latest", "--target", "out", "--keep-existing"]);
    assert_eq!(files(&place.path("out/media")), files(&place.path("media")));
}

#[test]
fn a_damaged_copy_does_not_hide_a_sound_one() {
    let place = backed_up();
    spoil(&place, "nas/index");
    let restored = place.run(&["restore", "latest", "--target", "out", "--json"]);
    assert_eq!(restored.exit, 0, "{}", restored.stderr);
    let first = restored.stderr.lines().next().expect("a warning");
    assert!(
        first.starts_with(
            "warning: the copy of media at nas cannot be read, the one at offsite is taken instead: nas: index "
        ),
        "{first}"
    );
    for source in ["media", "notes"] {
        assert_eq!(
            files(&place.path(source)),
            files(&place.path("out").join(source))
        );
    }
    place.ok(&["show", "latest"]);
    place.ok(&["download", "latest", "--output", "dl"]);

    // Who names a destination gets that one.
    let named =
        |args: &[&str]| place.run(&[&["restore", "latest", "--target", "x"], args].concat());
    let nas = named(&["--from", "nas"]);
    assert_eq!(nas.exit, 1);
    assert!(
        nas.stderr.starts_with("error: nas: index "),
        "{}",
        nas.stderr
    );
    assert_eq!(named(&["--from", "offsite"]).stderr, "");
}

#[test]
fn a_destination_to_restore_from_must_have_the_backup() {
    let place = backed_up();
    let check = |from: &str, exit: i32, stderr: &str| {
        for rest in [["--target", "x"], ["--output", "x"]] {
            let command = match rest[0] {
                "--target" => "restore",
                _ => "download",
            };
            let args = [command, "latest", "--from", from, rest[0], rest[1]];
            let ended = place.run(&args);
            assert_eq!(
                (ended.exit, ended.stderr.as_str()),
                (exit, stderr),
                "{args:?}"
            );
        }
    };
    check(
        "ofsite",
        2,
        "error: there is no destination 'ofsite'\nhint: did you mean 'offsite'?\n",
    );
    for name in stored(&place, "offsite/snapshots") {
        fs::remove_file(place.path(&name)).expect("removed");
    }
    check(
        "offsite",
        1,
        "error: destination offsite: there is no backup yet\n\
         hint: `strongroom list` shows which destination has which backup\n",
    );
}

#[test]
fn damage_in_the_middle_of_a_restore_names_the_other_copy() {
    let place = two_of_each();
    // So much that content has packs of its own: directories and manifests are sound, and this is not.
    place.write("media/large.bin", noise(30_000_000, 1));
    place.ok(&["backup"]);
    let largest = stored(&place, "nas/data")
        .into_iter()
        .max_by_key(|name| fs::metadata(place.path(name)).map_or(0, |found| found.len()))
        .expect("a pack");
    let mut bytes = fs::read(place.path(&largest)).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    place.write(&largest, bytes);
    let ended = place.run(&["restore", "latest", "--target", "out"]);
    assert_eq!(ended.exit, 3);
    // Only that file is missing, and the other source is there.
    let expected = files(&place.path("notes"));
    assert_eq!(files(&place.path("out/notes")), expected);
    assert!(
        ended.stderr.ends_with(
            "hint: offsite has a copy too: add --from offsite, and --overwrite for what is restored already\n"
        ),
        "{}",
        ended.stderr
    );
    place.ok(&[
        "restore",
        "latest",
        "--target",
        "out",
        "--from",
        "offsite",
        "--overwrite",
    ]);
    assert_eq!(files(&place.path("out/media")), files(&place.path("media")));
}

/// Turns over a bit of the tree of a folder of source `media`.
fn spoil_directory(place: &Place, destination: &str, password: &str, name: &str) {
    let root = place.path(destination);
    let opened = Repository::open(
        Arc::new(DirectoryDestination::new(destination, root.clone())),
        password,
    );
    let repository = Arc::new(opened.expect("opens"));
    let index = Index::load(&repository, &Progress::default()).expect("loaded");
    let snapshots = repository.snapshots().expect("listed").good;
    let of_media = |it: &&(Id, Snapshot)| it.1.tag("source") == Some("media");
    let (_, snapshot) = snapshots.iter().find(of_media).expect("a snapshot");
    let reader = BlobReader::new(repository, Arc::new(index));
    let mut tree = snapshot.tree;
    for name in ["media", name] {
        let found = reader.tree(&tree).expect("read");
        let node = found.find(name.as_bytes()).expect("a directory");
        tree = node.subtree.expect("a tree");
    }
    let location = reader.locate(BlobType::Tree, &tree).expect("found");
    let pack = root.join(FileType::Pack.key(&location.pack));
    let mut bytes = fs::read(&pack).expect("read");
    bytes[location.blob.offset as usize + 20] ^= 1;
    fs::write(&pack, bytes).expect("written");
}

#[test]
fn a_damaged_directory_costs_what_is_in_it_where_no_copy_is_whole() {
    let place = two_of_each();
    place.write("media/album/photo", "a photo");
    place.ok(&["backup"]);
    spoil_directory(&place, "nas", "correct horse", "album");
    let ended = place.run(&["restore", "latest", "--target", "whole"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let expected = files(&place.path("media"));
    assert_eq!(files(&place.path("whole/media")), expected);

    spoil_directory(&place, "offsite", "another password", "album");
    let ended = place.run(&["restore", "latest", "--target", "out", "--json"]);
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    let told = "error: album: cannot be restored: nothing below it can be read: ";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    let done: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(done["sources"][0]["damaged"][0]["path"], "album");
    let mut expected = files(&place.path("media"));
    expected.remove("album/photo").expect("there");
    assert_eq!(files(&place.path("out/media")), expected);
    assert_eq!(files(&place.path("out/notes")), files(&place.path("notes")));
}

#[test]
fn a_destination_that_lacks_a_source_is_told_apart() {
    let place = backed_up();
    let backup = &place.json(&["list"])[0];
    let id = backup["sources"][1]["snapshots"]["offsite"].as_str();
    let name = format!("offsite/snapshots/{}", id.expect("an id"));
    fs::remove_file(place.path(&name)).expect("removed");
    assert!(place.ok(&["list"]).contains("nas, offsite (partial)"));
    assert!(
        place
            .ok(&["show", "latest"])
            .contains("nas, offsite (partial)")
    );
    let backup = &place.json(&["list"])[0];
    assert_eq!(backup["state"], "complete");
    assert_eq!(backup["destinations"], serde_json::json!(["nas"]));
    assert_eq!(
        backup["partial_destinations"],
        serde_json::json!(["offsite"])
    );
}
