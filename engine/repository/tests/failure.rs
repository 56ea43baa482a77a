//! Backups that cannot go well: nothing that counts is left behind, and the next one succeeds.

mod common;

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Fixture, Folder, PASSWORD, backup_to, noise};
use strongroom_repository::backup::{BackupSession, RunInfo, SourceInfo};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::contents::Contents;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::index::Index;
use strongroom_repository::source::{
    Attributes, Begun, Entry, Feed, Kind, Outcome, RestoreRequest, Sink, Source,
};
use strongroom_repository::testing::{Fault, MemoryDestination, Operation, Restic};
use strongroom_repository::{
    Error, ErrorKind, FileType, InitOptions, Progress, Repository, Result,
};

/// A source that does what it is told.
struct Scripted<F>(F);

impl<F: FnMut(&dyn Sink) -> Result<()> + Send> Source for Scripted<F> {
    fn check(&mut self) -> Result<Attributes> {
        Ok(Vec::new())
    }

    fn backup(&mut self, kind: Kind, sink: &dyn Sink) -> Result<Outcome> {
        (self.0)(sink).map(|()| Outcome {
            kind,
            attributes: Vec::new(),
        })
    }

    fn restore(&mut self, _: &RestoreRequest, _: &dyn Feed) -> Result<Attributes> {
        unreachable!("not restored")
    }
}

fn entry(path: &str) -> Entry {
    Entry {
        path: path.into(),
        ..Entry::default()
    }
}

fn write(sink: &dyn Sink, path: &str, content: &[u8]) -> Result<()> {
    match sink.file(entry(path))? {
        Begun::Unchanged => Ok(()),
        Begun::Write(mut writer) => {
            writer.write(content)?;
            writer.finish().map(drop)
        }
    }
}

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

/// Streams are restored by restic as they were written, in nested folders.
#[test]
fn streams_become_files() {
    let fixture = Fixture::new();
    let dump = noise(12 << 20, 4);
    let mut source = Scripted(|sink: &dyn Sink| {
        sink.note("server", "15.4");
        write(sink, "shop.dump", &dump)?;
        write(sink, "base/1/empty", b"")?;
        write(sink, "base/1/16384", &noise(100, 6))
    });
    let (report, _) = fixture
        .try_backup(&mut source, Kind::Full)
        .expect("a backup");
    assert_eq!(
        (report.summary.files, report.summary.bytes),
        (3, dump.len() as u64 + 100)
    );
    for restic in Restic::installed() {
        fixture.restic(&restic, &["check", "--read-data"]);
        let listed = fixture.restic(&restic, &["ls", "latest"]);
        for path in [
            "/.strongroom/manifest.json",
            "/media/base/1/16384",
            "/media/shop.dump",
        ] {
            assert!(
                listed.lines().any(|line| line == path),
                "{path} is not in {listed}"
            );
        }
        let output = fixture.dumped(&restic, "/media/shop.dump");
        assert!(output == dump, "the dump differs");
    }
}

/// Pieces that are whole do not make a file that is: all of it is compared with what the plugin wrote.
#[test]
fn a_stream_that_was_put_together_wrongly_is_not_given_back() {
    let fixture = Fixture::new();
    let dump = noise(5 << 20, 4);
    let mut source = Scripted(|sink: &dyn Sink| write(sink, "shop.dump", &dump));
    fixture
        .try_backup(&mut source, Kind::Full)
        .expect("a backup");
    assert_eq!(read_latest(&fixture, "shop.dump"), Ok(dump.clone()));

    // The same manifest beside another content.
    let restic = &Restic::installed()[0];
    let copy = fixture.path("copy");
    let target = copy.to_str().expect("UTF-8");
    fixture.restic(restic, &["restore", "latest", "--target", target]);
    let mut other = dump;
    other.rotate_left(1 << 20);
    fs::write(copy.join("media/shop.dump"), other).expect("written");
    let backup = restic
        .command(&fixture.path("repository"), PASSWORD)
        .args(["backup", ".", "--tag", "run:forged"])
        .current_dir(&copy)
        .output()
        .expect("restic runs");
    assert!(backup.status.success(), "{backup:?}");
    assert_eq!(
        read_latest(&fixture, "shop.dump"),
        Err("shop.dump: its pieces are whole, but together they are not what was backed up".into())
    );
}

/// All of a file of the newest snapshot, as its source gets it back.
fn read_latest(fixture: &Fixture, path: &str) -> Result<Vec<u8>, String> {
    let repository = fixture.reopen();
    let progress = Arc::new(Progress::default());
    let snapshots = repository.snapshots().expect("listed").good;
    let (id, snapshot) = snapshots.into_iter().next_back().expect("there is one");
    let index = Index::load(&repository, &progress).expect("loads");
    let reader = Arc::new(BlobReader::new(repository, Arc::new(index)));
    let contents = Contents::open(reader, id, &snapshot).expect("opens");
    let feed = SnapshotFeed::new(Arc::new(contents), Vec::new(), progress);
    let mut file = feed.open(path).expect("is there");
    let mut content = Vec::new();
    loop {
        match file.read(1 << 20) {
            Ok(bytes) if bytes.is_empty() => return Ok(content),
            Ok(bytes) => content.extend_from_slice(&bytes),
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[test]
fn an_incremental_backup_carries_what_did_not_change() {
    let fixture = Fixture::new();
    let base = noise(5 << 20, 4);
    let marked = |path: &str| Entry {
        fingerprint: Some("1".into()),
        ..entry(path)
    };
    let mut full = Scripted(|sink: &dyn Sink| {
        assert!(sink.parent().is_none());
        write(sink, "base/file", &base)?;
        sink.note("end", "0/3000000");
        let Begun::Write(writer) = sink.file(marked("marked"))? else {
            panic!("no parent yet")
        };
        writer.finish().map(drop)
    });
    fixture.try_backup(&mut full, Kind::Full).expect("a backup");
    let mut incremental = Scripted(|sink: &dyn Sink| {
        let parent = sink.parent().expect("a parent");
        assert_eq!(
            parent.attributes,
            [("end".to_owned(), "0/3000000".to_owned())]
        );
        assert_eq!(sink.carry("base")?.bytes, 5 << 20);
        assert!(sink.carry("nowhere").is_err());
        assert!(matches!(sink.file(marked("marked"))?, Begun::Unchanged));
        write(sink, "wal/1", b"log")
    });
    let (report, _) = fixture
        .try_backup(&mut incremental, Kind::Incremental)
        .expect("a backup");
    assert!(report.summary.new_bytes < 10_000, "{report:?}");
    assert_eq!(report.summary.files, 3);
    let restic = &Restic::installed()[0];
    fixture.restic(restic, &["check", "--read-data"]);
    let output = fixture.dumped(restic, "/media/base/file");
    assert!(output == base, "the carried file differs");
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

#[test]
fn a_destination_that_fails_half_way_leaves_the_other_with_its_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), noise(60 << 20, 1)).expect("written");
    let memory = || {
        let destination = Arc::new(MemoryDestination::new("nas"));
        let options = InitOptions {
            password: PASSWORD,
            ..InitOptions::default()
        };
        let repository = Repository::init(destination.clone(), options).expect("made");
        (destination, Arc::new(repository))
    };
    let ((full, first), (_, second)) = (memory(), memory());
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
