//! Repair over a line that fails, and of what is newer than this program: only what is lost goes.

mod common;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Folder, PASSWORD, backup_to, noise};
use strongroom_repository::buffer::Buffer;
use strongroom_repository::destination::{Body, Destination, ObjectMetadata, PutOptions};
use strongroom_repository::index::{IndexFile, IndexPack};
use strongroom_repository::pack::PackBuilder;
use strongroom_repository::repair::{Fate, SnapshotsRepair, repair_snapshots};
use strongroom_repository::source::Kind;
use strongroom_repository::testing::MemoryDestination;
use strongroom_repository::{
    BlobType, Error, ErrorKind, FileType, Id, InitOptions, Progress, Repository, Result,
};

/// What an unsteady line makes of the answer number so many.
type Answer = fn(usize, Bytes) -> Result<Bytes>;

/// Objects that begin with a prefix come over an unsteady line.
struct Unsteady {
    inner: Arc<MemoryDestination>,
    prefix: &'static str,
    answer: Answer,
    answers: AtomicUsize,
}

impl Destination for Unsteady {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        self.inner.put(key, body, options)
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        let bytes = self.inner.get(key, offset, length)?;
        match key.starts_with(self.prefix) {
            true => (self.answer)(self.answers.fetch_add(1, Relaxed), bytes),
            false => Ok(bytes),
        }
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

fn flipped(bytes: &Bytes) -> Bytes {
    bytes.iter().map(|byte| byte ^ 1).collect()
}

/// A repository with one backup.
fn backed_up() -> (Arc<MemoryDestination>, Arc<Repository>) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    fs::write(folder.path().join("folder/file"), noise(1 << 10, 1)).expect("written");
    let destination = Arc::new(MemoryDestination::new("nas"));
    let options = InitOptions {
        password: PASSWORD,
        ..InitOptions::default()
    };
    let repository = Arc::new(Repository::init(destination.clone(), options).expect("made"));
    backup_to(
        vec![repository.clone()],
        &mut Folder::new(folder.path()),
        Kind::Full,
    )
    .expect("a backup");
    (destination, repository)
}

/// Repairs over an unsteady line. Nothing may be written or removed, whatever comes of it.
fn repaired(prefix: &'static str, answer: Answer) -> Result<SnapshotsRepair> {
    let (destination, _) = backed_up();
    let before = destination.keys();
    let unsteady = Unsteady {
        inner: destination.clone(),
        prefix,
        answer,
        answers: AtomicUsize::new(0),
    };
    let repository = Repository::open(Arc::new(unsteady), PASSWORD).expect("opens");
    let done = repair_snapshots(&Arc::new(repository), false, &Progress::default());
    assert_eq!(destination.keys(), before);
    done
}

#[test]
fn a_directory_that_arrives_wrong_once_is_read_again() {
    let done = repaired("data/", |number, bytes| match number {
        0 => Ok(flipped(&bytes)),
        _ => Ok(bytes),
    });
    let done = done.expect("repaired");
    assert_eq!((done.sound, done.repairs), (1, vec![]));
}

#[test]
fn a_snapshot_that_could_not_be_looked_at_again_stays() {
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Denied,
        ErrorKind::TimedOut,
    ] {
        static KIND: Mutex<ErrorKind> = Mutex::new(ErrorKind::Failed);
        *KIND.lock().expect("free") = kind;
        // Whatever arrives wrong is read twice.
        let error = repaired("snapshots/", |number, bytes| match number {
            0 | 1 => Ok(flipped(&bytes)),
            _ => Err(Error::new(*KIND.lock().expect("free"), "out of reach")),
        });
        assert_eq!(error.expect_err("nobody knows").kind(), kind);
    }
}

/// It may be of a program that is newer than this one.
#[test]
fn a_snapshot_with_a_directory_that_makes_no_sense_is_left_alone() {
    let (destination, repository) = backed_up();
    let newer = br#"{"nodes":[{"name":"door","type":"portal"}]}"#;
    let above = format!(
        r#"{{"nodes":[{{"name":"gone","type":"file","size":7,"content":["{}"]}},{{"name":"new","type":"dir","subtree":"{}"}}]}}"#,
        Id::of(b"nowhere"),
        Id::of(newer)
    );
    let mut pack = PackBuilder::new(Buffer::default());
    for content in [newer, above.as_bytes()] {
        pack.add(
            repository.key(),
            BlobType::Tree,
            Id::of(content),
            content,
            None,
        )
        .expect("added");
    }
    let pack = pack.finish(repository.key()).expect("finished");
    destination.set_object(
        &FileType::Pack.key(&pack.id),
        Some(Bytes::copy_from_slice(&pack.bytes)),
    );
    let file = IndexFile {
        supersedes: Vec::new(),
        packs: vec![IndexPack::new(pack.id, &pack.blobs)],
    };
    repository
        .save_json(FileType::Index, &file)
        .expect("stored");
    let (_, mut snapshot) = repository.snapshots().expect("listed").good.remove(0);
    snapshot.tree = Id::of(above.as_bytes());
    // Two of them: what is known of one must not make the other sound.
    let mut ids = ["one", "two"].map(|note| {
        snapshot.tags.push(note.into());
        snapshot.save(&repository).expect("stored")
    });
    ids.sort_unstable();

    let before = destination.keys();
    let done = repair_snapshots(&repository, false, &Progress::default()).expect("repaired");
    assert_eq!(done.sound, 1);
    let mut left = Vec::new();
    for repair in &done.repairs {
        let Fate::NotUnderstood(why) = &repair.fate else {
            panic!("it is left alone: {repair:?}")
        };
        assert!(why.contains("at /new/: "), "{why}");
        left.push(repair.id);
    }
    left.sort_unstable();
    assert_eq!(left, ids);
    assert_eq!(destination.keys(), before);
}
