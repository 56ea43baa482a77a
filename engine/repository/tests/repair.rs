//! Repair against the real restic: what can be read is never touched, what is lost is named.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Fixture, PASSWORD, noise};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::index::Index;
use strongroom_repository::prune::{MaxUnused, PruneOptions, prune};
use strongroom_repository::repair::{
    Fate, IndexRepair, IndexRepairOptions, SnapshotsRepair, repair_index, repair_snapshots,
};
use strongroom_repository::testing::Restic;
use strongroom_repository::{BlobType, ErrorKind, FileType, Id, Lock, Progress, Result};

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
    let mut found = BTreeMap::new();
    let mut open = vec![fixture.path("repository").join(kind)];
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
    let options = CheckOptions {
        read_data: Some(100.0),
        ..CheckOptions::default()
    };
    let report = check(&fixture.reopen(), options, &Progress::default()).expect("checked");
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

#[test]
fn an_index_is_made_anew_from_the_packs() {
    for lost_all in [false, true] {
        let fixture = two_backups();
        let old = objects(&fixture, "index");
        let damaged = if lost_all { old.len() } else { 1 };
        for path in old.keys().take(damaged) {
            flip_middle(path);
        }
        let planned = index(&fixture, false, true).expect("planned");
        assert_eq!(planned.damaged_indexes.len(), damaged);
        assert_eq!(objects(&fixture, "index").len(), old.len());
        let done = index(&fixture, false, false).expect("repaired");
        assert!(done.changed && done.unreadable_packs.is_empty(), "{done:?}");
        // Only what no good index object describes is asked.
        let packs = objects(&fixture, "data").len();
        assert_eq!(done.packs, packs);
        assert_eq!(done.packs_read < packs, !lost_all, "{done:?}");
        assert_eq!((planned.packs, planned.blobs), (done.packs, done.blobs));
        assert!(
            objects(&fixture, "index")
                .keys()
                .all(|path| !old.contains_key(path))
        );
        assert_sound(&fixture);
    }
}

#[test]
fn every_pack_can_be_asked() {
    let fixture = two_backups();
    let done = index(&fixture, true, false).expect("repaired");
    assert_eq!(done.packs_read, objects(&fixture, "data").len());
    assert_sound(&fixture);
}

#[test]
fn a_pack_that_cannot_say_what_it_holds_is_named() {
    let fixture = two_backups();
    let pack = pack_of(&fixture, &noise(3 << 20, 2));
    let mut bytes = fs::read(&pack).expect("read");
    let end = bytes.len();
    bytes[end - 20] ^= 1;
    fs::write(&pack, bytes).expect("written");
    let name = pack.file_name().expect("a name").to_string_lossy()[..8].to_owned();
    // Where the index knows it, its blobs can still be read.
    let done = index(&fixture, true, false).expect("repaired");
    assert_eq!(done.unreadable_packs[0].subject, format!("pack {name}"));
    assert_eq!(done.packs, objects(&fixture, "data").len());
    assert_eq!(snapshots(&fixture, true).expect("planned").sound, 2);
    for path in objects(&fixture, "index").keys() {
        fs::remove_file(path).expect("removed");
    }
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(done.unreadable_packs[0].subject, format!("pack {name}"));
    assert_eq!(snapshots(&fixture, true).expect("planned").sound, 1);
}

#[test]
fn a_pack_that_was_cut_short_leaves_the_index_and_the_next_backup_stores_again_what_was_in_it() {
    for length in [0, 3, 1 << 20] {
        let fixture = two_backups();
        let pack = pack_of(&fixture, &noise(3 << 20, 2));
        let mut bytes = fs::read(&pack).expect("read");
        bytes.truncate(length);
        fs::write(&pack, bytes).expect("written");
        let error = snapshots(&fixture, false).expect_err("the index promises more than is there");
        assert!(error.message().contains("is too short"), "{error}");

        let packs = objects(&fixture, "data").len();
        let planned = index(&fixture, false, true).expect("planned");
        let done = index(&fixture, false, false).expect("repaired");
        for it in [&planned, &done] {
            assert_eq!(it.unreadable_packs.len(), 1, "{it:?}");
            assert_eq!((it.changed, it.packs), (true, packs - 1), "{it:?}");
        }
        // Nobody is sent back here, and nothing is there to be changed again.
        assert_eq!(snapshots(&fixture, true).expect("planned").sound, 1);
        assert!(!index(&fixture, false, false).expect("again").changed);

        fixture.backup();
        let done = snapshots(&fixture, false).expect("repaired");
        let [repair] = &done.repairs[..] else {
            panic!("one lacks its manifest, which no source has: {done:?}")
        };
        let Fate::Replaced { changes, .. } = &repair.fate else {
            panic!("it is replaced: {repair:?}")
        };
        let paths: Vec<_> = changes.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["/.strongroom/manifest.json"]);
        fs::remove_file(&pack).expect("removed");
        assert_sound(&fixture);
    }
}

/// What the operator's guide says of a pack that has its size.
#[test]
fn a_pack_with_wrong_content_is_healed_by_moving_it_away_and_backing_up_again() {
    let fixture = two_backups();
    let pack = pack_of(&fixture, &noise(3 << 20, 2));
    flip_middle(&pack);
    assert!(!index(&fixture, false, false).expect("repaired").changed);
    fixture.backup();
    assert_ne!(problems(&fixture), [] as [String; 0]);

    fs::rename(&pack, fixture.path("moved")).expect("moved");
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(done.missing_packs.len(), 1);
    fixture.backup();
    snapshots(&fixture, false).expect("repaired");
    assert_sound(&fixture);
    for restic in Restic::installed() {
        let second = fixture.dumped(&restic, "/media/second");
        assert!(second == noise(3 << 20, 2), "the source still had it");
    }
}

#[test]
fn what_is_lost_is_left_out_and_named_and_the_rest_stays() {
    let fixture = two_backups();
    fs::remove_file(pack_of(&fixture, &noise(3 << 20, 2))).expect("removed");
    let error = snapshots(&fixture, false).expect_err("the index names a pack that is not there");
    assert!(
        error
            .message()
            .contains("is missing, and the index names it"),
        "{error}"
    );
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(done.missing_packs.len(), 1);
    let before = objects(&fixture, "snapshots");

    let planned = snapshots(&fixture, true).expect("planned");
    assert!(objects(&fixture, "snapshots") == before);
    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!((planned.sound, done.sound), (1, 1));
    let [repair] = &done.repairs[..] else {
        panic!("one is damaged: {done:?}")
    };
    let Fate::Replaced {
        new: Some(new),
        changes,
    } = &repair.fate
    else {
        panic!("it is replaced: {repair:?}")
    };
    let paths: Vec<_> = changes.iter().map(|it| it.path.as_str()).collect();
    // The manifest was stored in the same pack.
    assert_eq!(paths, ["/.strongroom/manifest.json", "second"]);
    for change in changes {
        let message = &change.message;
        assert!(message.starts_with("is lost: data blob"), "{message}");
    }

    let after = objects(&fixture, "snapshots");
    let kept = after
        .iter()
        .filter(|(path, bytes)| before.get(*path) == Some(bytes));
    assert_eq!(
        (kept.count(), after.len()),
        (1, 2),
        "the sound one is the same, byte for byte"
    );
    let repository = fixture.reopen();
    let listed = repository.snapshots().expect("listed").good;
    let (_, snapshot) = listed
        .iter()
        .find(|(id, _)| id == new)
        .expect("the new one");
    assert_eq!(snapshot.tag("state"), Some("incomplete"));
    assert_eq!(snapshot.tag("job"), Some("nightly"));
    assert_eq!(snapshot.original, Some(repair.id));
    assert_sound(&fixture);
    for restic in Restic::installed() {
        let listed = fixture.restic(&restic, &["ls", &new.to_string()]);
        assert!(listed.contains("/media/folder/first"), "{listed}");
        assert!(!listed.contains("/media/second"), "{listed}");
    }
    assert_eq!(snapshots(&fixture, false).expect("again").repairs, []);
    prune(&repository, &PruneOptions::default(), &Progress::default()).expect("pruned");
    assert_sound(&fixture);
}

#[test]
fn a_directory_that_cannot_be_read_is_left_empty() {
    let fixture = two_backups();
    let repository = fixture.reopen();
    let reader = BlobReader::new(
        repository.clone(),
        Arc::new(Index::load(&repository, &Progress::default()).expect("loaded")),
    );
    let listed = repository.snapshots().expect("listed").good;
    let media = subtree(&reader, &listed[1].1.tree, "media");
    let folder = subtree(&reader, &media, "folder");
    let location = reader.locate(BlobType::Tree, &folder).expect("found");
    let path = fixture
        .path("repository")
        .join(FileType::Pack.key(&location.pack));
    let mut bytes = fs::read(&path).expect("read");
    bytes[location.blob.offset as usize + 20] ^= 1;
    fs::write(&path, bytes).expect("written");

    // Prune does not guess.
    let error = prune(&repository, &PruneOptions::default(), &Progress::default());
    let error = error.expect_err("it stops");
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(
        error
            .hint_text()
            .is_some_and(|hint| hint.contains("repair snapshots")),
        "{error:?}"
    );

    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!((done.sound, done.repairs.len()), (0, 2));
    for repair in &done.repairs {
        let Fate::Replaced { changes, .. } = &repair.fate else {
            panic!("it is replaced: {repair:?}")
        };
        let paths: Vec<_> = changes.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["folder"]);
    }
    assert_eq!(snapshots(&fixture, false).expect("again").sound, 2);
    for restic in Restic::installed() {
        let listed = fixture.restic(&restic, &["ls", "latest"]);
        assert!(
            listed.contains("/media/second") && listed.contains("/media/folder"),
            "{listed}"
        );
        assert!(!listed.contains("/media/folder/first"), "{listed}");
    }
    // The damaged tree is needed no more.
    prune(&repository, &PruneOptions::default(), &Progress::default()).expect("pruned");
    assert_sound(&fixture);
}

#[test]
fn a_snapshot_that_cannot_be_read_goes_and_the_others_stay() {
    let fixture = two_backups();
    let before = objects(&fixture, "snapshots");
    let damaged = before.keys().next().expect("a snapshot");
    flip_middle(damaged);
    let error = prune(
        &fixture.reopen(),
        &PruneOptions::default(),
        &Progress::default(),
    );
    let error = error.expect_err("it stops");
    assert!(error.message().contains("is damaged"), "{error}");
    let hint = error.hint_text().unwrap_or_default();
    assert!(
        hint.ends_with("; `strongroom repair snapshots nas` drops what cannot be read"),
        "{hint}"
    );
    let planned = snapshots(&fixture, true).expect("planned");
    assert!(damaged.is_file());
    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!(planned.repairs, done.repairs);
    assert!(
        matches!(&done.repairs[..], [it] if matches!(it.fate, Fate::Dropped(_))),
        "{done:?}"
    );
    let after = objects(&fixture, "snapshots");
    assert_eq!(after.len(), 1);
    assert!(
        after
            .iter()
            .all(|(path, bytes)| before.get(path) == Some(bytes))
    );
    assert_sound(&fixture);
}

/// It may be of a program that is newer than this one. Whoever understands it can remove it.
#[test]
fn a_snapshot_that_makes_no_sense_is_left_alone() {
    for restic in Restic::installed() {
        let fixture = two_backups();
        let repository = fixture.reopen();
        let listed = repository.snapshots().expect("listed").good;
        let odd = serde_json::json!({
            "time": listed[1].1.time, "tree": listed[1].1.tree, "paths": ["/media"], "hostname": null,
        });
        let id = repository
            .save_json(FileType::Snapshot, &odd)
            .expect("saved");
        let error = prune(&repository, &PruneOptions::default(), &Progress::default());
        assert_eq!(
            error.expect_err("it stops").hint_text(),
            Some(
                "what it needs is not known, so nothing was removed; a newer program may have made it: \
                 update strongroom, or forget it with a restic that understands it"
            )
        );
        let done = snapshots(&fixture, false).expect("repaired");
        assert!(
            matches!(&done.repairs[..], [it] if matches!(it.fate, Fate::NotUnderstood(_)) && it.id == id)
        );
        let count = || repository.list(FileType::Snapshot).expect("listed").len();
        assert_eq!(count(), 3);
        fixture.restic(&restic, &["forget", &id.to_string()]);
        assert_eq!(count(), 2);
        prune(&repository, &PruneOptions::default(), &Progress::default()).expect("pruned");
        assert_sound(&fixture);
    }
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
