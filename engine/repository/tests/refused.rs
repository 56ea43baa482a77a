//! Targets that do not take everything: what they refuse is named, everything else is restored, and nothing half-made is left.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Fixture, everything_to, noise};
use strongroom_repository::restore::{RestoreOptions, RestoreReport, restore_tree};
use strongroom_repository::source::Conflict;
use strongroom_repository::{ErrorKind, Progress, Result};

fn restore(fixture: &Fixture, target: &Path, conflict: Conflict) -> Result<RestoreReport> {
    let contents = fixture.latest()?;
    let options = RestoreOptions {
        conflict,
        ..everything_to(target)
    };
    let root = contents.root().clone();
    restore_tree(&contents, root, &options, &Progress::default())
}

/// Where only root can make what a test needs.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root may mount, or make a file immutable");
    }
    is_root
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status();
    assert!(status.expect("runs").success(), "{program} {arguments:?}");
}

/// A file system that is mounted until this is gone.
struct Mounted(PathBuf);

impl Mounted {
    fn new(kind: &str, options: &str, path: &Path) -> Self {
        fs::create_dir_all(path).expect("a folder");
        run("mount", &["-t", kind, "-o", options, "none"], path);
        Self(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.0);
    }
}

/// What no other file may have or be changed to, until this is gone.
struct Immutable(PathBuf);

impl Immutable {
    fn new(path: &Path) -> Self {
        run("chattr", &["+i"], path);
        Self(path.to_owned())
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        run("chattr", &["-i"], &self.0);
    }
}

/// The paths of what is named, and that each says what was done and what to do.
fn named(report: &RestoreReport) -> Vec<&str> {
    let mut names: Vec<_> = report.refused.iter().map(|it| it.path.as_str()).collect();
    names.sort_unstable();
    names
}

fn assert_nothing_is_left(folder: &Path) {
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        assert!(
            !path.to_string_lossy().contains(".strongroom-"),
            "{}",
            path.display()
        );
        if path.is_dir() && !path.is_symlink() {
            assert_nothing_is_left(&path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn an_immutable_file_is_named_and_all_others_are_restored() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    let data = fixture.data();
    for folder in ["", "locked", "open"] {
        fs::create_dir_all(data.join(folder)).expect("made");
        for name in ["a", "m", "z"] {
            fs::write(data.join(folder).join(name), "new").expect("written");
        }
    }
    symlink("a", data.join("locked/link")).expect("linked");
    fs::hard_link(data.join("z"), data.join("zz")).expect("linked");
    fixture.backup();
    let target = fixture.path("out");
    restore(&fixture, &target, Conflict::Fail).expect("restored");
    for name in ["a", "m", "z", "locked/a", "locked/m", "locked/z", "open/a"] {
        fs::write(target.join(name), "old").expect("written");
    }
    let locks = [
        Immutable::new(&target.join("m")),
        Immutable::new(&target.join("locked")),
    ];
    let report = restore(&fixture, &target, Conflict::Overwrite).expect("the rest is restored");
    drop(locks);
    let expected = ["locked/a", "locked/link", "locked/m", "locked/z", "m"];
    assert_eq!(named(&report), expected);
    let message = &report.refused.last().expect("one").message;
    assert!(message.contains("operation not permitted"), "{message}");
    let advised = report
        .refused
        .iter()
        .all(|it| it.message.contains("chattr -i"));
    assert!(advised, "{:?}", report.refused);
    assert_eq!((report.summary.files, report.summary.bytes), (6, 5 * 3));
    for (name, content) in [("a", "new"), ("m", "old"), ("z", "new"), ("zz", "new")] {
        assert_eq!(read(&target.join(name)), content, "{name}");
    }
    assert_eq!(read(&target.join("open/a")), "new");
    assert_nothing_is_left(&target);
}

#[test]
fn what_has_another_type_is_replaced_or_named_with_what_would_be_below_it() {
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::create_dir(data.join("folder")).expect("made");
    for name in ["folder/inside", "file", "other"] {
        fs::write(data.join(name), "new").expect("written");
    }
    fixture.backup();
    let in_the_way = |target: &Path| {
        fs::create_dir_all(target.join("file/deep")).expect("made");
        fs::write(target.join("file/deep/precious"), "precious").expect("written");
        fs::write(target.join("folder"), "a file").expect("written");
    };
    let kept = fixture.path("kept");
    in_the_way(&kept);
    let report = restore(&fixture, &kept, Conflict::KeepExisting).expect("restored");
    assert_eq!(named(&report), ["folder"]);
    let message = &report.refused[0].message;
    assert!(
        message.contains("nothing below it was restored"),
        "{message}"
    );
    assert_eq!((report.kept, report.summary.files), (1, 1));
    assert_eq!(read(&kept.join("folder")), "a file");
    assert_eq!(read(&kept.join("other")), "new");
    assert_eq!(read(&kept.join("file/deep/precious")), "precious");

    // Files that the backup knows nothing of are not replaced by any of its own.
    let replaced = fixture.path("replaced");
    in_the_way(&replaced);
    let report = restore(&fixture, &replaced, Conflict::Overwrite).expect("restored");
    assert_eq!(named(&report), ["file"]);
    let message = &report.refused[0].message;
    assert!(message.contains("move it away"), "{message}");
    assert_eq!(read(&replaced.join("file/deep/precious")), "precious");
    assert_eq!(read(&replaced.join("folder/inside")), "new");

    fs::remove_dir_all(replaced.join("file/deep")).expect("removed");
    let report = restore(&fixture, &replaced, Conflict::Overwrite).expect("restored");
    assert_eq!(named(&report), [""; 0]);
    for name in ["folder/inside", "file", "other"] {
        assert_eq!(read(&replaced.join(name)), "new", "{name}");
    }
    assert_nothing_is_left(&replaced);
}

#[test]
fn a_file_system_that_is_mounted_in_the_way_is_not_emptied() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    let data = fixture.data();
    for name in ["file", "other"] {
        fs::write(data.join(name), "new").expect("written");
    }
    fixture.backup();
    for below in ["file", "file/deep"] {
        let target = fixture.path(&below.replace('/', " "));
        let mounted = Mounted::new("tmpfs", "size=1m", &target.join(below));
        fs::write(mounted.0.join("precious"), "precious").expect("written");
        let report = restore(&fixture, &target, Conflict::Overwrite).expect("restored");
        assert_eq!(named(&report), ["file"]);
        assert_eq!(read(&mounted.0.join("precious")), "precious");
        assert_eq!(read(&target.join("other")), "new");
        assert_nothing_is_left(&target);
    }
}

#[test]
fn a_file_without_room_is_named_and_smaller_ones_are_restored() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::write(data.join("a large one"), noise(3_000_000, 1)).expect("written");
    for number in 0..150 {
        fs::write(data.join(format!("small {number}")), noise(1000, number)).expect("written");
    }
    fixture.backup();
    let mounted = Mounted::new("tmpfs", "size=1200k", &fixture.path("out"));
    let report = restore(&fixture, &mounted.0, Conflict::Fail).expect("the rest is restored");
    assert_eq!(named(&report), ["a large one"]);
    assert!(report.refused[0].message.contains("--keep-existing"));
    assert_eq!(report.summary.files, 150);
    assert!(!mounted.0.join("a large one").exists());
    assert_nothing_is_left(&mounted.0);

    run("mount", &["-o", "remount,size=20m"], &mounted.0);
    let report = restore(&fixture, &mounted.0, Conflict::KeepExisting).expect("restored");
    assert_eq!((report.kept, report.summary.files), (150, 1));
    let (restored, original) = (mounted.0.join("a large one"), data.join("a large one"));
    assert!(fs::read(restored).expect("read") == fs::read(original).expect("read"));
}

#[test]
fn a_disk_that_is_full_is_one_error_and_leaves_nothing_half_made() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    for number in 0..2000 {
        let path = fixture.data().join(number.to_string());
        fs::write(path, noise(4000, number)).expect("written");
    }
    fixture.backup();
    let mounted = Mounted::new("tmpfs", "size=1m", &fixture.path("out"));
    let error = restore(&fixture, &mounted.0, Conflict::Fail).expect_err("full");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
    assert!(
        error
            .hint_text()
            .is_some_and(|hint| hint.contains("--keep-existing"))
    );
    assert_nothing_is_left(&mounted.0);
    let mut count = 0;
    for entry in fs::read_dir(&mounted.0).expect("listed") {
        let name = entry.expect("an entry").file_name();
        let (restored, original) = (mounted.0.join(&name), fixture.data().join(&name));
        assert!(fs::read(restored).expect("read") == fs::read(original).expect("read"));
        count += 1;
    }
    assert!((100..300).contains(&count), "{count}");
}

#[test]
fn a_name_that_cannot_be_a_link_is_a_copy() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::create_dir_all(data.join("elsewhere")).expect("made");
    fs::write(data.join("a"), noise(3 << 20, 1)).expect("written");
    run("setfattr", &["-n", "user.note", "-v", "x"], &data.join("a"));
    run("chmod", &["640"], &data.join("a"));
    run("touch", &["-d", "2001-02-03 04:05:06.5Z"], &data.join("a"));
    for name in ["b", "elsewhere/c"] {
        fs::hard_link(data.join("a"), data.join(name)).expect("linked");
    }
    fixture.backup();
    let target = fixture.path("out");
    let _mounted = Mounted::new("tmpfs", "size=20m", &target.join("elsewhere"));
    let report = restore(&fixture, &target, Conflict::Fail).expect("restored");
    assert_eq!(named(&report), ["elsewhere/c"]);
    let message = &report.refused[0].message;
    assert!(message.starts_with("is a copy of a now: "), "{message}");
    let (a, c) = (target.join("a"), target.join("elsewhere/c"));
    assert!(fs::read(&a).expect("read") == fs::read(&c).expect("read"));
    let facts = |path: &Path| {
        let found = fs::metadata(path).expect("there");
        (found.mode(), found.mtime(), found.mtime_nsec(), found.len())
    };
    assert_eq!(facts(&a), facts(&c));
    assert_eq!(fs::metadata(target.join("b")).expect("there").nlink(), 2);
}

/// The first name of a file is where this user may not write, the others are not.
#[test]
fn who_may_not_write_everywhere_restores_the_rest() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    let data = fixture.data();
    for folder in ["closed", "open"] {
        fs::create_dir_all(data.join(folder)).expect("made");
    }
    fs::write(data.join("closed/a"), "linked").expect("written");
    for name in ["open/b", "open/c"] {
        fs::hard_link(data.join("closed/a"), data.join(name)).expect("linked");
    }
    let made = Command::new("mknod")
        .arg(data.join("open/null"))
        .args(["c", "1", "3"])
        .status();
    assert!(made.expect("runs").success());
    run("chown", &["-R", "65534"], &data.join("open"));
    run("chmod", &["555"], &data.join("open"));
    fixture.backup();
    let contents = fixture.latest().expect("opened");
    let target = fixture.path("out");
    for folder in ["", "closed", "open"] {
        fs::create_dir_all(target.join(folder)).expect("made");
    }
    // The user's own folder, which nobody may write to as it is.
    run("chown", &["65534"], &target.join("open"));
    run("chmod", &["555"], &target.join("open"));
    let options = RestoreOptions {
        conflict: Conflict::Overwrite,
        ..everything_to(&target)
    };
    // The folder above is root's alone.
    run("chmod", &["755"], target.parent().expect("a folder"));
    // Only this thread, which then ends, becomes another user.
    let restored = std::thread::spawn(move || {
        let nobody = rustix::thread::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("becomes");
        let root = contents.root().clone();
        restore_tree(&contents, root, &options, &Progress::default())
    });
    let report = restored
        .join()
        .expect("ends")
        .expect("the rest is restored");
    let names = named(&report);
    assert!(
        names.contains(&"closed/a") && names.contains(&"open/null"),
        "{names:?}"
    );
    let closed = report.refused.iter().find(|it| it.path == "closed/a");
    let message = &closed.expect("named").message;
    assert!(message.contains("or as root"), "{message}");
    assert!(!target.join("closed/a").exists());
    for name in ["open/b", "open/c"] {
        assert_eq!(read(&target.join(name)), "linked", "{name}");
    }
    assert_eq!(
        fs::metadata(target.join("open/b")).expect("there").nlink(),
        2
    );
    let mode = fs::metadata(target.join("open"))
        .expect("there")
        .permissions();
    assert_eq!(mode.mode() & 0o7777, 0o555);
    assert_nothing_is_left(&target);
}

#[test]
fn a_file_system_that_knows_no_attributes_loses_no_file() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    let data = fixture.data();
    for name in ["a", "b"] {
        fs::write(data.join(name), name).expect("written");
        run(
            "setfattr",
            &["-n", "user.note", "-v", "x"],
            &data.join(name),
        );
    }
    run("setfacl", &["-m", "u:1:rw"], &data.join("b"));
    fixture.backup();
    let mounted = Mounted::new("ramfs", "mode=755", &fixture.path("out"));
    let report = restore(&fixture, &mounted.0, Conflict::Fail).expect("restored");
    assert_eq!(named(&report), [""; 0]);
    let mut said: Vec<_> = report.problems.iter().map(|it| &it.message).collect();
    said.sort();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].starts_with("extended attribute user.note was not restored: "));
    assert!(said[1].ends_with(" (2 files)"));
    for name in ["a", "b"] {
        assert_eq!(read(&mounted.0.join(name)), name);
    }
}
