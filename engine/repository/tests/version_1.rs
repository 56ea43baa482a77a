//! Repositories of format version 1: read, added to, pruned, repaired, copied and upgraded beside the real restic, without one compressed byte
//! as long as they are what they are.

mod common;

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex};

use common::{Fixture, everything_to, noise};
use strongroom_repository::buffer::Buffer;
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::copy::copy;
use strongroom_repository::index::{Index, IndexFile, IndexPack};
use strongroom_repository::pack::PackBuilder;
use strongroom_repository::prune::{MaxUnused, PruneOptions, prune};
use strongroom_repository::repair::{IndexRepairOptions, repair_index, repair_snapshots};
use strongroom_repository::restore::restore_tree;
use strongroom_repository::testing::{Restic, assert_same_files};
use strongroom_repository::upgrade::{Upgrade, upgrade};
use strongroom_repository::{
    ErrorKind, FileType, Id, Lock, Progress, Repository, Result, Snapshot,
};

/// Nothing is left over where nothing is needed.
const EVERYTHING: PruneOptions = PruneOptions {
    max_unused: MaxUnused::Bytes(0),
    max_repack: None,
    grace: std::time::Duration::ZERO,
};

fn fill(fixture: &Fixture) {
    let data = fixture.data();
    fs::create_dir(data.join("deep")).expect("a folder");
    fs::write(data.join("deep/photo"), noise(9 << 20, 1)).expect("written");
    fs::write(data.join("text"), "words ".repeat(300_000)).expect("written");
    fs::write(data.join("empty"), "").expect("written");
}

/// Both programs find nothing wrong with any byte, and both restore our latest backup.
#[track_caller]
fn assert_sound(fixture: &Fixture, restic: &Restic) {
    let checked = fixture.restic(restic, &["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    let options = CheckOptions {
        read_data: Some(100.0),
        ..CheckOptions::default()
    };
    let report = check(&fixture.reopen(), options, &Progress::default()).expect("checked");
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    let target = tempfile::tempdir().expect("a folder");
    let folder = target.path().join("theirs");
    let text = folder.display().to_string();
    fixture.restic(restic, &["restore", "latest", "--target", &text]);
    assert_same_files(&fixture.data(), &folder.join("media"));
    let ours = target.path().join("ours");
    let contents = fixture.latest().expect("opened");
    let root = contents.root().clone();
    let options = everything_to(&ours);
    restore_tree(&contents, root, &options, &Progress::default()).expect("restored");
    assert_same_files(&fixture.data(), &ours);
}

/// No object begins as compressed ones do, and no index knows of a compressed blob.
#[track_caller]
fn assert_uncompressed(fixture: &Fixture) {
    let repository = fixture.reopen();
    for file_type in [FileType::Index, FileType::Snapshot, FileType::Lock] {
        for (id, _) in repository.list(file_type).expect("listed") {
            let sealed = repository.load(file_type, &id).expect("loaded");
            let plain = repository.key().open(&sealed).expect("opens");
            assert_eq!(plain.first(), Some(&b'{'), "{file_type} {}", id.short());
        }
    }
    let index = Index::load(&repository, &Progress::default()).expect("loaded");
    let compressed: Vec<_> = index
        .iter()
        .filter(|location| location.blob.uncompressed_length.is_some())
        .collect();
    assert_eq!(compressed, []);
}

fn forget_oldest(fixture: &Fixture) {
    let repository = fixture.reopen();
    let (oldest, _) = repository.snapshots().expect("listed").good.remove(0);
    repository
        .delete(FileType::Snapshot, &oldest)
        .expect("forgotten");
}

#[test]
fn both_programs_work_in_a_repository_of_version_1() {
    for restic in Restic::installed() {
        let fixture = Fixture::of_version_1(&restic);
        fill(&fixture);
        let path = fixture.data().display().to_string();
        fixture.restic(&restic, &["backup", &path]);
        fixture.backup();
        let lock = Lock::exclusive(&fixture.reopen()).expect("locked");
        assert_uncompressed(&fixture);
        drop(lock);
        assert_sound(&fixture, &restic);

        // Half a pack is unused then, and copied.
        fs::write(fixture.data().join("deep/photo"), noise(8 << 20, 2)).expect("written");
        fs::write(fixture.data().join("more"), "other words ".repeat(99_999)).expect("written");
        fixture.backup();
        assert_uncompressed(&fixture);
        assert_sound(&fixture, &restic);
        forget_oldest(&fixture);
        forget_oldest(&fixture);
        let pruned = prune(&fixture.reopen(), &EVERYTHING, &Progress::default()).expect("pruned");
        assert!(pruned.written_bytes > 0);
        assert_uncompressed(&fixture);
        assert_sound(&fixture, &restic);

        let all = IndexRepairOptions {
            all: true,
            dry_run: false,
        };
        repair_index(&fixture.reopen(), all, &Progress::default()).expect("repaired");
        assert_uncompressed(&fixture);
        assert_sound(&fixture, &restic);
        fixture.restic(&restic, &["backup", &path]);
        fixture.restic(&restic, &["check", "--read-data"]);
    }
}

/// What a repair writes is a tree, an index and a snapshot.
#[test]
fn a_repair_writes_nothing_compressed_either() {
    for restic in Restic::installed() {
        let fixture = Fixture::of_version_1(&restic);
        fill(&fixture);
        fixture.backup();
        let repository = fixture.reopen();
        let data_pack = |repository: &Repository| {
            let index = Index::load(repository, &Progress::default()).expect("loaded");
            let data = index.iter().find(|it| it.blob.length > 100_000);
            data.expect("a blob").pack
        };
        let key = FileType::Pack.key(&data_pack(&repository));
        fs::remove_file(fixture.path("repository").join(key)).expect("removed");
        let options = IndexRepairOptions::default();
        repair_index(&repository, options, &Progress::default()).expect("repaired");
        let repaired = repair_snapshots(&repository, false, &Progress::default());
        assert_eq!(repaired.expect("repaired").repairs.len(), 1);
        assert_uncompressed(&fixture);
        fixture.restic(&restic, &["check", "--read-data"]);
        fixture.backup();
        assert_sound(&fixture, &restic);
    }
}

fn all(snapshots: &[(Id, Snapshot)]) -> Result<HashSet<Id>> {
    Ok(snapshots.iter().map(|(id, _)| *id).collect())
}

#[test]
fn copies_go_from_either_version_to_the_other() {
    let progress = Arc::new(Progress::default());
    for restic in Restic::installed() {
        let old = Fixture::of_version_1(&restic);
        let new = Fixture::new();
        fill(&old);
        fill(&new);
        old.backup();
        copy(&old.reopen(), &new.reopen(), &all, &progress).expect("copied");
        assert_sound(&new, &restic);

        fs::write(new.data().join("text"), "more words ".repeat(200_000)).expect("written");
        fs::write(old.data().join("text"), "more words ".repeat(200_000)).expect("written");
        new.backup();
        let report = copy(&new.reopen(), &old.reopen(), &all, &progress).expect("copied");
        assert_eq!(report.failed.len(), 0);
        assert_uncompressed(&old);
        assert_sound(&old, &restic);
    }
}

/// One backup to both: the same chunks, compressed in one.
#[test]
fn one_backup_goes_to_repositories_of_both_versions() {
    let restic = Restic::installed().remove(0);
    let old = Fixture::of_version_1(&restic);
    let new = Fixture::new();
    fill(&old);
    let mut source = common::Folder::new(&old.data());
    let kind = strongroom_repository::source::Kind::Incremental;
    common::backup_to(vec![new.reopen(), old.reopen()], &mut source, kind).expect("a backup");
    assert_uncompressed(&old);
    assert_sound(&old, &restic);
    let checked = new.restic(&restic, &["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    let index = Index::load(&new.reopen(), &Progress::default()).expect("loaded");
    assert!(index.iter().any(|it| it.blob.uncompressed_length.is_some()));
}

#[test]
fn an_upgrade_changes_the_config_and_nothing_else() {
    for restic in Restic::installed() {
        let fixture = Fixture::of_version_1(&restic);
        fill(&fixture);
        fixture.backup();
        let before = fixture.reopen();
        let sealed = fs::read(fixture.path("repository/config")).expect("read");
        let versions = Upgrade { from: 1, to: 2 };
        let planned = upgrade(&before, None, &Progress::default()).expect("looked at");
        assert_eq!(planned, versions);
        assert_eq!(fixture.reopen().config(), before.config());

        let kept = Mutex::new(Vec::new());
        let keep = |config: &[u8]| {
            kept.lock().expect("free").extend_from_slice(config);
            Ok(())
        };
        let done = upgrade(&before, Some(&keep), &Progress::default()).expect("upgraded");
        assert_eq!(done, versions);
        assert_eq!(*kept.lock().expect("free"), sealed);
        let after = fixture.reopen();
        assert_eq!(after.config().version, 2);
        assert_eq!(
            (after.id(), after.polynomial()),
            (before.id(), before.polynomial())
        );
        assert_sound(&fixture, &restic);

        fs::write(fixture.data().join("text"), "new words ".repeat(200_000)).expect("written");
        fixture.backup();
        assert_sound(&fixture, &restic);
        let index = Index::load(&after, &Progress::default()).expect("loaded");
        assert!(index.iter().any(|it| it.blob.uncompressed_length.is_some()));
        let again = upgrade(&after, Some(&keep), &Progress::default()).expect("looked at");
        assert!(!again.is_needed());
    }
}

#[test]
fn what_is_damaged_or_in_use_or_cannot_be_kept_is_not_upgraded() {
    let restic = Restic::installed().remove(0);
    let fixture = Fixture::of_version_1(&restic);
    fill(&fixture);
    fixture.backup();
    let config = || fs::read(fixture.path("repository/config")).expect("read");
    let before = config();
    let keep = |_: &[u8]| Ok(());
    let lose = |_: &[u8]| {
        Err(strongroom_repository::Error::new(
            ErrorKind::OutOfSpace,
            "full",
        ))
    };
    let run = |keep: &dyn Fn(&[u8]) -> Result<()>| {
        upgrade(&fixture.reopen(), Some(keep), &Progress::default()).map(drop)
    };
    let error = run(&lose).expect_err("not kept");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    assert!(config() == before, "it was changed");

    let lock = Lock::shared(&fixture.reopen()).expect("locked");
    assert_eq!(run(&keep).expect_err("locked").kind(), ErrorKind::Locked);
    drop(lock);

    let index = fixture.reopen().list(FileType::Index).expect("listed");
    let key = FileType::Index.key(&index[0].0);
    let path = fixture.path("repository").join(key);
    let whole = fs::read(&path).expect("read");
    fs::remove_file(&path).expect("removed");
    let error = run(&keep).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(
        error.to_string().contains("its format was left as it is"),
        "{error}"
    );
    fs::write(&path, whole).expect("written");
    assert!(config() == before, "it was changed");
    run(&keep).expect("upgraded");
}

/// All blobs in one pack, trees among data, as restic packed them until 0.8.
fn mix(fixture: &Fixture) {
    let repository = fixture.reopen();
    let index = Index::load(&repository, &Progress::default()).expect("loaded");
    let path = |id: &Id| fixture.path("repository").join(FileType::Pack.key(id));
    let mut mixed = PackBuilder::new(Buffer::default());
    let mut blobs: Vec<_> = index.iter().collect();
    blobs.sort_by_key(|location| location.blob.id);
    for location in blobs {
        let pack = fs::read(path(&location.pack)).expect("read");
        let (start, end) = (location.blob.offset as usize, location.blob.end() as usize);
        mixed
            .add_sealed(&location.blob, &pack[start..end])
            .expect("added");
    }
    let mixed = mixed.finish(repository.key()).expect("finished");
    let at = path(&mixed.id);
    fs::create_dir_all(at.parent().expect("a folder")).expect("a folder");
    fs::write(at, &mixed.bytes[..]).expect("written");
    let file = IndexFile {
        supersedes: Vec::new(),
        packs: vec![IndexPack::new(mixed.id, &mixed.blobs)],
    };
    repository
        .save_json(FileType::Index, &file)
        .expect("written");
    for id in index.files() {
        repository.delete(FileType::Index, id).expect("removed");
    }
    for pack in index.packs() {
        repository
            .delete(FileType::Pack, &pack.id)
            .expect("removed");
    }
}

#[test]
fn a_pack_of_trees_and_data_is_read_and_taken_apart() {
    for restic in Restic::installed() {
        let fixture = Fixture::of_version_1(&restic);
        fill(&fixture);
        fixture.backup();
        mix(&fixture);
        assert_sound(&fixture, &restic);
        let packs = || fixture.reopen().list(FileType::Pack).expect("listed").len();
        assert_eq!(packs(), 1);
        fixture.backup();
        assert_sound(&fixture, &restic);
        prune(&fixture.reopen(), &EVERYTHING, &Progress::default()).expect("pruned");
        assert!(packs() > 1);
        assert_uncompressed(&fixture);
        assert_sound(&fixture, &restic);
    }
}

/// As the first versions of restic wrote them: a flat index, and one that supersedes others.
#[test]
fn indexes_of_the_first_restic_are_read() {
    let restic = Restic::installed().remove(0);
    let fixture = Fixture::of_version_1(&restic);
    fill(&fixture);
    fixture.backup();
    let repository = fixture.reopen();
    let (id, _) = repository.list(FileType::Index).expect("listed").remove(0);
    let file: IndexFile = repository.load_json(FileType::Index, &id).expect("read");
    assert!(file.packs.len() > 1);
    let (first, rest) = file.packs.split_at(1);
    repository
        .save_json(FileType::Index, &first)
        .expect("written");
    let superseding = serde_json::json!({"supersedes": [id], "packs": rest});
    repository
        .save_json(FileType::Index, &superseding)
        .expect("written");
    repository.delete(FileType::Index, &id).expect("removed");
    let report = check(&repository, CheckOptions::default(), &Progress::default());
    let report = report.expect("checked");
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    let index = Index::load(&repository, &Progress::default()).expect("loaded");
    let blobs: usize = file.packs.iter().map(|pack| pack.blobs.len()).sum();
    assert_eq!(index.len(), blobs);
    // A prune writes it as it is written today, which every restic reads.
    prune(&repository, &EVERYTHING, &Progress::default()).expect("pruned");
    repair_index(
        &repository,
        IndexRepairOptions {
            all: true,
            dry_run: false,
        },
        &Progress::default(),
    )
    .expect("repaired");
    assert_sound(&fixture, &restic);
}
