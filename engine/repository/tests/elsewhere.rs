//! Blobs that lie in two packs, as a run without the index leaves them: damage in one of the packs costs nothing.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Fixture, everything_to, noise};
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::prune::{MaxUnused, PruneOptions, prune};
use strongroom_repository::restore::{Selection, restore_tree};
use strongroom_repository::tar::write_tar;
use strongroom_repository::testing::{Restic, assert_same_files};
use strongroom_repository::{FileType, Progress};

fn packs(fixture: &Fixture) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(fixture.path("repository/data")).expect("listed") {
        let entries = fs::read_dir(folder.expect("an entry").path()).expect("listed");
        found.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    found
}

/// Everything is stored twice. Out come the packs of the first time and those of the second.
fn stored_twice() -> (Fixture, [BTreeSet<PathBuf>; 2]) {
    let fixture = Fixture::new();
    fs::create_dir(fixture.data().join("folder")).expect("a folder");
    fs::write(fixture.data().join("large"), noise(9 << 20, 1)).expect("written");
    fs::write(fixture.data().join("folder/small"), "small").expect("written");
    fixture.backup();
    let first = packs(&fixture);
    let (index, kept) = (fixture.path("repository/index"), fixture.path("index"));
    fs::rename(&index, &kept).expect("moved");
    fs::create_dir(&index).expect("made");
    fixture.backup();
    for entry in fs::read_dir(&kept).expect("listed") {
        let entry = entry.expect("an entry");
        fs::rename(entry.path(), index.join(entry.file_name())).expect("moved back");
    }
    let mut second = packs(&fixture);
    second.retain(|pack| !first.contains(pack));
    (fixture, [first, second])
}

/// What happens to a pack.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Flipped,
    Short,
    Gone,
}

fn damage(pack: &Path, how: Damage) {
    let mut bytes = fs::read(pack).expect("read");
    match how {
        Damage::Flipped => bytes.iter_mut().for_each(|byte| *byte ^= 0x55),
        Damage::Short => bytes.truncate(bytes.len() / 2),
        Damage::Gone => return fs::remove_file(pack).expect("removed"),
    }
    fs::write(pack, bytes).expect("written");
}

/// Everything is stored twice, and what one of the runs wrote is damaged. Its snapshot, which it needs alone, is forgotten.
fn damaged_once(run: usize, how: Damage) -> (Fixture, BTreeSet<PathBuf>) {
    let (fixture, packs) = stored_twice();
    let repository = fixture.reopen();
    let snapshots = repository.snapshots().expect("listed").good;
    repository
        .delete(FileType::Snapshot, &snapshots[run].0)
        .expect("forgotten");
    packs[run].iter().for_each(|pack| damage(pack, how));
    let [first, second] = packs;
    (fixture, if run == 0 { first } else { second })
}

fn assert_restores(fixture: &Fixture, what: &str) {
    let contents = fixture.latest();
    let contents = contents.unwrap_or_else(|error| panic!("{what}: {error}"));
    let target = tempfile::tempdir().expect("a folder");
    let options = everything_to(&target.path().join("out"));
    let root = contents.root().clone();
    restore_tree(&contents, root, &options, &Progress::default())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_same_files(&fixture.data(), options.target.path());
}

#[test]
fn what_is_damaged_in_one_pack_is_taken_from_the_other() {
    for how in [Damage::Flipped, Damage::Short, Damage::Gone] {
        for run in [0, 1] {
            let (fixture, _) = damaged_once(run, how);
            assert_restores(&fixture, &format!("{how:?} {run}"));
            // An archive takes another way through the content.
            let contents = fixture.latest().expect("opened");
            write_tar(
                &contents,
                &Selection::default(),
                std::io::sink(),
                &Progress::default(),
            )
            .unwrap_or_else(|error| panic!("{how:?} {run}: {error}"));
        }
    }
}

#[test]
fn a_check_says_where_a_damaged_blob_is_whole() {
    let (fixture, _) = damaged_once(0, Damage::Flipped);
    let options = CheckOptions {
        read_data: Some(100.0),
        ..CheckOptions::default()
    };
    let report = check(&fixture.reopen(), options, &Progress::default()).expect("checked");
    let messages = report.problems.iter().map(|it| it.message.as_str());
    let elsewhere = messages.filter(|it| it.contains(" blob ") && it.ends_with(" holds it too"));
    assert!(elsewhere.count() > 3, "{:?}", report.problems);
}

#[test]
fn a_prune_keeps_the_copy_that_is_whole() {
    let everything = PruneOptions {
        max_unused: MaxUnused::Bytes(0),
        max_repack: None,
        grace: std::time::Duration::ZERO,
    };
    for options in [everything, PruneOptions::default()] {
        for run in [0, 1] {
            let (fixture, damaged) = damaged_once(run, Damage::Flipped);
            prune(&fixture.reopen(), &options, &Progress::default()).expect("pruned");
            assert_restores(&fixture, &format!("{options:?} {run}"));
            assert!(!damaged.iter().any(|pack| pack.exists()));
            for restic in Restic::installed() {
                fixture.restic(&restic, &["check", "--read-data"]);
            }
        }
    }
}
