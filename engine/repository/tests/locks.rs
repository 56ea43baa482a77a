//! Locks that are taken away: who has lost one writes nothing that counts.

mod common;

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Folder, PASSWORD, backup_to, in_memory, noise};
use strongroom_repository::copy::copy;
use strongroom_repository::destination::{Body, Destination, ObjectMetadata, PutOptions};
use strongroom_repository::index::Index;
use strongroom_repository::lock::LockEntry;
use strongroom_repository::repair::{IndexRepairOptions, repair_index, repair_snapshots};
use strongroom_repository::source::Kind;
use strongroom_repository::testing::MemoryDestination;
use strongroom_repository::{Error, ErrorKind, FileType, Id, Progress, Repository, Result, Time};

/// Somebody else removes all objects of a kind as soon as a pack is read or stored, or after another object was stored.
struct Thief {
    inner: Arc<MemoryDestination>,
    takes: &'static str,
    after: Option<&'static str>,
}

impl Thief {
    fn new(inner: Arc<MemoryDestination>, takes: &'static str) -> Self {
        Self {
            inner,
            takes,
            after: None,
        }
    }

    fn look(&self, key: &str) {
        if self.after.is_none() && key.starts_with("data/") {
            self.take();
        }
    }

    fn take(&self) {
        for key in self.inner.keys() {
            if key.starts_with(self.takes) {
                self.inner.set_object(&key, None);
            }
        }
    }
}

impl Destination for Thief {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        self.look(key);
        self.inner.put(key, body, options)?;
        if self.after.is_some_and(|after| key.starts_with(after)) {
            self.take();
        }
        Ok(())
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        self.look(key);
        self.inner.get(key, offset, length)
    }

    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        self.inner.stat(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key)
    }
}

fn assert_lost(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(
        error.message(),
        "the lock of repository nas was removed by somebody else"
    );
}

fn check(run: impl Fn(Arc<Repository>) -> Result<(), Error>) {
    let (destination, repository) = in_memory("nas");
    let watched =
        Repository::open(Arc::new(Thief::new(destination, "locks/")), PASSWORD).expect("opens");
    let error = run(Arc::new(watched)).expect_err("the lock is lost");
    assert_lost(&error);
    // Nor an index: whoever took the repository meanwhile may have removed the packs that it would name.
    for file_type in [FileType::Index, FileType::Snapshot] {
        let written = repository.list(file_type).expect("listed");
        assert!(written.is_empty(), "{file_type:?}");
    }
    // With its lock, it succeeds.
    run(repository.clone()).expect("works");
    assert_eq!(
        repository.list(FileType::Snapshot).expect("listed").len(),
        1
    );
}

#[test]
fn a_backup_that_lost_its_lock_writes_neither_index_nor_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(1 << 20, 1)).expect("written");
    check(|repository| {
        backup_to(
            vec![repository],
            &mut Folder::new(folder.path()),
            Kind::Full,
        )
        .map(|_| ())
    });
}

#[test]
fn a_copy_that_lost_its_lock_writes_neither_index_nor_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(1 << 20, 1)).expect("written");
    let (_, from) = in_memory("nas");
    backup_to(
        vec![from.clone()],
        &mut Folder::new(folder.path()),
        Kind::Full,
    )
    .expect("a backup");
    check(|to| {
        let all = |snapshots: &[_]| {
            let ids = snapshots.iter().map(|(id, _)| *id);
            Ok(ids.collect::<HashSet<_>>())
        };
        copy(&from, &to, &all, &Arc::new(Progress::default())).map(|_| ())
    });
}

/// Somebody who prunes: his lock arrives just before ours, and he works until packs have come and the locks are looked at again.
struct Pruner {
    inner: Arc<MemoryDestination>,
    his: Arc<Repository>,
    lock: Mutex<Option<Id>>,
    has_come: AtomicBool,
}

impl Pruner {
    fn come(&self) {
        if !self.has_come.swap(true, Ordering::SeqCst) {
            let entry = LockEntry {
                hostname: "elsewhere".into(),
                ..LockEntry::here(Time::now(), true)
            };
            let id = self.his.save_json(FileType::Lock, &entry).expect("locked");
            *self.lock.lock().expect("no panic") = Some(id);
        }
    }

    fn go(&self) {
        let indexed: HashSet<Id> = Index::load(&self.his, &Progress::default())
            .expect("loaded")
            .packs()
            .iter()
            .map(|pack| pack.id)
            .collect();
        let packs = self.his.list(FileType::Pack).expect("listed");
        let orphans: Vec<Id> = packs
            .into_iter()
            .map(|(id, _)| id)
            .filter(|id| !indexed.contains(id))
            .collect();
        let mut lock = self.lock.lock().expect("no panic");
        if let Some(id) = lock.take_if(|_| !orphans.is_empty()) {
            for orphan in orphans {
                self.his.delete(FileType::Pack, &orphan).expect("removed");
            }
            self.his.delete(FileType::Lock, &id).expect("released");
        }
    }
}

impl Destination for Pruner {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        if key.starts_with("locks/") {
            self.come();
        }
        self.inner.put(key, body, options)
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        self.inner.get(key, offset, length)
    }

    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        self.inner.stat(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        if prefix.starts_with("locks/") {
            self.go();
        }
        self.inner.list(prefix)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key)
    }
}

fn check_beside_a_prune(run: impl Fn(Arc<Repository>) -> Result<(), Error>) {
    let (destination, his) = in_memory("nas");
    let pruner = Pruner {
        inner: destination.clone(),
        his: his.clone(),
        lock: Mutex::default(),
        has_come: AtomicBool::new(false),
    };
    let ours = Repository::open(Arc::new(pruner), PASSWORD).expect("opens");
    let error = run(Arc::new(ours)).expect_err("somebody is alone there");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    // He is at work and would take for an orphan what comes now.
    for file_type in [FileType::Pack, FileType::Index, FileType::Snapshot] {
        let written = his.list(file_type).expect("listed");
        assert!(written.is_empty(), "{file_type:?}");
    }
    let locks = his.list(FileType::Lock).expect("listed");
    assert_eq!(locks.len(), 1, "only his");
}

#[test]
fn a_backup_whose_lock_came_after_that_of_a_prune_sends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(40 << 20, 1)).expect("written");
    check_beside_a_prune(|repository| {
        let mut source = Folder::new(folder.path());
        backup_to(vec![repository], &mut source, Kind::Full).map(|_| ())
    });
}

#[test]
fn a_copy_whose_lock_came_after_that_of_a_prune_sends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(40 << 20, 1)).expect("written");
    let (_, from) = in_memory("nas");
    let mut source = Folder::new(folder.path());
    backup_to(vec![from.clone()], &mut source, Kind::Full).expect("a backup");
    check_beside_a_prune(|to| {
        let all = |snapshots: &[_]| {
            let ids = snapshots.iter().map(|(id, _)| *id);
            Ok(ids.collect::<HashSet<_>>())
        };
        copy(&from, &to, &all, &Arc::new(Progress::default())).map(|_| ())
    });
}

/// A prune that began before our lock was there may be over before we look for it.
#[test]
fn a_backup_whose_index_was_replaced_writes_no_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let (destination, repository) = in_memory("nas");
    let back_up = |repository: Arc<Repository>, seed| {
        fs::write(folder.path().join("file"), noise(1 << 20, seed)).expect("written");
        let mut source = Folder::new(folder.path());
        backup_to(vec![repository], &mut source, Kind::Full)
    };
    back_up(repository.clone(), 1).expect("a backup");
    let watched = Thief::new(destination, "index/");
    let watched = Repository::open(Arc::new(watched), PASSWORD).expect("opens");
    let error = back_up(Arc::new(watched), 2).expect_err("the index is gone");
    assert_eq!(
        error.message(),
        "the index of repository nas was replaced meanwhile"
    );
    for file_type in [FileType::Index, FileType::Snapshot] {
        let expected = usize::from(file_type == FileType::Snapshot);
        let found = repository.list(file_type).expect("listed");
        assert_eq!(found.len(), expected, "{file_type:?}");
    }
}

/// Whoever prunes under a machine that sleeps finds its lock too old, and lets it lie there. Where the clock has slept too, that lock still seems
/// to be held.
#[test]
fn a_backup_whose_index_is_replaced_after_its_own_was_written_writes_no_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(1 << 20, 1)).expect("written");
    let back_up = |repository: Arc<Repository>| {
        let mut source = Folder::new(folder.path());
        backup_to(vec![repository], &mut source, Kind::Full)
    };
    // Its own object is all that the first backup relies on.
    for earlier in [0, 1] {
        let (destination, repository) = in_memory("nas");
        for _ in 0..earlier {
            back_up(repository.clone()).expect("a backup");
        }
        let watched = Thief {
            inner: destination,
            takes: "index/",
            after: Some("index/"),
        };
        let watched = Repository::open(Arc::new(watched), PASSWORD).expect("opens");
        let error = back_up(Arc::new(watched)).expect_err("the index is gone");
        assert_eq!(
            error.message(),
            "the index of repository nas was replaced meanwhile"
        );
        let snapshots = repository.list(FileType::Snapshot).expect("listed");
        assert_eq!(snapshots.len(), earlier);
    }
}

#[test]
fn a_repair_that_lost_its_lock_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(1 << 20, 1)).expect("written");
    let (destination, repository) = in_memory("nas");
    backup_to(
        vec![repository.clone()],
        &mut Folder::new(folder.path()),
        Kind::Full,
    )
    .expect("a backup");
    let progress = Progress::default();
    let watched = Repository::open(
        Arc::new(Thief::new(destination.clone(), "locks/")),
        PASSWORD,
    )
    .expect("opens");
    let watched = Arc::new(watched);
    let objects = || -> Vec<String> {
        let mut keys = destination.keys();
        keys.retain(|key| !key.starts_with("locks/"));
        keys
    };

    let before = objects();
    let every = IndexRepairOptions {
        all: true,
        dry_run: false,
    };
    assert_lost(&repair_index(&watched, every, &progress).expect_err("the lock is lost"));
    assert_eq!(objects(), before);

    // Without its largest pack, the backup lacks something.
    let size = |key: &String| destination.object(key).map(|object| object.len());
    let packs = before.iter().filter(|key| key.starts_with("data/"));
    let largest = packs.max_by_key(|key| size(key)).expect("a pack");
    destination.set_object(largest, None);
    let asked = IndexRepairOptions::default();
    repair_index(&repository, asked, &progress).expect("repaired");
    let before = objects();
    assert_lost(&repair_snapshots(&watched, false, &progress).expect_err("the lock is lost"));
    assert_eq!(objects(), before);
    let done = repair_snapshots(&repository, false, &progress).expect("repaired");
    assert_eq!(done.repairs.len(), 1);
}
