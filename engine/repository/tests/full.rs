//! A destination without a free byte: what gives space back works all the same, and a backup uses up nothing of what that takes.

mod common;

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use common::{Folder, backup_to, in_memory, noise};
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::forget::forget;
use strongroom_repository::init::README_KEY;
use strongroom_repository::prune::{MaxUnused, PruneOptions, Pruned, prune};
use strongroom_repository::source::Kind;
use strongroom_repository::testing::MemoryDestination;
use strongroom_repository::{ErrorKind, FileType, Lock, Progress, RESERVE_KEY, Repository, Result};

/// Copies whatever is not used as a whole.
const EVERYTHING: PruneOptions = PruneOptions {
    max_unused: MaxUnused::Bytes(0),
    max_repack: None,
    grace: std::time::Duration::ZERO,
};

struct Disk {
    folder: tempfile::TempDir,
    destination: Arc<MemoryDestination>,
    repository: Arc<Repository>,
}

impl Disk {
    /// Room for everything, until it is [`filled`](Self::fill).
    fn new() -> Self {
        let (destination, repository) = in_memory("nas");
        destination.set_capacity(u64::MAX);
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            destination,
            repository,
        }
    }

    fn write(&self, name: &str, megabytes: usize, seed: u64) {
        fs::write(self.folder.path().join(name), noise(megabytes << 20, seed)).expect("written");
    }

    fn backup(&self) -> Result<()> {
        let mut source = Folder::new(self.folder.path());
        backup_to(
            vec![self.repository.clone()],
            &mut source,
            Kind::Incremental,
        )
        .map(drop)
    }

    /// Somebody takes all that is left but for some bytes.
    fn fill(&self, free: u64) {
        self.destination.set_capacity(self.held() + free);
    }

    fn held(&self) -> u64 {
        let keys = self.destination.keys();
        let objects = keys.iter().filter_map(|key| self.destination.object(key));
        objects.map(|object| object.len() as u64).sum()
    }

    fn has(&self, key: &str) -> bool {
        self.destination.object(key).is_some()
    }

    fn take_away(&self, key: &str) {
        self.destination.set_object(key, None);
    }

    fn forget_oldest(&self) -> Result<()> {
        let lock = Lock::exclusive(&self.repository)?;
        let (oldest, _) = self.repository.snapshots()?.good.remove(0);
        forget(&self.repository, &lock, &[oldest], &Progress::default())?;
        lock.release()
    }

    fn prune(&self) -> Result<Pruned> {
        prune(&self.repository, &EVERYTHING, &Progress::default())
    }

    #[track_caller]
    fn assert_sound(&self) {
        let options = CheckOptions {
            read_data: Some(100.0),
            ..CheckOptions::default()
        };
        let report = check(&self.repository, options, &Progress::default()).expect("checked");
        assert_eq!((report.problems, report.notes), (vec![], vec![]));
    }
}

/// Of the first backup's packs some hold nothing that is needed, and one a part.
fn two_backups() -> Disk {
    let disk = Disk::new();
    disk.write("gone", 40, 1);
    disk.write("stays", 6, 2);
    disk.write("changes", 6, 3);
    disk.backup().expect("a backup");
    fs::remove_file(disk.folder.path().join("gone")).expect("removed");
    disk.write("changes", 6, 4);
    disk.backup().expect("a backup");
    disk
}

#[test]
fn a_full_disk_is_emptied_with_the_reserve() {
    let disk = two_backups();
    assert!(disk.has(RESERVE_KEY));
    disk.fill(0);
    disk.forget_oldest().expect("forgotten");
    assert!(disk.has(RESERVE_KEY), "made again");
    disk.fill(0);
    let pruned = disk.prune().expect("pruned");
    assert!(
        pruned.figures.freed_bytes > 40 << 20,
        "{:?}",
        pruned.figures
    );
    assert_eq!(pruned.figures.unused_after_bytes, 0);
    assert!(
        pruned.written_bytes > 0,
        "what was used among it was copied"
    );
    assert!(disk.held() < 15 << 20);
    assert!(disk.has(RESERVE_KEY), "made again");
    disk.assert_sound();
    disk.backup().expect("there is room again");
}

#[test]
fn a_backup_leaves_the_reserve_alone() {
    let disk = two_backups();
    disk.write("new", 3, 5);
    // Not even a lock; a lock and no pack; a pack of data and none of trees.
    for free in [0, 2000, (3 << 20) + 3000] {
        disk.fill(free);
        let error = disk.backup().expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
        assert!(disk.has(RESERVE_KEY));
    }
}

/// As an older program made it.
#[test]
fn a_repository_without_a_reserve_gives_up_its_text_for_people() {
    let disk = two_backups();
    disk.take_away(RESERVE_KEY);
    disk.fill(0);
    disk.forget_oldest().expect("forgotten");
    // Of a disk, the least that a removed snapshot gives back is a block.
    disk.fill(4096);
    disk.prune().expect("pruned");
    assert!(disk.has(RESERVE_KEY));
    let text = disk.destination.object(README_KEY).expect("put back");
    assert!(text.len() > 500);
    disk.assert_sound();
}

#[test]
fn where_nothing_helps_the_hint_is_not_what_failed() {
    let disk = two_backups();
    disk.take_away(RESERVE_KEY);
    // One of somebody else's is not ours to remove.
    let theirs = Bytes::from_static(b"of another program");
    disk.destination.set_object(README_KEY, Some(theirs));
    disk.fill(0);
    for error in [
        disk.forget_oldest().expect_err("no room"),
        disk.prune().expect_err("no room"),
    ] {
        assert_eq!(error.kind(), ErrorKind::OutOfSpace);
        let hint = error.hint_text().expect("a hint");
        assert!(hint.contains("by other means"), "{hint}");
    }
    assert!(disk.has(README_KEY));
}

#[test]
fn what_cannot_be_copied_stays_and_leaves_nothing_behind() {
    let disk = Disk::new();
    disk.write("stays", 6, 2);
    disk.write("gone", 6, 3);
    disk.backup().expect("a backup");
    fs::remove_file(disk.folder.path().join("gone")).expect("removed");
    disk.backup().expect("a backup");
    disk.forget_oldest().expect("forgotten");
    disk.fill(3 << 20);
    let packs = disk.repository.list(FileType::Pack).expect("listed").len();
    let pruned = disk.prune().expect("pruned");
    assert_eq!(pruned.written_bytes, 0);
    assert!(pruned.figures.unused_after_bytes > 5 << 20);
    assert!(disk.repository.list(FileType::Pack).expect("listed").len() <= packs);
    disk.assert_sound();
    disk.fill(10 << 20);
    let pruned = disk.prune().expect("pruned");
    assert!(pruned.figures.freed_bytes > 5 << 20);
    disk.assert_sound();
}

/// One index object at a time is what a prune without room writes.
#[test]
fn the_reserve_is_as_large_as_the_largest_index_object() {
    let disk = two_backups();
    let size = || {
        disk.destination
            .object(RESERVE_KEY)
            .map_or(0, |it| it.len())
    };
    assert_eq!(size(), 1 << 20);
    let key = FileType::Index.key(&strongroom_repository::Id::of(b"large"));
    let large = Bytes::from(vec![7; 3 << 20]);
    disk.destination.set_object(&key, Some(large));
    disk.repository.keep_reserve();
    assert!(size() > 3 << 20);
    disk.take_away(&key);
    disk.repository.keep_reserve();
    assert!(size() > 3 << 20, "a larger one does no harm");
    disk.take_away(RESERVE_KEY);
    disk.fill(100_000);
    disk.repository.keep_reserve();
    assert_eq!(size(), 1 << 16, "a small one is better than none");
}

/// A destination without an end needs none.
#[test]
fn only_what_fills_up_gets_a_reserve() {
    let (destination, repository) = in_memory("cloud");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "content").expect("written");
    let mut source = Folder::new(folder.path());
    backup_to(vec![repository], &mut source, Kind::Full).expect("a backup");
    assert!(destination.object(RESERVE_KEY).is_none());
}
