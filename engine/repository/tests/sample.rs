//! Samples of files: all come out as they were, nothing of them stays, and what is different on disk is seen.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{Fixture, everything_to, noise};
use strongroom_repository::restore::restore_tree;
use strongroom_repository::sample::{compare_file, sample};
use strongroom_repository::target_path::TargetPath;
use strongroom_repository::target_root::TargetRoot;
use strongroom_repository::{ErrorKind, Progress};

fn filled() -> Fixture {
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::create_dir_all(data.join("a/b")).expect("folders");
    for number in 0..100 {
        fs::write(data.join(format!("a/{number}")), format!("file {number}")).expect("written");
    }
    fs::write(data.join("large"), noise(9 << 20, 5)).expect("written");
    fs::write(data.join("a/b/empty"), "").expect("written");
    fs::hard_link(data.join("large"), data.join("a/linked")).expect("linked");
    let odd = std::ffi::OsStr::from_bytes(b"odd \xff name");
    fs::write(data.join(odd), "odd").expect("written");
    for (name, mode) in [("a/1", 0o000), ("a/2", 0o4755), ("a/b", 0o500)] {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    fixture.backup();
    fixture
}

#[test]
fn a_sample_of_all_files_finds_nothing_different_and_leaves_nothing() {
    let fixture = filled();
    let contents = fixture.latest().expect("contents");
    let target = fixture.path("scratch");
    fs::create_dir(&target).expect("a folder");
    let sampled = sample(
        &contents,
        &target.as_path().into(),
        100.0,
        &Progress::default(),
    )
    .expect("sampled");
    assert_eq!((sampled.files, sampled.of_files), (104, 104));
    assert_eq!(sampled.different, []);
    assert_eq!(fs::read_dir(&target).expect("a folder").count(), 0);
}

#[test]
fn a_sample_is_a_share_and_another_one_each_time() {
    let fixture = filled();
    let contents = fixture.latest().expect("contents");
    let target = fixture.path("scratch");
    let target = target.as_path().into();
    let sampled = |percent| sample(&contents, &target, percent, &Progress::default());
    assert_eq!(sampled(5.0).expect("sampled").files, 6);
    assert_eq!(sampled(0.001).expect("sampled").files, 1);
    // The large file is in about half of them.
    let bytes = |_| sampled(50.0).expect("sampled").bytes;
    let all: std::collections::BTreeSet<u64> = (0..12).map(bytes).collect();
    assert!(all.len() > 1, "{all:?}");
}

#[test]
fn a_link_in_the_place_of_a_sample_is_not_followed() {
    let fixture = filled();
    let contents = fixture.latest().expect("contents");
    let (scratch, outside) = (fixture.path("scratch"), fixture.path("outside"));
    for folder in [&scratch, &outside] {
        fs::create_dir(folder).expect("a folder");
    }
    std::os::unix::fs::symlink(&outside, scratch.join("sample")).expect("a link");
    let directory = File::open(&scratch).expect("a folder").into();
    let target = TargetPath::beneath(Arc::new(directory), &scratch, Path::new(""));
    let sampled = sample(&contents, &target, 100.0, &Progress::default());
    assert_eq!(
        sampled.expect_err("it is refused").kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0);
}

#[test]
fn a_file_that_is_different_on_disk_is_told() {
    let fixture = filled();
    let contents = fixture.latest().expect("contents");
    let progress = Progress::default();
    let check = |name: &str, change: fn(&Path), expected: &str| {
        let target = fixture.path(&format!("out {}", name.replace('/', " ")));
        let options = everything_to(&target);
        restore_tree(&contents, contents.root().clone(), &options, &progress).expect("restored");
        let path = target.join(name);
        let node = contents.find(name).expect("a node");
        let root = TargetRoot::open(&target).expect("a target");
        let compare =
            || compare_file(&contents, &root, name.as_bytes(), &node, &progress).expect("compared");
        assert_eq!(compare(), None, "{name}");
        change(&path);
        let different = compare().expect("it is different");
        assert!(different.ends_with(expected), "{name}: {different}");
    };
    check(
        "a/3",
        |path| fs::remove_file(path).expect("gone"),
        "was not restored",
    );
    check(
        "a/4",
        |path| fs::write(path, "longer than it was").expect("written"),
        "its size is not what the backup says",
    );
    check(
        "a/5",
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o611)).expect("a mode"),
        "its mode is not what the backup says",
    );
    check(
        "a/6",
        |path| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(77);
            let file = File::options().write(true).open(path).expect("open");
            file.set_modified(time).expect("a time");
        },
        "its modification time is not what the backup says",
    );
    check(
        "large",
        |path| {
            use std::os::unix::fs::FileExt;
            let file = File::options().write(true).open(path).expect("open");
            let modified = file
                .metadata()
                .expect("metadata")
                .modified()
                .expect("a time");
            file.write_all_at(b"x", 9 * 1024 * 1024 - 1)
                .expect("written");
            file.set_modified(modified).expect("a time");
        },
        // Where its last blob begins depends on the repository's polynomial.
        " to 9437184 are not what the backup says",
    );
}
