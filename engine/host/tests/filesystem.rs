//! The bundled filesystem destination, as a component in the sandbox: the conformance suite, and what only a file system can do wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use strongroom_repository::{Destination, Error, ErrorKind};

mod bundled;
mod conformance;

use bundled::{InFolder, skip};
use conformance::{Expectations, content, create, get, keys, put};

conformance::suite! {
    open: fresh,
    expectations: Expectations { page_objects: 1024, atomic_create_only: true },
}

fn fresh() -> InFolder {
    let folder = tempfile::tempdir().expect("a folder");
    InFolder {
        destination: open(folder.path()),
        folder,
    }
}

fn open(path: &Path) -> std::sync::Arc<dyn Destination> {
    bundled::destination("filesystem", &config(path)).expect("a destination")
}

fn config(path: &Path) -> String {
    serde_json::json!({ "path": path }).to_string()
}

fn check_error(result: Result<impl std::fmt::Debug, Error>, kind: ErrorKind, message: &str) {
    let error = result.expect_err(message);
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
}

#[test]
fn a_key_cannot_leave_the_folder() {
    let outside = tempfile::tempdir().expect("a folder");
    let inside = outside.path().join("repository");
    let destination = open(&inside);
    fs::write(outside.path().join("secret"), "outside").expect("a file");
    for key in [
        "",
        "/",
        "../secret",
        "data/../../secret",
        "/etc/hostname",
        "data//x",
        "data/./x",
        "a\0b",
        ".tmp/x",
        "data/",
    ] {
        let bad = |result: Result<(), Error>| {
            let error = result.expect_err(key);
            assert!(
                error.to_string().ends_with("is no key for a file"),
                "{key:?}: {error}"
            );
        };
        bad(put(&*destination, key, b"inside"));
        bad(destination.get(key, 0, None).map(drop));
        bad(destination.stat(key).map(drop));
        bad(destination.delete(key));
    }
    assert!(destination.list("../").is_err());
    assert_eq!(
        fs::read(outside.path().join("secret")).expect("still there"),
        b"outside"
    );
    assert_eq!(names(&inside), [""; 0]);
}

#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let outside = tempfile::tempdir().expect("a folder");
    let subject = fresh();
    fs::write(outside.path().join("secret"), "outside").expect("a file");
    std::os::unix::fs::symlink(outside.path(), subject.folder.path().join("data")).expect("a link");
    assert!(subject.get("data/secret", 0, None).is_err());
    assert!(put(&*subject, "data/new", b"inside").is_err());
    assert!(subject.delete("data/secret").is_err());
    assert_eq!(names(outside.path()), ["secret"]);
}

#[test]
fn a_short_file_names_what_was_wanted() {
    let subject = fresh();
    put(&*subject, "data/ab/abcd", &content(1, 1000)).expect("put");
    let file = subject.folder.path().join("data/ab/abcd");
    fs::File::options()
        .write(true)
        .open(file)
        .expect("the file")
        .set_len(100)
        .expect("a shorter file");
    check_error(
        subject.get("data/ab/abcd", 50, Some(200)),
        ErrorKind::Corrupted,
        "destination test: data/ab/abcd: 200 bytes from offset 50 were wanted, but the file has 100 bytes",
    );
    check_error(
        subject.get("data/ab/abcd", 200, None),
        ErrorKind::Corrupted,
        "destination test: data/ab/abcd: all from offset 200 was wanted, but the file has 100 bytes",
    );
}

#[test]
fn files_that_are_no_objects_are_not_listed() {
    let subject = fresh();
    put(&*subject, "data/ab/abcd", b"x").expect("put");
    let path = |name: &str| subject.folder.path().join(name);
    fs::write(path(".tmp/unfinished"), "x").expect("a file");
    fs::write(path("data/.nfs0001"), "x").expect("a file");
    fs::create_dir(path("data/empty")).expect("a folder");
    std::os::unix::fs::symlink("nowhere", path("data/dangling")).expect("a link");
    {
        use std::os::unix::ffi::OsStrExt;
        fs::write(path("data").join(std::ffi::OsStr::from_bytes(b"\xff")), "x").expect("a file");
    }
    assert_eq!(keys(&*subject, ""), ["data/ab/abcd".to_owned()].into());
}

#[test]
fn what_a_killed_run_left_is_removed_a_day_later() {
    let subject = fresh();
    let temporary = subject.folder.path().join(".tmp");
    fs::create_dir(&temporary).expect("a folder");
    let hour = Duration::from_secs(3600);
    for (name, age) in [("old", 25 * hour), ("young", 23 * hour)] {
        let file = fs::File::create(temporary.join(name)).expect("a file");
        file.set_modified(SystemTime::now() - age)
            .expect("an old file");
    }
    // The first call opens an instance.
    assert_eq!(subject.stat("config").expect("stat"), None);
    assert_eq!(names(&temporary), ["young"]);
}

#[test]
fn a_put_leaves_no_temporary_file_and_a_refused_one_neither() {
    let subject = fresh();
    create(&*subject, "config", b"first").expect("the key is free");
    create(&*subject, "config", b"second").expect_err("the key is taken");
    put(&*subject, "data/ab/abcd", b"x").expect("put");
    // A file where a folder should be.
    let error = put(&*subject, "config/below", b"x").expect_err("config is a file");
    assert_eq!(error.kind(), ErrorKind::Failed, "{error:?}");
    assert_eq!(names(&subject.folder.path().join(".tmp")), [""; 0]);
    assert_eq!(names(subject.folder.path()), [".tmp", "config", "data"]);
}

#[test]
fn a_folder_that_others_removed_is_made_again() {
    let subject = fresh();
    put(&*subject, "data/ab/abcd", b"x").expect("put");
    fs::remove_dir_all(subject.folder.path().join("data")).expect("the folder");
    put(&*subject, "data/ab/abce", b"y").expect("put");
    fs::remove_dir_all(subject.folder.path().join(".tmp")).expect("the folder");
    put(&*subject, "data/ab/abcf", b"z").expect("put");
    assert_eq!(keys(&*subject, "").len(), 2);
}

#[test]
fn a_full_disk_is_named_and_earlier_objects_are_untouched() {
    let Some(small) = Mounted::tmpfs(
        "a_full_disk_is_named_and_earlier_objects_are_untouched",
        "size=8m",
    ) else {
        return;
    };
    let destination = open(small.path());
    let first = content(1, 5 << 20);
    put(&*destination, "data/aa/first", &first).expect("there is room");
    for attempt in 0..3 {
        check_error(
            put(&*destination, "data/bb/second", &content(2, 5 << 20)),
            ErrorKind::OutOfSpace,
            "destination test: data/bb/second: no space left on device",
        );
        assert_eq!(
            names(&small.path().join(".tmp")),
            [""; 0],
            "attempt {attempt}"
        );
    }
    assert_eq!(keys(&*destination, ""), ["data/aa/first".to_owned()].into());
    assert!(get(&*destination, "data/aa/first") == first);
    put(&*destination, "data/bb/third", &content(3, 2 << 20)).expect("there is room for less");
}

#[test]
fn a_read_only_mount_can_be_read_and_not_written() {
    let Some(mounted) = Mounted::tmpfs("a_read_only_mount_can_be_read_and_not_written", "size=8m")
    else {
        return;
    };
    let destination = open(mounted.path());
    put(&*destination, "config", b"first").expect("put");
    mounted.remount("ro");
    assert_eq!(get(&*destination, "config"), b"first");
    for result in [
        put(&*destination, "data/ab/abcd", b"x"),
        put(&*destination, "config", b"second"),
        destination.delete("config"),
    ] {
        // wasmtime-wasi has no word for EROFS; the hint has to say it.
        let error = result.expect_err("the mount is read-only");
        assert_eq!(error.kind(), ErrorKind::Failed, "{error:?}");
        assert!(error.to_string().ends_with("i/o error"), "{error}");
        assert!(
            error
                .hint_text()
                .is_some_and(|hint| hint.contains("mounted read-only"))
        );
    }
    assert_eq!(get(&*destination, "config"), b"first");
}

#[test]
fn a_folder_without_write_permission_is_denied() {
    let subject = fresh();
    put(&*subject, "config", b"first").expect("put");
    let set = |mode| {
        fs::set_permissions(subject.folder.path(), fs::Permissions::from_mode(mode))
            .expect("a mode")
    };
    set(0o500);
    let probe = fs::write(subject.folder.path().join("probe"), "");
    if probe.is_ok() {
        set(0o700);
        return skip(
            "a_folder_without_write_permission_is_denied",
            "this user may write everywhere (root)",
        );
    }
    let result = put(&*subject, "data/ab/abcd", b"x");
    set(0o700);
    check_error(
        result,
        ErrorKind::Denied,
        "destination test: data: permission denied",
    );
}

#[test]
fn what_was_put_and_deleted_is_synchronised_in_order() {
    const TEST: &str = "what_was_put_and_deleted_is_synchronised_in_order";
    // The test runs itself again under strace, and there does what is looked at.
    if let Some(folder) = std::env::var_os("STRONGROOM_TEST_TRACED") {
        let folder = Path::new(&folder);
        let destination =
            bundled::destination("filesystem", &config(folder)).expect("a destination");
        create(&*destination, "data/ab/abcd", b"durable").expect("put");
        return destination.delete("data/ab/abcd").expect("delete");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let repository = folder.path().join("repository");
    let trace = folder.path().join("trace");
    let traced = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-s",
            "0",
            "-e",
            "trace=fsync,fdatasync,rename,renameat,renameat2,linkat,mkdirat,mkdir,unlinkat",
        ])
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().expect("a test knows where it is"))
        .args(["--exact", TEST])
        .env("STRONGROOM_TEST_TRACED", &repository)
        .output();
    let output = match traced {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return skip(TEST, "strace is not installed (package strace)");
        }
        other => other.expect("strace runs"),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("ptrace") {
            return skip(TEST, "this system does not let strace trace");
        }
        panic!("{said}{}", String::from_utf8_lossy(&output.stdout));
    }
    let trace = fs::read_to_string(trace).expect("a trace");
    let root = repository.display().to_string();
    let calls: Vec<String> = trace
        .lines()
        .filter(|line| line.contains(&root) && line.ends_with("= 0"))
        .map(|line| in_brief(line, &root))
        .collect();
    assert_eq!(
        calls,
        [
            "mkdir .",
            "mkdirat .tmp",
            "fdatasync ./.tmp/*",
            "mkdirat data",
            "fsync .",
            "mkdirat ab",
            "fsync ./data",
            "linkat abcd",
            "unlinkat *",
            "fsync ./data/ab",
            "unlinkat abcd",
            "fsync ./data/ab",
        ]
    );
}

/// The call and what it was about, the root as `.` and random names as `*`: `17 fsync(3</tmp/x/data>) = 0` is `fsync ./data`.
fn in_brief(line: &str, root: &str) -> String {
    let line = line.replace(root, ".");
    let (_, call) = line.trim_start().split_once(' ').expect("a process id");
    let (name, arguments) = call.trim_start().split_once('(').expect("arguments");
    let subject = match name {
        "fsync" | "fdatasync" => arguments.split(['<', '>']).nth(1),
        _ => arguments
            .split('"')
            .rfind(|part| !part.contains(['<', '(', ')'])),
    };
    let subject = subject.expect("a path").trim_end_matches(" (deleted)");
    let is_random =
        |part: &str| part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = subject
        .split('/')
        .map(|part| if is_random(part) { "*" } else { part })
        .collect();
    format!("{name} {}", parts.join("/"))
}

/// A file system of its own, for as long as this lives. Mounting takes root.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(test: &str, options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                skip(test, "this user may not mount");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(self.path())
            .status();
        assert!(status.expect("mount runs").success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
