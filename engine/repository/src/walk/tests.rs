use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::*;
use crate::exclude::CACHE_SIGNATURE;

fn tree(root: &Path) -> Tree {
    Tree {
        root: root.to_owned(),
        ..Tree::default()
    }
}

/// All paths of a walk in order; a directory that a backup would leave out or keep empty says why. Problems come after a `!`.
fn paths(walk: &Walk) -> Vec<String> {
    let mut paths = Vec::new();
    let mut stack = vec![walk.root().clone()];
    while let Some(directory) = stack.pop() {
        let listing = walk.list(&directory);
        if listing.state != DirectoryState::Listed {
            paths.push(format!("{}: {:?}", directory.display(), listing.state));
        }
        for problem in listing.problems {
            let path = String::from_utf8(problem.path).unwrap();
            paths.push(format!("! {path}: {}", problem.error));
        }
        for found in &listing.entries {
            paths.push(directory.path_of(&found.name).escape_ascii().to_string());
        }
        let directories = listing.entries.into_iter().rev();
        stack.extend(directories.filter_map(|found| found.directory));
    }
    paths
}

fn check(tree: &Tree, expected: &[&str]) {
    for helpers in [0, 1, 3] {
        let walk = Walk::start(tree, helpers).unwrap();
        assert_eq!(paths(&walk), expected, "{helpers} helpers");
    }
}

fn make(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        if file.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "content").unwrap();
        }
    }
}

#[test]
fn a_tree_is_listed_in_the_order_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    make(
        folder.path(),
        &["b/2", "b/1/x", "a.txt", "a/z", "B", "é", "empty/"],
    );
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    symlink("a", folder.path().join("link")).unwrap();
    check(
        &tree(folder.path()),
        &[
            "B",
            "a",
            "a.txt",
            "b",
            "empty",
            "link",
            r"\xc3\xa9",
            r"\xff",
            "a/z",
            "b/1",
            "b/2",
            "b/1/x",
        ],
    );
}

#[test]
fn entries_tell_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &["dir/", "file"]);
    symlink("file", folder.path().join("link")).unwrap();
    let walk = Walk::start(&tree(folder.path()), 1).unwrap();
    let listing = walk.list(walk.root());
    let types: Vec<_> = listing
        .entries
        .iter()
        .map(|found| (found.metadata.node_type(), found.directory.is_some()))
        .collect();
    use crate::tree::NodeType::{Dir, File, Symlink};
    assert_eq!(types, [(Dir, true), (File, false), (Symlink, false)]);
    assert_eq!(listing.entries[1].metadata.size, 7);
    let directory = walk.open(walk.root()).unwrap();
    let file = open_file(directory.as_fd(), b"file").unwrap();
    assert_eq!(
        Metadata::of_file(&file).unwrap(),
        listing.entries[1].metadata
    );
    assert!(open_file(directory.as_fd(), b"link").is_err());
}

#[test]
fn what_is_excluded_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    make(
        folder.path(),
        &[
            "keep/a.tmp",
            "keep/b",
            "cache/x",
            "sub/cache/x",
            "sub/top",
            "top/x",
            "logs/a.log",
            "logs/keep.log",
        ],
    );
    let mut tree = tree(folder.path());
    tree.exclude = ["*.tmp", "cache/", "/top", "*.log", "!keep.log"]
        .map(str::to_owned)
        .to_vec();
    check(
        &tree,
        &["keep", "logs", "sub", "keep/b", "logs/keep.log", "sub/top"],
    );
    tree.exclude = vec!["[".to_owned()];
    let error = Walk::start(&tree, 0).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[test]
fn a_marker_leaves_out_its_directory_but_never_the_root() {
    let folder = tempfile::tempdir().unwrap();
    make(
        folder.path(),
        &[
            ".nobackup",
            "a/.nobackup",
            "a/x",
            "b/CACHEDIR.TAG",
            "b/x",
            "c/CACHEDIR.TAG",
            "d/CACHEDIR.TAG/x",
        ],
    );
    let mut tag = CACHE_SIGNATURE.to_vec();
    tag.extend_from_slice(b"\n# comment");
    fs::write(folder.path().join("c/CACHEDIR.TAG"), &tag).unwrap();
    let mut tree = tree(folder.path());
    tree.exclude_if_present = vec![".nobackup".to_owned()];
    tree.exclude_caches = true;
    check(
        &tree,
        &[
            ".nobackup",
            "a",
            "b",
            "c",
            "d",
            "a: Excluded",
            "b/CACHEDIR.TAG",
            "b/x",
            "c: Excluded",
            "d/CACHEDIR.TAG",
            "d/CACHEDIR.TAG/x",
        ],
    );
}

#[test]
fn another_file_system_is_kept_as_an_empty_directory() {
    let tree = Tree {
        root: "/".into(),
        one_file_system: true,
        ..Tree::default()
    };
    let walk = Walk::start(&tree, 1).unwrap();
    let listing = walk.list(walk.root());
    let proc = listing.entries.iter().find(|found| &*found.name == b"proc");
    let proc = proc.unwrap().directory.as_ref().unwrap();
    let listing = walk.list(proc);
    assert_eq!(listing.state, DirectoryState::OtherFileSystem);
    assert!(listing.entries.is_empty() && listing.problems.is_empty());

    let everything = Tree {
        one_file_system: false,
        ..tree
    };
    let walk = Walk::start(&everything, 0).unwrap();
    let listing = walk.list(walk.root());
    let proc = listing.entries.iter().find(|found| &*found.name == b"proc");
    let proc = proc.unwrap().directory.as_ref().unwrap();
    assert!(!walk.list(proc).entries.is_empty());
    walk.skip(proc);
}

#[test]
fn what_vanishes_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    make(
        folder.path(),
        &["gone/x", "replaced/x", "linked/x", "stays/x"],
    );
    let walk = Walk::start(&tree(folder.path()), 0).unwrap();
    let listing = walk.list(walk.root());
    fs::remove_dir_all(folder.path().join("gone")).unwrap();
    fs::remove_dir_all(folder.path().join("replaced")).unwrap();
    fs::write(folder.path().join("replaced"), "").unwrap();
    fs::rename(folder.path().join("linked"), folder.path().join("moved")).unwrap();
    symlink("moved", folder.path().join("linked")).unwrap();
    let states: Vec<_> = listing
        .entries
        .iter()
        .map(|found| {
            let listing = walk.list(found.directory.as_ref().unwrap());
            assert!(listing.problems.is_empty());
            (
                String::from_utf8_lossy(&found.name).into_owned(),
                listing.state,
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            ("gone".to_owned(), DirectoryState::Vanished),
            ("linked".to_owned(), DirectoryState::Vanished),
            ("replaced".to_owned(), DirectoryState::Vanished),
            ("stays".to_owned(), DirectoryState::Listed),
        ]
    );
}

#[test]
fn files_that_vanish_while_a_directory_is_listed_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
    let stays: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| name.ends_with('0'))
        .collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                for name in &names {
                    fs::write(folder.path().join(name), "").unwrap();
                }
                for name in names.iter().filter(|name| !name.ends_with('0')) {
                    fs::remove_file(folder.path().join(name)).unwrap();
                }
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..200 {
            let walk = Walk::start(&tree(folder.path()), 0).unwrap();
            let listing = walk.list(walk.root());
            assert!(listing.problems.is_empty(), "{:?}", listing.problems);
            let found = listing
                .entries
                .iter()
                .filter(|found| found.name.ends_with(b"0"))
                .count();
            // The first round may not have made them all yet.
            assert!(found <= stays.len());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    check(&tree(folder.path()), &stays);
}

#[test]
fn a_directory_that_cannot_be_read_is_named_and_the_rest_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &["a/x", "closed/x", "z/x"]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = folder.path().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    let tree = tree(folder.path());
    // Root may read everything, so one thread becomes somebody else.
    let found = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::thread::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        let walk = Walk::start(&tree, 1).unwrap();
        let root = Walk::start(
            &Tree {
                root: closed,
                ..tree
            },
            0,
        )
        .err()
        .unwrap();
        (paths(&walk), root)
    });
    let (found, root) = found.join().unwrap();
    assert_eq!(
        found,
        [
            "a",
            "closed",
            "z",
            "a/x",
            "closed: Unreadable",
            "! closed: directory cannot be read: permission denied",
            "z/x"
        ]
    );
    assert_eq!(root.kind(), ErrorKind::Denied);
}

#[test]
fn a_root_that_is_missing_or_no_directory_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &["file", "dir/x"]);
    symlink("dir", folder.path().join("link")).unwrap();
    let fails = |name: &str| {
        let path = folder.path().join(name);
        let error = Walk::start(&tree(&path), 1).err().unwrap();
        (error.kind(), error.message().to_owned())
    };
    assert_eq!(
        fails("none"),
        (
            ErrorKind::NotFound,
            "directory cannot be opened: no such file or directory".to_owned()
        )
    );
    assert_eq!(
        fails("file"),
        (ErrorKind::InvalidConfig, "is not a directory".to_owned())
    );
    check(&tree(&folder.path().join("link")), &["x"]);
}

#[test]
fn a_tree_of_ten_thousand_levels_is_walked() {
    // In memory, where there is such a place: ext4 takes a while to make that many.
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let mut level = rustix::fs::open(folder.path(), OFlags::PATH, Mode::empty()).unwrap();
    let levels = 10_000;
    for _ in 0..levels {
        rustix::fs::mkdirat(&level, "deep", Mode::RWXU).unwrap();
        level = rustix::fs::openat(&level, "deep", OFlags::PATH, Mode::empty()).unwrap();
    }
    drop(level);
    let walk = Walk::start(&tree(folder.path()), 2).unwrap();
    let mut directory = walk.root().clone();
    for depth in 0..=levels {
        let listing = walk.list(&directory);
        assert!(
            listing.problems.is_empty(),
            "{depth}: {:?}",
            listing.problems
        );
        let Some(found) = listing.entries.into_iter().next() else {
            assert_eq!(depth, levels);
            break;
        };
        directory = found.directory.unwrap();
    }
    assert_eq!(directory.path().len(), levels * 5 - 1);
    drop(walk);
    drop(directory);
    // rm does not mind how deep it is; tempfile would.
    let removed = Command::new("rm")
        .arg("-r")
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(removed.success());
}

#[test]
fn directories_come_in_the_order_of_a_walk() {
    let root = Directory::root(0);
    let a = root.child(b"a", 0, 0);
    let b = root.child(b"b", 1, 0);
    let a_y = a.child(b"y", 5, 0);
    let a_z = a.child(b"z", 7, 0);
    let b_a = b.child(b"a", 0, 0);
    let expected = [&root, &a, &a_y, &a_z, &b, &b_a];
    let mut sorted = [&b_a, &a_z, &root, &b, &a_y, &a];
    sorted.sort_by(|left, right| left.turn(right));
    assert_eq!(sorted, expected);
}

/// `cargo test --release -p strongroom-repository -- --ignored --nocapture walk_speed`
#[test]
#[ignore = "a measurement"]
fn walk_speed() {
    let folder = tempfile::tempdir().unwrap();
    for directory in 0..1000 {
        let path = folder
            .path()
            .join(format!("{}/{directory}", directory / 50));
        fs::create_dir_all(&path).unwrap();
        for file in 0..100 {
            fs::write(path.join(format!("file number {file}.jpg")), "").unwrap();
        }
    }
    for helpers in [0, 0, 1, 2] {
        let started = std::time::Instant::now();
        let walk = Walk::start(&tree(folder.path()), helpers).unwrap();
        let count = paths_count(&walk);
        let elapsed = started.elapsed();
        eprintln!(
            "{helpers} helpers: {count} entries in {elapsed:?}, {:?} each",
            elapsed / count
        );
    }
}

fn paths_count(walk: &Walk) -> u32 {
    let mut count = 0;
    let mut stack = vec![walk.root().clone()];
    while let Some(directory) = stack.pop() {
        let listing = walk.list(&directory);
        count += u32::try_from(listing.entries.len()).unwrap();
        let directories = listing.entries.into_iter().rev();
        stack.extend(directories.filter_map(|found| found.directory));
    }
    count
}
