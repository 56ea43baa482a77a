//! Copies from one repository to another: what arrives is whole, only what is missing is sent, and restic agrees.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use common::{Fixture, Folder, PASSWORD, backup_to, in_memory, noise};
use strongroom_repository::copy::{CopyReport, copy, dry_run};
use strongroom_repository::source::Kind;
use strongroom_repository::testing::{
    Fault, MemoryDestination, Operation, Restic, assert_same_files,
};
use strongroom_repository::{ErrorKind, FileType, Id, Progress, Repository, Result, Snapshot};

fn all(snapshots: &[(Id, Snapshot)]) -> Result<HashSet<Id>> {
    Ok(snapshots.iter().map(|(id, _)| *id).collect())
}

fn try_copy(from: &Arc<Repository>, to: &Arc<Repository>) -> Result<CopyReport> {
    copy(from, to, &all, &Arc::new(Progress::default()))
}

fn copied(from: &Fixture, to: &Fixture) -> CopyReport {
    try_copy(&from.repository, &to.repository).expect("copied")
}

/// Two backups of a folder that has changed between them.
fn two_backups() -> Fixture {
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::create_dir(data.join("deep")).expect("a folder");
    fs::write(data.join("photo"), noise(20 << 20, 1)).expect("written");
    fs::write(data.join("deep/text"), "words ".repeat(100_000)).expect("written");
    fs::write(data.join("empty"), "").expect("written");
    fixture.backup();
    fs::write(data.join("deep/more"), noise(3 << 20, 2)).expect("written");
    fs::remove_file(data.join("empty")).expect("removed");
    fixture.backup();
    fixture
}

/// The same repository at another place, as `cp -r` makes it.
fn twin(of: &Fixture) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("data")).expect("a folder");
    let copied = Command::new("cp")
        .arg("-r")
        .args([of.path("repository"), folder.path().join("repository")])
        .status();
    assert!(copied.expect("cp runs").success());
    let destination = strongroom_repository::testing::DirectoryDestination::new(
        "offsite",
        folder.path().join("repository"),
    );
    let repository = Repository::open(Arc::new(destination), PASSWORD).expect("opens");
    Fixture {
        folder,
        repository: Arc::new(repository),
    }
}

fn ids(fixture: &Fixture, file_type: FileType) -> Vec<Id> {
    let listed = fixture.repository.list(file_type).expect("listed");
    listed.into_iter().map(|(id, _)| id).collect()
}

/// restic finds nothing wrong and restores exactly `data` from the latest snapshot.
fn assert_restores(fixture: &Fixture, restic: &Restic, inside: &Path, data: &Path) {
    fixture.restic(restic, &["check", "--read-data"]);
    let out = tempfile::tempdir().expect("a folder");
    let target = out.path().to_str().expect("UTF-8");
    fixture.restic(restic, &["restore", "latest", "--target", target]);
    assert_same_files(&out.path().join(inside), data);
}

#[test]
fn what_is_copied_to_another_key_is_the_same_to_restic() {
    let from = two_backups();
    for restic in Restic::installed() {
        let to = Fixture::new();
        let report = copied(&from, &to);
        assert_eq!((report.copied.len(), report.present), (2, 0));
        assert_eq!(report.volume.whole_packs, 0);
        assert_restores(&to, &restic, Path::new("media"), &from.data());
        let listed = to.restic(&restic, &["snapshots", "--json", "--tag", "job:nightly"]);
        assert_eq!(listed.matches("7k3m9x2p4q").count(), 2, "{listed}");

        let before = ids(&to, FileType::Pack);
        let again = copied(&from, &to);
        assert_eq!((again.copied.len(), again.present), (0, 2));
        assert_eq!(ids(&to, FileType::Pack), before);
        assert!(ids(&to, FileType::Lock).is_empty());
        assert!(ids(&from, FileType::Lock).is_empty());
    }
}

#[test]
fn with_the_same_key_packs_are_copied_as_they_are() {
    let from = Fixture::new();
    let to = twin(&from);
    fs::write(from.data().join("photo"), noise(40 << 20, 1)).expect("written");
    fs::write(from.data().join("text"), "words ".repeat(100_000)).expect("written");
    from.backup();
    let report = copied(&from, &to);
    assert_eq!(report.volume.whole_packs, report.volume.packs);
    assert_eq!(ids(&to, FileType::Pack), ids(&from, FileType::Pack));
    for restic in Restic::installed() {
        assert_restores(&to, &restic, Path::new("media"), &from.data());
    }
}

#[test]
fn with_the_same_key_blobs_of_a_pack_are_copied_as_they_are() {
    let from = Fixture::new();
    let to = twin(&from);
    let (one, other) = (noise(3 << 20, 1), noise(3 << 20, 2));
    fs::write(to.data().join("one"), &one).expect("written");
    to.backup();
    fs::write(from.data().join("one"), &one).expect("written");
    fs::write(from.data().join("other"), &other).expect("written");
    from.backup();
    let report = copied(&from, &to);
    assert!(report.volume.whole_packs < report.volume.packs);
    assert!(report.volume.bytes < 4 << 20, "{:?}", report.volume);
    for restic in Restic::installed() {
        assert_restores(&to, &restic, Path::new("media"), &from.data());
    }
}

#[test]
fn what_restic_made_is_copied_compressed_or_not() {
    for restic in Restic::installed() {
        let from = Fixture::made_by(&restic);
        let data = from.data();
        let path = data.to_str().expect("UTF-8").to_owned();
        fs::write(data.join("photo"), noise(12 << 20, 1)).expect("written");
        fs::write(data.join("text"), "words ".repeat(400_000)).expect("written");
        from.restic(&restic, &["backup", &path, "--compression", "off"]);
        fs::write(data.join("later"), "more words ".repeat(400_000)).expect("written");
        from.restic(&restic, &["backup", &path, "--tag", "theirs"]);
        let to = Fixture::new();
        let report = copied(&from, &to);
        assert_eq!(report.copied.len(), 2);
        let inside = data.strip_prefix("/").expect("absolute");
        assert_restores(&to, &restic, inside, &data);
        // Text that was not compressed is now: 2.4 MB of it would show.
        let stored: u64 = to
            .repository
            .list(FileType::Pack)
            .expect("listed")
            .iter()
            .map(|(_, size)| size)
            .sum();
        assert!(stored < 13_500_000, "{stored}");
    }
}

#[test]
fn each_program_recognises_the_copies_of_the_other() {
    for restic in Restic::installed() {
        let from = two_backups();
        let (ours, theirs) = (Fixture::new(), Fixture::new());
        let restic_copy = |from: &Fixture, to: &Fixture| {
            let output = restic
                .command(&to.path("repository"), PASSWORD)
                .env("RESTIC_FROM_REPOSITORY", from.path("repository"))
                .env("RESTIC_FROM_PASSWORD", PASSWORD)
                .arg("copy")
                .output()
                .expect("restic runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        };
        let check = |to: &Fixture| {
            assert_eq!(to.repository.snapshots().expect("listed").good.len(), 2);
        };
        copied(&from, &ours);
        restic_copy(&from, &ours);
        check(&ours);
        restic_copy(&ours, &from);
        check(&from);

        restic_copy(&from, &theirs);
        assert_eq!(copied(&from, &theirs).present, 2);
        assert_eq!(copied(&theirs, &from).present, 2);
        assert_eq!(copied(&theirs, &ours).present, 2);
        check(&theirs);
        check(&from);
    }
}

#[test]
fn a_backup_that_both_have_from_the_same_run_is_not_copied() {
    let (one, other) = (Fixture::new(), Fixture::new());
    fs::write(one.data().join("file"), "content").expect("written");
    let repositories = vec![one.reopen(), other.reopen()];
    backup_to(repositories, &mut Folder::new(&one.data()), Kind::Full).expect("a backup");
    assert_ne!(
        ids(&one, FileType::Snapshot),
        ids(&other, FileType::Snapshot)
    );
    let report = copied(&one, &other);
    assert_eq!((report.copied.len(), report.present), (0, 1));
}

#[test]
fn only_what_is_chosen_is_copied() {
    let from = two_backups();
    let to = Fixture::new();
    let latest = from.repository.snapshots().expect("listed").good[1].0;
    let choose = |_: &[(Id, Snapshot)]| Ok(HashSet::from([latest]));
    let progress = Arc::new(Progress::default());
    let report = copy(&from.repository, &to.repository, &choose, &progress).expect("copied");
    assert_eq!(report.copied.len(), 1);
    assert_eq!(report.copied[0].id, latest);
    let restic = &Restic::installed()[0];
    assert_restores(&to, restic, Path::new("media"), &from.data());
}

#[test]
fn a_dry_run_says_the_same_and_sends_nothing() {
    let from = two_backups();
    let to = Fixture::new();
    let progress = Arc::new(Progress::default());
    let planned = dry_run(&from.repository, &to.repository, &all, &progress).expect("planned");
    assert!(ids(&to, FileType::Pack).is_empty());
    assert!(ids(&to, FileType::Snapshot).is_empty());
    let done = copied(&from, &to);
    assert_eq!(planned.volume, done.volume);
    assert_eq!(planned.copied.len(), done.copied.len());
    assert!(
        planned
            .copied
            .iter()
            .all(|snapshot| snapshot.copy.is_none())
    );
}

/// Objects of a kind that were stored since the calls were forgotten.
fn stored(destination: &MemoryDestination, prefix: &str) -> usize {
    let calls = destination.calls();
    let stored = calls
        .iter()
        .filter(|call| call.operation == Operation::Put && call.key.starts_with(prefix));
    stored.count()
}

#[test]
fn packs_are_stored_before_the_index_and_the_index_before_snapshots() {
    let from = two_backups();
    let (destination, to) = in_memory("offsite");
    destination.forget_calls();
    try_copy(&from.repository, &to).expect("copied");
    let calls = destination.calls();
    let kinds: Vec<&str> = calls
        .iter()
        .filter(|call| call.operation == Operation::Put && !call.key.starts_with("locks/"))
        .filter_map(|call| call.key.split('/').next())
        .collect();
    let rank = |kind: &&str| {
        ["data", "index", "snapshots"]
            .iter()
            .position(|it| it == kind)
    };
    assert!(kinds.is_sorted_by_key(rank), "{kinds:?}");
    assert!(kinds.contains(&"index"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "snapshots").count(), 2);
}

#[test]
fn a_full_target_gets_no_snapshot_and_the_next_copy_goes_on() {
    let from = Fixture::new();
    fs::write(from.data().join("photo"), noise(80 << 20, 1)).expect("written");
    from.backup();
    let (destination, to) = in_memory("offsite");
    destination.set_capacity(60 << 20);
    let error = try_copy(&from.repository, &to).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    assert_eq!(error.to_string(), "destination offsite: no space left");
    assert_eq!(
        error.hint_text(),
        Some("run it again: what has arrived is not sent again")
    );
    assert!(to.list(FileType::Snapshot).expect("listed").is_empty());
    assert!(to.list(FileType::Lock).expect("listed").is_empty());

    let arrived = to.list(FileType::Pack).expect("listed").len();
    assert!(arrived > 0);
    destination.heal();
    destination.forget_calls();
    let report = try_copy(&from.repository, &to).expect("copied");
    assert_eq!(report.copied.len(), 1);
    assert!(report.volume.bytes < 66 << 20, "{:?}", report.volume);
    assert!(stored(&destination, "data/") < arrived + 5);
}

#[test]
fn every_put_that_fails_fails_the_copy_and_the_next_one_succeeds() {
    let from = Fixture::new();
    fs::write(from.data().join("file"), noise(1 << 20, 1)).expect("written");
    from.backup();
    // Lock, pack of data, pack of trees, index, snapshot.
    for passing in 0..5 {
        let (destination, to) = in_memory("offsite");
        destination.inject(Fault::fail(
            Operation::Put,
            passing,
            1,
            ErrorKind::Unavailable,
        ));
        let error = try_copy(&from.repository, &to).expect_err(&format!("put {passing} fails"));
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(to.list(FileType::Snapshot).expect("listed").is_empty());
        let report = try_copy(&from.repository, &to).expect("copied");
        assert_eq!(report.copied.len(), 1, "after put {passing}");
    }
}

#[test]
fn a_long_copy_that_is_killed_sends_little_again() {
    let (source, from) = in_memory("nas");
    let data = tempfile::tempdir().expect("a folder");
    for round in 0..45 {
        fs::write(data.path().join("file"), noise(1000, round)).expect("written");
        backup_to(
            vec![from.clone()],
            &mut Folder::new(data.path()),
            Kind::Full,
        )
        .expect("a backup");
    }
    let packs = from.list(FileType::Pack).expect("listed").len();
    assert!(packs > 80, "{packs}");

    // The same key: what began as a copy of the files.
    let destination = Arc::new(MemoryDestination::new("offsite"));
    for key in source.keys() {
        if key == "config" || key.starts_with("keys/") {
            destination.set_object(&key, source.object(&key));
        }
    }
    let to = Repository::open(destination.clone(), PASSWORD).expect("opens");
    let to = Arc::new(to);
    // From the 76th pack on the target is gone, as for a program that is killed: not even an index is written afterwards.
    destination.inject(
        Fault::fail(Operation::Put, 75, usize::MAX, ErrorKind::Unavailable).on_keys("data/"),
    );
    let error = try_copy(&from, &to).expect_err("fails");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(to.list(FileType::Snapshot).expect("listed").is_empty());
    destination.heal();
    destination.forget_calls();
    let report = try_copy(&from, &to).expect("copied");
    assert_eq!(report.copied.len(), 45);
    let again = stored(&destination, "data/");
    assert!(again < packs - 55, "{again} of {packs}");
}

#[test]
fn a_damaged_blob_costs_the_snapshots_that_need_it() {
    let from = Fixture::new();
    fs::write(from.data().join("photo"), noise(3 << 20, 1)).expect("written");
    from.backup();
    let before: HashSet<Id> = ids(&from, FileType::Pack).into_iter().collect();
    fs::write(from.data().join("more"), noise(3 << 20, 2)).expect("written");
    from.backup();
    let largest = from
        .repository
        .list(FileType::Pack)
        .expect("listed")
        .into_iter()
        .filter(|(id, _)| !before.contains(id))
        .max_by_key(|(_, size)| *size);
    let (pack, size) = largest.expect("a new pack");
    let path = from.path("repository").join(FileType::Pack.key(&pack));
    let sound = fs::read(&path).expect("readable");

    let check = |damaged: Option<Vec<u8>>, expected: &str| {
        match damaged {
            Some(bytes) => fs::write(&path, bytes).expect("written"),
            None => fs::remove_file(&path).expect("removed"),
        }
        for to in [Fixture::new(), empty_twin(&from)] {
            let report = copied(&from, &to);
            assert_eq!((report.copied.len(), report.failed.len()), (1, 1));
            let (_, _, error) = &report.failed[0];
            assert_eq!(error.kind(), ErrorKind::Corrupted);
            let said = error.to_string();
            assert!(
                said.starts_with("more: ") && said.contains(expected),
                "{said}"
            );
            let restic = &Restic::installed()[0];
            to.restic(restic, &["check", "--read-data"]);
            assert!(to.dumped(restic, "/media/photo") == noise(3 << 20, 1));
        }
        fs::write(&path, &sound).expect("written");
    };
    let mut flipped = sound.clone();
    flipped[100] ^= 1;
    check(Some(flipped), "blob");
    check(Some(sound[..size as usize / 2].to_vec()), "short");
    check(None, "is missing");

    // What was not copied is copied once the pack is back.
    let to = Fixture::new();
    fs::remove_file(&path).expect("removed");
    copied(&from, &to);
    fs::write(&path, &sound).expect("written");
    let report = copied(&from, &to);
    assert_eq!((report.copied.len(), report.present), (1, 1));
    assert_restores(
        &to,
        &Restic::installed()[0],
        Path::new("media"),
        &from.data(),
    );
}

/// A repository with the same key that holds nothing.
fn empty_twin(of: &Fixture) -> Fixture {
    let twin = twin(of);
    for folder in ["data", "index", "snapshots"] {
        fs::remove_dir_all(twin.path("repository").join(folder)).expect("removed");
    }
    twin
}

#[test]
fn a_snapshot_that_cannot_be_read_is_named() {
    let (source, from) = in_memory("nas");
    let data = tempfile::tempdir().expect("a folder");
    fs::write(data.path().join("file"), "content").expect("written");
    for _ in 0..2 {
        backup_to(
            vec![from.clone()],
            &mut Folder::new(data.path()),
            Kind::Full,
        )
        .expect("a backup");
    }
    let key = FileType::Snapshot.key(&from.list(FileType::Snapshot).expect("listed")[0].0);
    source.set_object(&key, Some(Bytes::from_static(b"?")));
    let (_, to) = in_memory("offsite");
    let report = try_copy(&from, &to).expect("copied");
    assert_eq!((report.copied.len(), report.unreadable.len()), (1, 1));
}

#[test]
fn an_unreachable_source_is_no_damage() {
    let (source, from) = in_memory("nas");
    let data = tempfile::tempdir().expect("a folder");
    fs::write(data.path().join("file"), noise(1 << 20, 3)).expect("written");
    backup_to(
        vec![from.clone()],
        &mut Folder::new(data.path()),
        Kind::Full,
    )
    .expect("a backup");
    let (_, to) = in_memory("offsite");
    source.inject(Fault::fail(Operation::Get, 0, usize::MAX, ErrorKind::TimedOut).on_keys("data/"));
    let error = try_copy(&from, &to).expect_err("fails");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(to.list(FileType::Snapshot).expect("listed").is_empty());
}
