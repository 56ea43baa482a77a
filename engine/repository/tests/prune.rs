//! Prune against the real restic: what is needed stays, what is not goes, and it may be killed at any moment.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::dying::{Death, copy, dying, open, without_locks};
use common::{Fixture, PASSWORD, noise};
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::prune::{Figures, MaxUnused, PruneOptions, dry_run, prune};
use strongroom_repository::testing::{Restic, assert_same_files};
use strongroom_repository::{
    ErrorKind, FileType, Lock, Progress, Repository, Result, index::Index,
};

/// Copies whatever is not used as a whole.
const EVERYTHING: PruneOptions = PruneOptions {
    max_unused: MaxUnused::Bytes(0),
    max_repack: None,
    grace: std::time::Duration::ZERO,
};

fn run(repository: &Arc<Repository>, options: &PruneOptions) -> Result<Figures> {
    prune(repository, options, &Progress::default()).map(|pruned| pruned.figures)
}

/// Two backups, of which the first is forgotten: some of its packs are needed in part, some not at all. And a pack that a killed run left.
fn with_unused() -> Fixture {
    let fixture = Fixture::new();
    let data = fixture.data();
    for (name, megabytes, seed) in [("gone", 40, 1), ("stays", 10, 2), ("changes", 10, 3)] {
        fs::write(data.join(name), noise(megabytes << 20, seed)).expect("written");
    }
    fs::create_dir(data.join("folder")).expect("a folder");
    fs::write(data.join("folder/text"), "words ".repeat(10_000)).expect("written");
    fixture.backup();
    fs::remove_file(data.join("gone")).expect("removed");
    fs::write(data.join("changes"), noise(9 << 20, 4)).expect("written");
    fixture.backup();
    forget_oldest(&fixture);
    let orphan = noise(5000, 9);
    let key = FileType::Pack.key(&strongroom_repository::Id::of(&orphan));
    let path = fixture.path("repository").join(key);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, orphan).expect("written");
    fixture
}

fn forget_oldest(fixture: &Fixture) {
    let repository = fixture.reopen();
    let snapshots = repository.snapshots().expect("listed");
    let (oldest, _) = snapshots.good.first().expect("a snapshot");
    repository
        .delete(FileType::Snapshot, oldest)
        .expect("forgotten");
}

/// Nothing is wrong, nothing is left over, and everything comes back.
fn assert_sound(fixture: &Fixture, repository: &Path, restic: &Restic) {
    let checked = restic.run(repository, PASSWORD, &["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    let target = tempfile::tempdir().expect("a folder");
    let folder = target.path().display().to_string();
    restic.run(
        repository,
        PASSWORD,
        &["restore", "latest", "--target", &folder],
    );
    assert_same_files(&fixture.data(), &target.path().join("media"));
}

fn notes(repository: &Arc<Repository>) -> Vec<String> {
    let report = check(repository, CheckOptions::default(), &Progress::default()).expect("checked");
    assert_eq!(report.problems, []);
    let notes = report.notes.iter();
    notes
        .map(|it| format!("{} {}", it.subject, it.message))
        .collect()
}

#[test]
fn what_no_backup_needs_goes_and_the_rest_stays() {
    let fixture = with_unused();
    let repository = fixture.reopen();
    let before = repository.list(FileType::Pack).expect("listed");
    let planned = dry_run(&repository, &EVERYTHING, &Progress::default()).expect("planned");
    assert_eq!(repository.list(FileType::Pack).expect("listed"), before);
    let figures = run(&repository, &EVERYTHING).expect("pruned");
    assert_eq!(figures, planned.figures);
    assert!(figures.freed_bytes > 50 << 20, "{figures:?}");
    assert_eq!(figures.orphans.packs, 1);
    assert!(
        figures.repack.packs > 0 && figures.remove.packs > 0,
        "{figures:?}"
    );
    let size = |packs: &[(strongroom_repository::Id, u64)]| -> u64 {
        packs.iter().map(|(_, size)| size).sum()
    };
    let after = repository.list(FileType::Pack).expect("listed");
    let freed = size(&before) - size(&after);
    let differs = freed.abs_diff(figures.freed_bytes);
    assert!(differs < 10_000, "{freed} freed of {figures:?}");
    assert_eq!(notes(&repository), [] as [String; 0]);
    assert!(repository.list(FileType::Lock).expect("listed").is_empty());
    for restic in Restic::installed() {
        assert_sound(&fixture, &fixture.path("repository"), &restic);
        let found = restic.output(
            &fixture.path("repository"),
            PASSWORD,
            &["prune", "--dry-run", "--max-unused", "0"],
        );
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(said.contains("unused size after prune: 0 B"), "{said}");
    }
    // There is nothing left to do, and nothing is done.
    let again = run(&repository, &EVERYTHING).expect("pruned");
    assert_eq!((again.freed_bytes, again.unused.blobs), (0, 0));
    assert_eq!(repository.list(FileType::Pack).expect("listed"), after);
}

#[test]
fn a_repository_without_snapshots_is_emptied() {
    let fixture = with_unused();
    forget_oldest(&fixture);
    let repository = fixture.reopen();
    let at_once = PruneOptions {
        grace: std::time::Duration::ZERO,
        ..PruneOptions::default()
    };
    run(&repository, &at_once).expect("pruned");
    for file_type in [FileType::Pack, FileType::Index] {
        assert!(repository.list(file_type).expect("listed").is_empty());
    }
    fixture.backup();
    for restic in Restic::installed() {
        assert_sound(&fixture, &fixture.path("repository"), &restic);
    }
}

#[test]
fn what_restic_wrote_and_forgot_is_pruned_and_the_other_way_round() {
    for restic in Restic::installed() {
        let fixture = Fixture::made_by(&restic);
        let data = fixture.data();
        let folder = data.display().to_string();
        for (name, seed) in [("gone", 1), ("stays", 2)] {
            fs::write(data.join(name), noise(12 << 20, seed)).expect("written");
        }
        fixture.restic(&restic, &["backup", &folder]);
        fs::remove_file(data.join("gone")).expect("removed");
        fixture.restic(&restic, &["backup", &folder]);
        fixture.restic(&restic, &["forget", "--keep-last", "1"]);
        let figures = run(&fixture.reopen(), &EVERYTHING).expect("pruned");
        assert!(figures.freed_bytes > 11 << 20, "{figures:?}");
        fixture.restic(&restic, &["check", "--read-data"]);
        let dumped = fixture.dumped(&restic, &format!("{folder}/stays"));
        assert!(dumped == noise(12 << 20, 2), "the file differs");
        fixture.restic(&restic, &["prune", "--max-unused", "0"]);
        assert_eq!(notes(&fixture.reopen()), [] as [String; 0]);
    }
}

/// As long as anything is in it twice, one copy of each is enough.
#[test]
fn copies_of_a_blob_go() {
    let fixture = Fixture::new();
    fs::write(fixture.data().join("file"), noise(20 << 20, 1)).expect("written");
    fixture.backup();
    // Without its index the second backup stores everything again.
    let index = fixture.path("repository").join("index");
    let kept = fixture.path("index");
    fs::rename(&index, &kept).expect("moved");
    fs::create_dir(&index).expect("made");
    fixture.backup();
    for entry in fs::read_dir(&kept).expect("listed") {
        let entry = entry.expect("an entry");
        fs::rename(entry.path(), index.join(entry.file_name())).expect("moved back");
    }
    let repository = fixture.reopen();
    let figures = run(&repository, &EVERYTHING).expect("pruned");
    assert!(figures.freed_bytes > 19 << 20, "{figures:?}");
    assert_eq!(repository.snapshots().expect("listed").good.len(), 2);
    for restic in Restic::installed() {
        assert_sound(&fixture, &fixture.path("repository"), &restic);
    }
}

#[test]
fn many_small_packs_are_joined() {
    let fixture = Fixture::new();
    for number in 0..10 {
        fs::write(
            fixture.data().join(format!("{number}")),
            noise(50_000, number),
        )
        .expect("written");
        fixture.backup();
    }
    let repository = fixture.reopen();
    assert_eq!(repository.list(FileType::Pack).expect("listed").len(), 20);
    run(&repository, &PruneOptions::default()).expect("pruned");
    assert_eq!(repository.list(FileType::Pack).expect("listed").len(), 2);
    assert_eq!(repository.list(FileType::Index).expect("listed").len(), 1);
    for restic in Restic::installed() {
        assert_sound(&fixture, &fixture.path("repository"), &restic);
    }
}

#[test]
fn nobody_else_may_be_at_work() {
    let fixture = with_unused();
    let other = Lock::shared(&fixture.reopen()).expect("locked");
    let packs = fixture.reopen().list(FileType::Pack).expect("listed");
    let error = run(&fixture.reopen(), &EVERYTHING).expect_err("somebody is at work");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert_eq!(
        fixture.reopen().list(FileType::Pack).expect("listed"),
        packs
    );
    dry_run(&fixture.reopen(), &EVERYTHING, &Progress::default()).expect("only looks");
    drop(other);
    run(&fixture.reopen(), &EVERYTHING).expect("alone");
}

/// Prunes with a destination that dies after every possible number of changes. Returns how many there were.
fn check_deaths(how: Death) -> usize {
    let fixture = with_unused();
    let restics = Restic::installed();
    // The first change is the lock itself, before which there is none to lose.
    for changes in 2.. {
        let (_folder, path) = copy(&fixture);
        let result = run(&dying(&path, changes, how), &EVERYTHING);
        if result.is_ok() {
            return changes;
        }
        if how == Death::Unlocked {
            let error = result.expect_err("unlocked");
            assert!(
                error.message().contains("was removed by somebody else"),
                "{error}"
            );
        }
        without_locks(&path);
        // One of them each time.
        assert_sound(&fixture, &path, &restics[changes % restics.len()]);
        let repository = open(&path);
        let index = Index::load(&repository, &Progress::default()).expect("loaded");
        assert!(!index.is_empty(), "after {changes} changes");
        run(&repository, &EVERYTHING).expect("the next one finishes");
        assert_eq!(
            notes(&repository),
            [] as [String; 0],
            "after {changes} changes"
        );
        let again = run(&repository, &EVERYTHING).expect("there is nothing left to do");
        assert_eq!(
            (again.unused.blobs, again.freed_bytes),
            (0, 0),
            "after {changes} changes"
        );
        assert_eq!(repository.list(FileType::Index).expect("listed").len(), 1);
        if changes % 4 == 0 {
            assert_sound(&fixture, &path, &restics[0]);
        }
    }
    unreachable!("it ends")
}

#[test]
fn it_may_be_killed_at_any_moment() {
    // Lock, two packs at least, index, two old index objects, four packs, and the lock.
    let changes = check_deaths(Death::Killed);
    assert!(changes > 10, "{changes}");
}

#[test]
fn without_room_for_copies_it_may_be_killed_at_any_moment_too() {
    // Lock, the pack of a killed run, an index object, an old one, a pack at least, and the lock.
    let changes = check_deaths(Death::KilledWhenFull);
    assert!(changes > 5, "{changes}");
}

#[test]
fn who_loses_the_lock_removes_nothing_more() {
    // Lock, two packs at least, index, and the first of two old index objects.
    let changes = check_deaths(Death::Unlocked);
    assert!(changes > 5, "{changes}");
}
