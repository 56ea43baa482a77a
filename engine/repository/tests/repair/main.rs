//! Repair against the real restic: what can be read is never touched, what is lost is named.

#[path = "../common/mod.rs"]
mod common;
mod index;
mod killed;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::dying::{Death, copy, dying, open, without_locks};
use common::{Fixture, PASSWORD, noise};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::index::{Index, IndexFile};
use strongroom_repository::prune::{MaxUnused, PruneOptions, prune};
use strongroom_repository::repair::{
    Fate, IndexRepair, IndexRepairOptions, SnapshotsRepair, repair_index, repair_snapshots,
};
use strongroom_repository::testing::Restic;
use strongroom_repository::{
    BlobType, ErrorKind, FileType, Id, Lock, Progress, Repository, Result, Snapshot,
};

/// Two backups: the second has a file more.
fn two_backups() -> Fixture {
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::create_dir(data.join("folder")).expect("a folder");
    fs::write(data.join("folder/first"), noise(3 << 20, 1)).expect("written");
    fs::write(data.join("small"), "small").expect("written");
    fixture.backup();
    fs::write(data.join("second"), noise(3 << 20, 2)).expect("written");
    fixture.backup();
    fixture
}

/// Every object of a kind with its bytes.
fn objects(fixture: &Fixture, kind: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    objects_at(&fixture.path("repository"), kind)
}

fn objects_at(repository: &Path, kind: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![repository.join(kind)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let content = fs::read(&path).expect("read");
                found.insert(path, content);
            }
        }
    }
    found
}

fn flip_middle(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

fn index(fixture: &Fixture, all: bool, dry_run: bool) -> Result<IndexRepair> {
    let options = IndexRepairOptions { all, dry_run };
    repair_index(&fixture.reopen(), options, &Progress::default())
}

fn snapshots(fixture: &Fixture, dry_run: bool) -> Result<SnapshotsRepair> {
    repair_snapshots(&fixture.reopen(), dry_run, &Progress::default())
}

fn problems(fixture: &Fixture) -> Vec<String> {
    problems_of(&fixture.reopen())
}

fn problems_of(repository: &Arc<Repository>) -> Vec<String> {
    let options = CheckOptions {
        read_data: Some(100.0),
        ..CheckOptions::default()
    };
    let report = check(repository, options, &Progress::default()).expect("checked");
    let problems = report.problems.iter();
    problems
        .map(|it| format!("{} {}", it.subject, it.message))
        .collect()
}

fn assert_sound(fixture: &Fixture) {
    assert_eq!(problems(fixture), [] as [String; 0]);
    for restic in Restic::installed() {
        fixture.restic(&restic, &["check", "--read-data"]);
    }
}

/// The pack that holds the content of a file, which nothing else is in.
fn pack_of(fixture: &Fixture, content: &[u8]) -> PathBuf {
    let repository = fixture.reopen();
    let index = Index::load(&repository, &Progress::default()).expect("loaded");
    let snapshots = repository.snapshots().expect("listed");
    let (_, latest) = snapshots.good.last().expect("a snapshot");
    let reader = BlobReader::new(repository, Arc::new(index));
    let mut open = vec![latest.tree];
    while let Some(tree) = open.pop() {
        for node in reader.tree(&tree).expect("read").nodes {
            open.extend(node.subtree);
            let blobs = node.content.unwrap_or_default();
            if node.size == content.len() as u64
                && blobs.first().is_some_and(|id| {
                    let blob = reader.read(BlobType::Data, id).expect("read");
                    content.starts_with(&blob)
                })
            {
                let location = reader.locate(BlobType::Data, &blobs[0]).expect("found");
                let key = FileType::Pack.key(&location.pack);
                return fixture.path("repository").join(key);
            }
        }
    }
    panic!("no such file")
}

fn subtree(reader: &BlobReader, tree: &Id, name: &str) -> Id {
    let tree = reader.tree(tree).expect("read");
    let node = tree.find(name.as_bytes());
    node.and_then(|node| node.subtree).expect("a directory")
}

#[test]
fn a_sound_repository_is_left_as_it_is() {
    let fixture = two_backups();
    let before: Vec<_> = ["index", "snapshots", "data"]
        .map(|kind| objects(&fixture, kind))
        .into();
    assert!(!index(&fixture, false, false).expect("repaired").changed);
    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!((done.sound, done.repairs), (2, vec![]));
    let after: Vec<_> = ["index", "snapshots", "data"]
        .map(|kind| objects(&fixture, kind))
        .into();
    assert!(before == after, "something changed");
}

/// What is needed and damaged stops a prune before anything goes.
#[test]
fn a_prune_stops_at_damage() {
    let fixture = Fixture::new();
    for (name, seed) in [("gone", 1), ("stays", 2)] {
        fs::write(fixture.data().join(name), noise(3 << 20, seed)).expect("written");
    }
    fixture.backup();
    fs::remove_file(fixture.data().join("gone")).expect("removed");
    fixture.backup();
    let repository = fixture.reopen();
    let listed = repository.snapshots().expect("listed").good;
    repository
        .delete(FileType::Snapshot, &listed[0].0)
        .expect("forgotten");
    let reader = BlobReader::new(
        repository.clone(),
        Arc::new(Index::load(&repository, &Progress::default()).expect("loaded")),
    );
    let media = subtree(&reader, &listed[1].1.tree, "media");
    let tree = reader.tree(&media).expect("read");
    let node = tree.find(b"stays").expect("a file");
    let blob = node.content.as_ref().expect("content")[0];
    let location = reader.locate(BlobType::Data, &blob).expect("found");
    let path = fixture
        .path("repository")
        .join(FileType::Pack.key(&location.pack));
    let mut bytes = fs::read(&path).expect("read");
    bytes[location.blob.offset as usize + 1000] ^= 1;
    fs::write(&path, bytes).expect("written");
    let before = ["index", "data"].map(|kind| objects(&fixture, kind));
    let options = PruneOptions {
        max_unused: MaxUnused::Bytes(0),
        max_repack: None,
        grace: std::time::Duration::ZERO,
    };
    let error = prune(&repository, &options, &Progress::default()).expect_err("it stops");
    let expected = format!(
        "repository nas: pack {} is damaged: blob {}",
        location.pack.short(),
        blob.short()
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(
        error
            .hint_text()
            .is_some_and(|hint| hint.contains("nothing was removed")),
        "{error:?}"
    );
    let after = ["index", "data"].map(|kind| objects(&fixture, kind));
    for (before, after) in before.iter().zip(&after) {
        assert!(
            before
                .iter()
                .all(|(path, bytes)| after.get(path) == Some(bytes))
        );
    }
}

#[test]
fn nobody_else_may_be_at_work() {
    let fixture = two_backups();
    let other = Lock::shared(&fixture.reopen()).expect("locked");
    for error in [
        index(&fixture, true, false).expect_err("locked"),
        snapshots(&fixture, false).expect_err("locked"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    }
    index(&fixture, true, true).expect("only looks");
    snapshots(&fixture, true).expect("only looks");
    drop(other);
    let path = fixture.path("repository");
    assert!(
        Restic::installed()[0]
            .run(&path, PASSWORD, &["list", "locks"])
            .is_empty()
    );
}
