//! Damage as a table of action and object: it is found, it is named, and never are wrong bytes restored.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::{Fixture, PASSWORD, everything_to, latest, noise};
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::restore::restore_tree;
use strongroom_repository::testing::DirectoryDestination;
use strongroom_repository::{Progress, Repository, Result};

#[derive(Debug, Clone, Copy)]
enum Action {
    Truncate,
    FlipFirst,
    FlipMiddle,
    FlipLast,
    Empty,
    Delete,
}

const ACTIONS: [Action; 6] = [
    Action::Truncate,
    Action::FlipFirst,
    Action::FlipMiddle,
    Action::FlipLast,
    Action::Empty,
    Action::Delete,
];

impl Action {
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).expect("read");
        let (middle, last) = (bytes.len() / 2, bytes.len() - 1);
        match self {
            Self::Truncate => bytes.truncate(middle),
            Self::FlipFirst => bytes[0] ^= 0x40,
            Self::FlipMiddle => bytes[middle] ^= 0x40,
            Self::FlipLast => bytes[last] ^= 0x40,
            Self::Empty => bytes.clear(),
            Self::Delete => return fs::remove_file(path).expect("removed"),
        }
        fs::write(path, bytes).expect("written");
    }
}

/// A repository with one backup.
fn pristine() -> Fixture {
    let fixture = Fixture::new();
    fs::create_dir(fixture.data().join("folder")).expect("a folder");
    fs::write(fixture.data().join("photo"), noise(3 << 20, 1)).expect("written");
    fs::write(fixture.data().join("folder/text"), "words ".repeat(100_000)).expect("written");
    fixture.backup();
    fixture
}

/// A copy to be damaged.
fn copy(pristine: &Fixture) -> Copy {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(pristine.path("repository"))
        .arg(folder.path())
        .status();
    assert!(copied.expect("cp runs").success());
    Copy(folder)
}

struct Copy(tempfile::TempDir);

impl Copy {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn objects(fixture: &Copy, kind: &str) -> Vec<PathBuf> {
    let root = fixture.path("repository").join(kind);
    if root.is_file() {
        return vec![root];
    }
    let mut objects = Vec::new();
    let mut open = vec![root];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path)
            } else {
                objects.push(path)
            }
        }
    }
    objects.sort();
    objects
}

fn open(fixture: &Copy) -> Result<Arc<Repository>> {
    let destination = DirectoryDestination::new("nas", fixture.path("repository"));
    Repository::open(Arc::new(destination), PASSWORD).map(Arc::new)
}

/// What is found: an error, or the list of problems.
fn findings(repository: &Result<Arc<Repository>>) -> String {
    let options = CheckOptions {
        read_data: Some(100.0),
        ..CheckOptions::default()
    };
    let checked = match repository {
        Ok(repository) => check(repository, options, &Progress::default()),
        Err(error) => Err(error.clone()),
    };
    match checked {
        Err(error) => error.to_string(),
        Ok(report) => {
            let lines = report
                .problems
                .iter()
                .map(|it| format!("{}: {}\n", it.subject, it.message));
            lines.collect()
        }
    }
}

fn restore(repository: &Result<Arc<Repository>>, target: &Path) -> Result<()> {
    let contents = latest(repository.clone()?)?;
    let (root, options) = (contents.root().clone(), everything_to(target));
    restore_tree(&contents, root, &options, &Progress::default()).map(drop)
}

/// Files that a restore finished hold what was backed up. An unfinished one still has the mode that it was made with.
fn assert_no_wrong_bytes(fixture: &Fixture, target: &Path, what: &str) {
    for name in ["photo", "folder/text"] {
        let expected = fs::read(fixture.data().join(name)).expect("read");
        if let Ok(restored) = fs::read(target.join(name)) {
            let same = restored
                .iter()
                .zip(&expected)
                .all(|(a, b)| a == b || *a == 0);
            assert!(same, "{what}: {name} has wrong bytes");
        }
    }
}

/// Damages each object of a kind in each way. `expected` tells from the object's name what has to be found, and whether a restore may go well.
fn check_damage(kind: &str, expected: impl Fn(Action, &str) -> (String, bool)) {
    let pristine = pristine();
    assert_eq!(findings(&open(&copy(&pristine))), "");
    for number in 0..objects(&copy(&pristine), kind).len() {
        for action in ACTIONS {
            let copy = copy(&pristine);
            let object = objects(&copy, kind).swap_remove(number);
            let name = object
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a name");
            let (expected, restorable) = expected(action, name.get(..8).unwrap_or(name));
            action.apply(&object);
            let what = format!("{action:?} of {kind} {number}");
            let repository = open(&copy);
            let found = findings(&repository);
            assert!(found.contains(&expected), "{what}: found '{found}'");
            let target = copy.path("out");
            let restored = restore(&repository, &target);
            assert_no_wrong_bytes(&pristine, &target, &what);
            assert_eq!(restored.is_ok(), restorable, "{what}: {restored:?}");
        }
    }
}

#[test]
fn a_damaged_config_is_named() {
    check_damage("config", |action, _| match action {
        Action::Delete => ("no repository at destination nas".into(), false),
        _ => ("config of repository nas is damaged".into(), false),
    });
}

#[test]
fn a_damaged_key_is_named() {
    check_damage("keys", |action, name| match action {
        Action::Delete => ("key".into(), false),
        _ => (format!("key {name}"), false),
    });
}

#[test]
fn a_damaged_index_is_named() {
    check_damage("index", |action, name| match action {
        // Without the index nothing is left to say which one is missing.
        Action::Delete => ("is missing from the index".into(), false),
        _ => (format!("index {name}"), false),
    });
}

#[test]
fn a_damaged_snapshot_is_named() {
    check_damage("snapshots", |action, name| match action {
        // A snapshot that is gone is no damage: it may have been forgotten.
        Action::Delete => (String::new(), false),
        _ => (format!("snapshot {name}"), false),
    });
}

#[test]
fn a_damaged_pack_is_named_and_no_wrong_bytes_are_restored() {
    check_damage("data", |action, name| {
        // The last byte belongs to the length of the header, which restoring does not need.
        (format!("pack {name}"), matches!(action, Action::FlipLast))
    });
}
