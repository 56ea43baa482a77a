//! Backups that cannot go well: nothing that counts is left behind, and the next one succeeds.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Fixture, Folder, PASSWORD, Scripted, backup_to, entry, in_memory, noise, write};
use strongroom_repository::backup::{BackupSession, Committed, RunInfo, SourceInfo, SourceReport};
use strongroom_repository::source::{
    Attributes, Begun, Feed, Kind, Outcome, RestoreRequest, Sink, Source, Tree,
};
use strongroom_repository::testing::{Fault, MemoryDestination, Operation, Restic};
use strongroom_repository::{
    BlobType, Error, ErrorKind, FileType, InitOptions, Progress, Repository, Result,
};

/// The backup fails with an error that holds `expected`, and no snapshot is left.
fn check_failure(script: impl FnMut(&dyn Sink) -> Result<()> + Send, expected: &str) {
    let fixture = Fixture::new();
    let error = fixture
        .try_backup(&mut Scripted(script), Kind::Full)
        .expect_err("fails");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(
        fixture
            .reopen()
            .snapshots()
            .expect("listed")
            .good
            .is_empty()
    );
    assert!(
        fixture
            .reopen()
            .list(FileType::Lock)
            .expect("listed")
            .is_empty(),
        "a lock is left"
    );
    fixture.restic(&Restic::installed()[0], &["check"]);
}

#[test]
fn a_dump_that_fails_half_way_leaves_no_snapshot() {
    let script = |sink: &dyn Sink| {
        write(sink, "first.dump", &noise(3 << 20, 1))?;
        Err(Error::new(ErrorKind::Failed, "pg_dump exited with code 1"))
    };
    check_failure(script, "pg_dump exited with code 1");
}

#[test]
fn a_writer_that_is_dropped_fails_the_run() {
    let script = |sink: &dyn Sink| {
        if let Begun::Write(mut writer) = sink.file(entry("shop.dump"))? {
            writer.write(&noise(9 << 20, 1))?;
        }
        Ok(())
    };
    check_failure(script, "begun and never finished");
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["", "/etc/passwd", "a/../b", "a//b", ".", "a/", "a\0b"] {
        check_failure(
            move |sink: &dyn Sink| write(sink, path, b"x"),
            "is no relative path",
        );
    }
}

#[test]
fn what_is_too_long_to_be_restored_is_refused() {
    let name = |length| "n".repeat(length);
    let deep = |length: usize| {
        format!(
            "{}{}",
            format!("{}/", name(199)).repeat(20),
            name(length - 4000)
        )
    };
    for (path, expected) in [
        (name(256), "is 256 bytes long, and at most 255 are kept"),
        (
            format!("a/{}/b", name(300)),
            "is 300 bytes long, and at most 255 are kept",
        ),
        (deep(4097), "is 4097 bytes long, and at most 4096 are kept"),
    ] {
        for is_tree in [false, true] {
            let path = path.as_str();
            let script = move |sink: &dyn Sink| match is_tree {
                false => write(sink, path, b"x"),
                true => sink.tree(path, &Tree::default()).map(drop),
            };
            check_failure(script, expected);
        }
    }
    let fixture = Fixture::new();
    let longest = [name(255), deep(4096)];
    let mut source =
        Scripted(|sink: &dyn Sink| longest.iter().try_for_each(|path| write(sink, path, b"x")));
    fixture.try_backup(&mut source, Kind::Full).expect("fits");
}

#[test]
fn notes_without_end_are_refused() {
    let large = "v".repeat(1 << 19);
    for (key, value, count) in [("rows", large.as_str(), 2), ("", "", 30_000)] {
        let script = move |sink: &dyn Sink| {
            (0..count).for_each(|_| sink.note(key, value));
            write(sink, "file", b"x")
        };
        let expected = format!("and at most 1048576 are kept: '{key}' was too much");
        check_failure(script, &expected);
    }
    let fixture = Fixture::new();
    let mut source = Scripted(|sink: &dyn Sink| {
        (0..1000).for_each(|number| sink.note(&number.to_string(), &"v".repeat(900)));
        write(sink, "file", b"x")
    });
    let (report, _) = fixture.try_backup(&mut source, Kind::Full).expect("fits");
    assert_eq!(report.attributes.len(), 1000);
}

#[test]
fn a_path_that_comes_twice_is_refused() {
    let script = |sink: &dyn Sink| {
        write(sink, "a", b"x")?;
        write(sink, "a", b"y")
    };
    check_failure(script, "is in this backup already");
    let script = |sink: &dyn Sink| {
        write(sink, "a", b"x")?;
        write(sink, "a/b", b"y")
    };
    check_failure(script, "both a file and a directory");
}

#[test]
fn too_many_open_files_are_refused() {
    let script = |sink: &dyn Sink| {
        let begun: Result<Vec<_>> = (0..5).map(|n| sink.file(entry(&format!("{n}")))).collect();
        begun.map(drop)
    };
    check_failure(script, "files are being written at once");
}

#[test]
fn a_destination_that_is_full_fails_the_backup_and_keeps_the_earlier_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let destination = Arc::new(MemoryDestination::new("nas"));
    let options = InitOptions {
        password: PASSWORD,
        ..InitOptions::default()
    };
    let repository = Arc::new(Repository::init(destination.clone(), options).expect("made"));
    fs::write(folder.path().join("first"), noise(1 << 20, 1)).expect("written");
    let mut source = Folder::new(folder.path());
    backup_to(vec![repository.clone()], &mut source, Kind::Incremental).expect("a backup");
    fs::write(folder.path().join("second"), noise(60 << 20, 2)).expect("written");
    destination.set_capacity(20 << 20);
    let error =
        backup_to(vec![repository.clone()], &mut source, Kind::Incremental).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
    assert_eq!(repository.snapshots().expect("listed").good.len(), 1);
    destination.set_capacity(u64::MAX);
    backup_to(vec![repository.clone()], &mut source, Kind::Incremental).expect("room again");
    assert_eq!(repository.snapshots().expect("listed").good.len(), 2);
}

#[test]
fn every_put_that_fails_fails_the_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(1 << 20, 1)).expect("written");
    // Lock, pack of data, pack of trees, index, snapshot.
    for passing in 0..5 {
        let destination = Arc::new(MemoryDestination::new("nas"));
        let options = InitOptions {
            password: PASSWORD,
            ..InitOptions::default()
        };
        let repository = Arc::new(Repository::init(destination.clone(), options).expect("made"));
        destination.inject(Fault::fail(Operation::Put, passing, 1, ErrorKind::Denied));
        let mut source = Folder::new(folder.path());
        let result = backup_to(vec![repository.clone()], &mut source, Kind::Full);
        let error = result.expect_err(&format!("put {passing} fails"));
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(
            repository.snapshots().expect("listed").good.is_empty(),
            "after put {passing}"
        );
        destination.heal();
        backup_to(vec![repository], &mut source, Kind::Full).expect("the next one succeeds");
    }
}

/// Index before snapshot, packs before index.
#[test]
fn what_is_named_is_stored_before_what_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(40 << 20, 1)).expect("written");
    let destination = Arc::new(MemoryDestination::new("nas"));
    let options = InitOptions {
        password: PASSWORD,
        ..InitOptions::default()
    };
    let repository = Arc::new(Repository::init(destination.clone(), options).expect("made"));
    destination.forget_calls();
    backup_to(
        vec![repository],
        &mut Folder::new(folder.path()),
        Kind::Full,
    )
    .expect("a backup");
    let kinds: Vec<String> = destination
        .calls()
        .into_iter()
        .filter(|call| call.operation == Operation::Put && !call.key.starts_with("locks/"))
        .map(|call| call.key.split('/').next().unwrap_or_default().to_owned())
        .collect();
    let mut in_order = kinds.clone();
    in_order.sort_by_key(|kind| {
        ["data", "index", "snapshots"]
            .iter()
            .position(|it| it == kind)
    });
    assert_eq!(kinds, in_order);
    assert_eq!(kinds.iter().filter(|kind| *kind == "snapshots").count(), 1);
}

#[test]
fn two_backups_at_once_into_one_repository() {
    let fixture = Fixture::new();
    let other = tempfile::tempdir().expect("a folder");
    for number in 0..20 {
        let content = noise(2 << 20, number + 1);
        fs::write(fixture.data().join(format!("{number}")), &content).expect("written");
        fs::write(other.path().join(format!("{number}")), &content).expect("written");
    }
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut source = Folder::new(other.path());
            backup_to(vec![fixture.reopen()], &mut source, Kind::Full).expect("a backup")
        });
        fixture.backup();
        second.join().expect("joined");
    });
    assert_eq!(fixture.reopen().snapshots().expect("listed").good.len(), 2);
    for restic in Restic::installed() {
        fixture.restic(&restic, &["check", "--read-data"]);
    }
}

#[test]
fn several_destinations_get_the_same_backup() {
    let (first, second) = (Fixture::new(), Fixture::new());
    fs::write(first.data().join("file"), noise(20 << 20, 1)).expect("written");
    fs::create_dir(first.data().join("links")).expect("a folder");
    std::os::unix::fs::symlink("../file", first.data().join("links/link")).expect("linked");
    // The second one joins later and has none of the parent's data.
    first.backup();
    let both = vec![first.reopen(), second.reopen()];
    let mut source = Folder::new(&first.data());
    let (_, committed) = backup_to(both, &mut source, Kind::Incremental).expect("a backup");
    assert!(committed.len() == 2 && committed.iter().all(|target| target.snapshots.is_ok()));
    let restic = &Restic::installed()[0];
    for fixture in [&first, &second] {
        fixture.restic(restic, &["check", "--read-data"]);
        let dumped = fixture.dumped(restic, "/media/file");
        assert!(dumped == noise(20 << 20, 1), "the file differs");
    }
}

/// Backs up a folder, and loses a destination when that begins.
struct Losing<'a>(Folder, Option<&'a MemoryDestination>);

impl Source for Losing<'_> {
    fn check(&mut self) -> Result<Attributes> {
        self.0.check()
    }

    fn backup(&mut self, kind: Kind, sink: &dyn Sink) -> Result<Outcome> {
        if let Some(lost) = self.1 {
            lost.forget_calls();
            for operation in [
                Operation::Put,
                Operation::Get,
                Operation::Stat,
                Operation::List,
                Operation::Delete,
            ] {
                let fault = Fault::fail(operation, 0, usize::MAX, ErrorKind::Unavailable);
                lost.inject(fault);
            }
        }
        self.0.backup(kind, sink)
    }

    fn restore(&mut self, _: &RestoreRequest, _: &dyn Feed) -> Result<Attributes> {
        unreachable!("not restored")
    }
}

/// Backs up folders as sources of one run, each as its own, and loses `lost` when it comes to the first of them.
fn back_up_all(
    repositories: &[&Arc<Repository>],
    folders: &[&Path],
    lost: Option<&MemoryDestination>,
) -> (Vec<SourceReport>, Vec<Committed>) {
    let run = RunInfo {
        run: "r".into(),
        job: "all".into(),
        trigger: "on-demand".into(),
        note: None,
        sources: folders.len(),
        program: "strongroom test".into(),
    };
    let repositories = repositories.iter().map(|it| Arc::clone(it)).collect();
    let progress = Arc::new(Progress::default());
    let mut session = BackupSession::begin(repositories, run, progress).expect("begun");
    let mut lost = lost;
    let mut reports = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        let info = SourceInfo {
            name: format!("source-{number}"),
            plugin: "test".into(),
            plugin_version: "1".into(),
            method: None,
            kind: Kind::Incremental,
        };
        let mut source = Losing(Folder::new(folder), lost.take());
        reports.push(session.add(&info, &mut source).expect("added"));
    }
    (reports, session.commit().expect("one is left"))
}

/// With much that is new it is noticed while the first source is sent, with little only when the parent of the second one is looked for.
#[test]
fn a_first_destination_that_is_lost_takes_no_source_from_the_others() {
    for new_bytes in [60 << 20, 100] {
        let folders = [0, 1].map(|_| tempfile::tempdir().expect("a folder"));
        let folders = folders.each_ref().map(tempfile::TempDir::path);
        let ((usb, first), (_, second)) = (in_memory("usb"), in_memory("offsite"));
        // Each backup has a directory more, whose tree lies in a pack of its own.
        for number in 0..4 {
            let folder = folders[0].join(number.to_string());
            fs::create_dir(&folder).expect("a folder");
            fs::write(folder.join("file"), noise(1000, number)).expect("written");
            fs::write(folders[1].join("file"), noise(1000, 10)).expect("written");
            back_up_all(&[&first, &second], &folders, None);
        }
        fs::write(folders[0].join("new"), noise(new_bytes, 11)).expect("written");
        fs::write(folders[1].join("new"), "new").expect("written");
        let (reports, committed) = back_up_all(&[&first, &second], &folders, Some(&usb));
        let error = committed[0].snapshots.as_ref().expect_err("lost");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(committed[1].snapshots.as_ref().map_or(0, Vec::len), 2);
        // What the other one has of the second source is continued.
        assert_eq!(reports[1].kind, Kind::Incremental);
        assert_eq!(reports[1].counts.files_new, 1, "{:?}", reports[1].counts);
        // A destination behind a layer that tries again would let each of them wait for minutes.
        let calls = usb.calls().into_iter();
        let reads = calls.filter(|call| call.operation == Operation::Get);
        assert_eq!(reads.count(), 1, "the first tree that cannot be read");
    }
}

#[test]
fn a_destination_that_fails_half_way_leaves_the_other_with_its_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(60 << 20, 1)).expect("written");
    let ((full, first), (_, second)) = (in_memory("nas"), in_memory("offsite"));
    full.set_capacity(20 << 20);
    let both = vec![first.clone(), second.clone()];
    let mut source = Folder::new(folder.path());
    let (_, committed) = backup_to(both, &mut source, Kind::Full).expect("one is left");
    let error = committed[0].snapshots.as_ref().expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    assert!(first.snapshots().expect("listed").good.is_empty());
    assert!(committed[1].snapshots.is_ok());
    assert_eq!(second.snapshots().expect("listed").good.len(), 1);
}

#[test]
fn a_file_that_keeps_changing_is_marked() {
    let fixture = Fixture::new();
    let path = fixture.data().join("log");
    fs::write(&path, noise(60 << 20, 1)).expect("written");
    fs::write(fixture.data().join("calm"), "calm").expect("written");
    let stop = AtomicBool::new(false);
    let (report, _) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .expect("opened");
            while !stop.load(Ordering::Relaxed) {
                log.write_all(b"another line\n").expect("written");
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let result = fixture.backup();
        stop.store(true, Ordering::Relaxed);
        result
    });
    assert_eq!(report.changed, ["log"]);
    assert!(report.unreadable.is_empty());
    fixture.restic(&Restic::installed()[0], &["check", "--read-data"]);
}

/// Each source leaves a pack that is not full; more of them than there are buffers must not wait for one another.
#[test]
fn a_run_may_have_many_sources() {
    let fixture = Fixture::new();
    let run = RunInfo {
        run: "r".into(),
        job: "all".into(),
        trigger: "on-demand".into(),
        note: None,
        sources: 12,
        program: "strongroom test".into(),
    };
    let repositories = vec![fixture.reopen()];
    let progress = Arc::new(Progress::default());
    let mut session = BackupSession::begin(repositories, run, progress).expect("begun");
    for number in 0..12_u8 {
        let info = SourceInfo {
            name: format!("source-{number}"),
            plugin: "test".into(),
            plugin_version: "1".into(),
            method: None,
            kind: Kind::Full,
        };
        let mut source = Scripted(|sink: &dyn Sink| write(sink, "file", &[number; 100]));
        session.add(&info, &mut source).expect("added");
    }
    let committed = session.commit().expect("committed");
    assert_eq!(committed[0].snapshots.as_ref().map_or(0, Vec::len), 12);
    fixture.restic(&Restic::installed()[0], &["check", "--read-data"]);
}

/// Workers that wait for more hold packs of which one is full and one was begun. What is left must be enough for trees and manifests.
#[test]
fn packs_that_wait_to_be_proven_leave_room_for_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..8 {
        let file = folder.path().join(format!("film {number}"));
        fs::write(file, noise(17 << 20, number)).expect("written");
    }
    for _ in 0..3 {
        let destination = Arc::new(MemoryDestination::new("nas").with_parallelism(1));
        let options = InitOptions {
            password: PASSWORD,
            ..InitOptions::default()
        };
        let repository = Repository::init(destination, options).expect("made");
        let mut source = Folder::new(folder.path());
        backup_to(vec![Arc::new(repository)], &mut source, Kind::Full).expect("a backup");
    }
}

#[test]
fn a_missing_folder_is_named() {
    let fixture = Fixture::new();
    let missing = fixture.path("missing");
    let error = fixture
        .try_backup(&mut Folder::new(&missing), Kind::Full)
        .expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .starts_with(&missing.display().to_string()),
        "{error}"
    );
}

/// Packs that were lost, as by half a copy of the repository, or cut short.
#[test]
fn what_the_index_names_and_is_not_there_is_stored_again() {
    for is_cut in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let destination = Arc::new(MemoryDestination::new("nas"));
        let options = InitOptions {
            password: PASSWORD,
            ..InitOptions::default()
        };
        let repository = Arc::new(Repository::init(destination.clone(), options).expect("made"));
        fs::write(folder.path().join("large"), noise(3 << 20, 1)).expect("written");
        let mut source = Folder::new(folder.path());
        backup_to(vec![repository.clone()], &mut source, Kind::Full).expect("a backup");
        let size = |key: &str| destination.object(key).map_or(0, |object| object.len());
        let packs = destination.keys().into_iter();
        let packs = packs.filter(|key| key.starts_with("data/"));
        let largest = packs.max_by_key(|key| size(key)).expect("a pack");
        let whole = destination.object(&largest).expect("is there");
        destination.set_object(&largest, is_cut.then(|| whole.slice(..1000)));
        for kind in [Kind::Incremental, Kind::Full] {
            backup_to(vec![repository.clone()], &mut source, kind).expect("a backup");
            let contents = common::latest(repository.clone()).expect("opened");
            let reader = contents.reader();
            let node = contents.find("large").expect("found");
            reader.check_content(&node).expect("is complete");
            for blob in node.content.iter().flatten() {
                reader.read(BlobType::Data, blob).expect("is read");
            }
        }
    }
}
