//! Runs of several sources of which some fail: what they leave of themselves, and what becomes of the others.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Fixture, Folder, Scripted, entry, in_memory, noise, write};
use strongroom_repository::backup::{BackupSession, OwnFolder, RunInfo, SourceInfo};
use strongroom_repository::progress::{Level, Progress};
use strongroom_repository::source::{Begun, Kind, Sink, Source, Tree};
use strongroom_repository::testing::{Fault, Operation, Restic};
use strongroom_repository::{Error, ErrorKind, Repository, Result, Snapshot};

fn begin(repositories: Vec<Arc<Repository>>, run: &str, sources: usize) -> BackupSession {
    begin_watched(repositories, run, sources, Arc::default())
}

fn begin_watched(
    repositories: Vec<Arc<Repository>>,
    run: &str,
    sources: usize,
    progress: Arc<Progress>,
) -> BackupSession {
    let run = RunInfo {
        run: run.into(),
        job: "all".into(),
        trigger: "on-demand".into(),
        note: None,
        sources,
        program: "strongroom test".into(),
    };
    BackupSession::begin(repositories, run, progress).expect("begun")
}

fn info(name: &str) -> SourceInfo {
    SourceInfo {
        name: name.into(),
        plugin: "test".into(),
        plugin_version: "1".into(),
        method: None,
        kind: Kind::Incremental,
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Unavailable, "the server went away")
}

/// A source that ends in the way that `script` does, between two good ones that hold what it had begun to send, too.
fn check_survival(script: impl FnMut(&dyn Sink) -> Result<()> + Send, expected: &str) {
    let fixture = Fixture::new();
    let mut session = begin(vec![fixture.reopen()], "r", 3);
    let same = noise(20 << 20, 1);
    let mut first = Scripted(|sink: &dyn Sink| write(sink, "file", &noise(3 << 20, 2)));
    session.add(&info("first"), &mut first).expect("added");
    let error = session
        .add(&info("broken"), &mut Scripted(script))
        .expect_err("fails");
    assert!(error.to_string().contains(expected), "{error}");
    session.check().expect("usable");
    let mut last = Scripted(|sink: &dyn Sink| write(sink, "file", &same));
    session.add(&info("last"), &mut last).expect("added");
    let committed = session.commit().expect("committed");
    let snapshots = committed[0].snapshots.as_ref().expect("there");
    let names: Vec<_> = snapshots.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["first", "last"]);

    let snapshots = fixture.reopen().snapshots().expect("listed").good;
    for (_, snapshot) in &snapshots {
        assert!(snapshot.is_complete());
        assert_eq!(snapshot.tag("run-sources"), Some("3"));
        let missing: Vec<_> = snapshot.tags_of("missing-source").collect();
        assert_eq!(missing, ["broken"]);
    }
    assert_eq!(snapshots.len(), 2);
    fixture.restic(&Restic::installed()[0], &["check", "--read-data"]);
}

#[test]
fn a_source_that_fails_half_way_leaves_the_others_whole() {
    let script = |sink: &dyn Sink| {
        // The first of these is what the next source sends again.
        write(sink, "first", &noise(20 << 20, 1))?;
        Err(broken())
    };
    check_survival(script, "the server went away");
}

#[test]
fn a_file_that_is_left_in_the_middle_is_nobodys() {
    let script = |sink: &dyn Sink| {
        if let Begun::Write(mut writer) = sink.file(entry("half"))? {
            writer.write(&noise(20 << 20, 1))?;
        }
        Err(broken())
    };
    check_survival(script, "the server went away");
}

#[test]
fn a_source_that_delivers_nonsense_leaves_the_others_whole() {
    let script = |sink: &dyn Sink| {
        write(sink, "a/b", &noise(20 << 20, 1))?;
        write(sink, "a", b"a file where there is a folder")
    };
    check_survival(script, "is both a file and a directory");
}

#[test]
fn a_folder_that_is_gone_leaves_the_others_whole() {
    let script = |sink: &dyn Sink| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a"), noise(20 << 20, 1)).expect("written");
        sink.tree("there", &Folder::new(folder.path()).0)?;
        sink.tree("gone", &Folder::new(&folder.path().join("gone")).0)?;
        Ok(())
    };
    check_survival(script, "cannot be opened");
}

#[test]
fn a_destination_that_fails_ends_the_run_whatever_the_source_says() {
    let (destination, repository) = in_memory("nas");
    let mut session = begin(vec![repository], "r", 2);
    let full = Fault::fail(Operation::Put, 0, usize::MAX, ErrorKind::OutOfSpace);
    destination.inject(full.on_keys("data/"));
    let mut source = Scripted(|sink: &dyn Sink| {
        for number in 0..20 {
            // What it is told of the failure it keeps to itself.
            write(sink, &format!("file {number}"), &noise(9 << 20, number))
                .map_err(|_| broken())?;
        }
        Ok(())
    });
    let error = session.add(&info("first"), &mut source).expect_err("fails");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
    let error = session.check().expect_err("over");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
    let mut source = Scripted(|_: &dyn Sink| panic!("nobody asks it any more"));
    session.add(&info("last"), &mut source).expect_err("over");
}

#[test]
fn a_run_that_is_cancelled_is_no_failure_of_its_source() {
    let fixture = Fixture::new();
    let progress = Arc::new(Progress::default());
    let mut session = begin_watched(vec![fixture.reopen()], "r", 2, Arc::clone(&progress));
    let mut source = Scripted(|_: &dyn Sink| {
        progress.cancel();
        Err(broken())
    });
    session.add(&info("first"), &mut source).expect_err("fails");
    let error = session.check().expect_err("over");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn the_next_run_continues_what_the_source_had_before_it_failed() {
    let fixture = Fixture::new();
    let run = |name: &str, source: &mut dyn Source| {
        let mut session = begin(vec![fixture.reopen()], name, 2);
        let mut other = Scripted(|sink: &dyn Sink| write(sink, "file", b"other"));
        session.add(&info("other"), &mut other).expect("added");
        let added = session.add(&info("media"), source);
        session.commit().expect("committed");
        added
    };
    let mut folder = Folder::new(&fixture.data());
    fs::write(fixture.data().join("a"), noise(1 << 20, 3)).expect("written");
    // What changed at the moment at which a backup begins is read again.
    std::thread::sleep(std::time::Duration::from_millis(50));
    run("one", &mut folder).expect("whole");
    run("two", &mut Scripted(|_: &dyn Sink| Err(broken()))).expect_err("fails");
    let report = run("three", &mut folder).expect("whole");
    assert_eq!(report.kind, Kind::Incremental);
    assert_eq!(
        (report.counts.files_unmodified, report.counts.files_new),
        (1, 0)
    );
}

/// What is said, and what the backup of `root` holds where `own` folders are left out.
fn held(root: &Path, own: Vec<OwnFolder>) -> Result<(Vec<String>, Vec<String>)> {
    let fixture = Fixture::new();
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let progress = Progress::with_listener(Box::new(move |record| {
        assert_eq!(record.level, Level::Warn);
        heard.lock().expect("held").push(record.message.clone());
    }));
    let mut session = begin_watched(vec![fixture.reopen()], "r", 1, Arc::new(progress));
    session.leave_out(own);
    session.add(&info("media"), &mut Folder::new(root))?;
    session.commit().expect("committed");
    let contents = common::latest(fixture.reopen()).expect("opened");
    let mut names = Vec::new();
    for found in contents.walk(contents.root().clone()) {
        let path = found.expect("readable").path;
        names.push(String::from_utf8_lossy(&path).into_owned());
    }
    names.retain(|name| !name.is_empty());
    let manifest = contents.manifest().expect("ours");
    let said = said.lock().expect("held").clone();
    assert_eq!(manifest.warnings, said);
    Ok((names, said))
}

fn own(path: &Path, is_written_to: bool) -> OwnFolder {
    OwnFolder {
        path: path.into(),
        what: Some("the repository of destination nas".into()),
        is_written_to,
    }
}

#[test]
fn a_repository_in_its_source_is_left_out_by_whatever_name_it_is_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    fs::create_dir_all(root.join("deep/repo/data")).expect("folders");
    fs::write(root.join("deep/repo/data/pack"), "sealed").expect("written");
    fs::write(root.join("a"), "a").expect("written");
    std::os::unix::fs::symlink("deep/repo", root.join("link")).expect("a link");
    for path in [
        root.join("deep/repo"),
        root.join("link"),
        root.join("deep/../link/."),
    ] {
        let (names, said) = held(root, vec![own(&path, true)]).expect("a backup");
        assert_eq!(names, ["a", "deep", "link"]);
        assert_eq!(
            said,
            ["deep/repo is left out: inside of the source lies the repository of destination nas"]
        );
    }
    let nobody_misses = OwnFolder {
        what: None,
        ..own(&root.join("deep"), false)
    };
    let (names, said) =
        held(root, vec![nobody_misses, own(&root.join("gone"), true)]).expect("a backup");
    assert_eq!((names.len(), said.len()), (2, 0));
}

#[test]
fn a_repository_is_no_source_of_its_own_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = folder.path().join("repo");
    fs::create_dir_all(repository.join("data/00")).expect("folders");
    fs::create_dir_all(repository.join("photos")).expect("a folder");
    fs::write(repository.join("photos/a"), "a").expect("written");
    for inside in ["", "data", "data/00"] {
        let root = repository.join(inside);
        let error = held(&root, vec![own(&repository, true)]).expect_err("refused");
        assert!(error.to_string().contains("would hold itself"), "{error}");
        assert!(error.hint_text().is_some());
    }
    // What lies beside its files is nothing of it, and another's repository may be backed up as what it is.
    held(&repository.join("photos"), vec![own(&repository, true)]).expect("a backup");
    held(&repository, vec![own(&repository, false)]).expect("a backup");
}

/// Two backups of which the one that was made first carries a time that has not come.
#[test]
fn a_backup_from_the_future_is_continued_only_where_there_is_no_other() {
    let fixture = Fixture::new();
    fs::write(fixture.data().join("a"), noise(1 << 20, 3)).expect("written");
    let (_, committed) = fixture.backup();
    let id = committed[0].snapshots.as_ref().expect("there")[0].1;
    let repository = fixture.reopen();
    let mut snapshot = Snapshot::load(&repository, &id).expect("loaded");
    snapshot.time = "2199-01-01T00:00:00Z".parse().expect("a time");
    let future = snapshot.save(&repository).expect("saved");
    repository
        .delete(strongroom_repository::FileType::Snapshot, &id)
        .expect("deleted");
    let parent_of_next = || {
        let (_, committed) = fixture.backup();
        let id = committed[0].snapshots.as_ref().expect("there")[0].1;
        let snapshot = Snapshot::load(&fixture.reopen(), &id).expect("loaded");
        (id, snapshot.parent)
    };
    let (next, parent) = parent_of_next();
    assert_eq!(parent, Some(future));
    let (_, parent) = parent_of_next();
    assert_eq!(parent, Some(next));
}

#[test]
fn whoever_watches_is_told_how_much_a_first_backup_is() {
    let fixture = Fixture::new();
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("deep")).expect("a folder");
    fs::create_dir(root.path().join("left")).expect("a folder");
    for (name, size) in [("a", 5), ("deep/b", 7), ("left/c", 100)] {
        fs::write(root.path().join(name), vec![1; size]).expect("written");
    }
    let tree = Tree {
        exclude: vec!["left".into()],
        ..Folder::new(root.path()).0
    };
    let expected = |is_watched: bool| {
        let progress = Arc::new(Progress::default());
        if is_watched {
            progress.watch();
        }
        let mut session = begin_watched(vec![fixture.reopen()], "r", 1, Arc::clone(&progress));
        let mut source = Scripted(|sink: &dyn Sink| sink.tree("", &tree).map(drop));
        session.add(&info("media"), &mut source).expect("added");
        let load = |number: &std::sync::atomic::AtomicU64| {
            number.load(std::sync::atomic::Ordering::Relaxed)
        };
        (
            load(&progress.bytes_expected),
            load(&progress.items_expected),
        )
    };
    assert_eq!(expected(false), (0, 0));
    // The backup of three files may be over before the scan has begun.
    let told = (0..50).any(|_| expected(true) == (12, 2));
    assert!(told);
}
