//! Looking into backups: differences and names are found, and a directory that is known already is not read.

mod common;

use std::fs;
use std::sync::Arc;

use common::{Folder, PASSWORD, backup_to, noise};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::contents::Contents;
use strongroom_repository::diff::{DiffSummary, Side, diff};
use strongroom_repository::find::{Finder, Hit};
use strongroom_repository::index::Index;
use strongroom_repository::source::Kind;
use strongroom_repository::testing::{MemoryDestination, Operation};
use strongroom_repository::tree::NodeType;
use strongroom_repository::{
    BlobType, ErrorKind, FileType, InitOptions, Progress, Repository, Result,
};

/// A folder, and a repository whose calls are recorded.
struct Backups {
    folder: tempfile::TempDir,
    destination: Arc<MemoryDestination>,
    repository: Arc<Repository>,
}

impl Backups {
    fn new() -> Self {
        let destination = Arc::new(MemoryDestination::new("nas"));
        let options = InitOptions {
            password: PASSWORD,
            ..InitOptions::default()
        };
        let repository = Repository::init(destination.clone(), options).expect("made");
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            destination,
            repository: Arc::new(repository),
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        fs::write(path, content).expect("written");
    }

    fn backup(&self) {
        let mut source = Folder::new(self.folder.path());
        let repository = vec![Arc::clone(&self.repository)];
        backup_to(repository, &mut source, Kind::Incremental).expect("a backup");
    }

    /// What each backup holds, oldest first, with nothing read yet but what opening takes.
    fn contents(&self) -> Vec<Contents> {
        let index = Index::load(&self.repository, &Progress::default()).expect("loaded");
        let index = Arc::new(index);
        let snapshots = self.repository.snapshots().expect("listed").good;
        let open = |(id, snapshot)| {
            let reader = BlobReader::new(Arc::clone(&self.repository), Arc::clone(&index));
            Contents::open(Arc::new(reader), id, &snapshot).expect("opened")
        };
        snapshots.into_iter().map(open).collect()
    }

    /// Makes the list of what a directory holds unreadable, and nothing else of the pack.
    fn damage_directory(&self, contents: &Contents, path: &str) {
        let tree = contents.find(path).expect("found").subtree.expect("a tree");
        let location = contents.reader().locate(BlobType::Tree, &tree);
        let location = location.expect("in the index");
        let key = FileType::Pack.key(&location.pack);
        let mut pack = self.destination.object(&key).expect("a pack").to_vec();
        pack[location.blob.offset as usize] ^= 1;
        self.destination.set_object(&key, Some(pack.into()));
    }

    /// Objects that are read in the meantime.
    fn reads(&self, work: impl FnOnce()) -> usize {
        self.destination.forget_calls();
        work();
        let calls = self.destination.calls();
        calls
            .iter()
            .filter(|call| call.operation == Operation::Get)
            .count()
    }
}

/// Signs and paths of all differences.
fn differences(before: &Contents, after: &Contents) -> Result<(Vec<String>, DiffSummary)> {
    fn side(contents: &Contents) -> Side<'_> {
        Side {
            contents,
            root: Some(contents.root()),
        }
    }
    let mut lines = Vec::new();
    let summary = diff(
        "",
        side(before),
        side(after),
        &Progress::default(),
        &mut |change| {
            let path = String::from_utf8_lossy(&change.found.path);
            lines.push(format!("{} {path}", change.kind.sign()));
            Ok(())
        },
    )?;
    Ok((lines, summary))
}

fn search(finder: &mut Finder, contents: &Contents) -> Result<Vec<String>> {
    let text = |hit: Hit| String::from_utf8(hit.path).expect("UTF-8");
    let hits = finder.search(contents, &Progress::default())?;
    Ok(hits.into_iter().map(text).collect())
}

fn finder(pattern: &str) -> Finder {
    Finder::new(pattern).expect("a pattern")
}

/// Two backups with a folder `same`, which does not change, and a folder `other`, which does.
fn two_backups() -> Backups {
    let backups = Backups::new();
    backups.write("same/deep/a.jpg", "a");
    backups.write("same/b.jpg", "b");
    backups.write("other/c.jpg", "c");
    backups.backup();
    backups.write("other/d.jpg", "d");
    backups.backup();
    backups
}

#[test]
fn directories_that_are_the_same_in_both_backups_are_not_read() {
    let backups = two_backups();
    let contents = backups.contents();
    backups.damage_directory(&contents[0], "same");
    backups.damage_directory(&contents[0], "same/deep");
    let [before, after] = &backups.contents()[..] else {
        panic!("two backups");
    };
    let (lines, summary) = differences(before, after).expect("compared");
    assert_eq!(lines, ["U other", "+ other/d.jpg"]);
    let expected = DiffSummary {
        files_added: 1,
        metadata_changed: 1,
        bytes_added: 1,
        ..DiffSummary::default()
    };
    assert_eq!(summary, expected);
    let reads = backups.reads(|| {
        let (lines, _) = differences(after, after).expect("compared");
        assert!(lines.is_empty(), "{lines:?}");
    });
    assert_eq!(reads, 0);
}

#[test]
fn a_comparison_that_needs_a_damaged_directory_names_it() {
    let backups = two_backups();
    backups.damage_directory(&backups.contents()[1], "other");
    let [before, after] = &backups.contents()[..] else {
        panic!("two backups");
    };
    let error = differences(before, after).expect_err("cannot be read");
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(error.to_string().starts_with("/other: "), "{error}");
}

#[test]
fn of_a_changed_file_only_the_pieces_that_differ_count() {
    let backups = Backups::new();
    let mut content = noise(30 << 20, 1);
    backups.write("large", &content);
    backups.backup();
    content[20 << 20] ^= 1;
    backups.write("large", &content);
    backups.backup();
    let [before, after] = &backups.contents()[..] else {
        panic!("two backups");
    };
    let (lines, summary) = differences(before, after).expect("compared");
    assert_eq!(lines, ["M large"]);
    assert_eq!((summary.files_changed, summary.files_added), (1, 0));
    assert!(summary.bytes_added > 0, "{summary:?}");
    assert!(summary.bytes_added <= 16 << 20, "{summary:?}");
    assert!(summary.bytes_removed > 0, "{summary:?}");
    assert!(summary.bytes_removed <= 16 << 20, "{summary:?}");
}

#[test]
fn a_directory_that_backups_have_unchanged_is_searched_once() {
    for pattern in ["*.jpg", "/**/*.jpg"] {
        let backups = two_backups();
        let mut finder = finder(pattern);
        let contents = backups.contents();
        let first = search(&mut finder, &contents[0]).expect("searched");
        assert_eq!(first, ["other/c.jpg", "same/b.jpg", "same/deep/a.jpg"]);
        backups.damage_directory(&contents[0], "same");
        backups.damage_directory(&contents[0], "same/deep");
        let after = &backups.contents()[1];
        assert_eq!(
            search(&mut finder, after).expect("known"),
            [
                "other/c.jpg",
                "other/d.jpg",
                "same/b.jpg",
                "same/deep/a.jpg"
            ],
            "{pattern}"
        );
        let reads = backups.reads(|| {
            search(&mut finder, after).expect("known");
        });
        assert_eq!(reads, 0, "{pattern}");
        let error = search(&mut self::finder(pattern), after).expect_err("nothing is known");
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
        assert!(error.to_string().starts_with("/same: "), "{error}");
    }
}

/// The tree is the same, but at another path it may match what it did not before.
#[test]
fn a_pattern_with_a_path_is_compared_anew_where_a_directory_has_moved() {
    let backups = Backups::new();
    backups.write("old/deep/a.jpg", "a");
    backups.backup();
    fs::rename(backups.path("old"), backups.path("new")).expect("renamed");
    backups.backup();
    let [before, after] = &backups.contents()[..] else {
        panic!("two backups");
    };
    let tree = |contents: &Contents, path| contents.find(path).expect("found").subtree;
    assert_eq!(tree(before, "old/deep"), tree(after, "new/deep"));
    let check = |pattern: &str, first: &[&str], second: &[&str]| {
        let mut finder = finder(pattern);
        let found = search(&mut finder, before).expect("searched");
        assert_eq!(found, first, "{pattern}");
        let found = search(&mut finder, after).expect("searched");
        assert_eq!(found, second, "{pattern}");
    };
    check("*.jpg", &["old/deep/a.jpg"], &["new/deep/a.jpg"]);
    check("new/deep/*", &[], &["new/deep/a.jpg"]);
    check("old/**/a.*", &["old/deep/a.jpg"], &[]);
    check("deep/", &["old/deep"], &["new/deep"]);
}

#[test]
fn a_hit_tells_what_it_is() {
    let backups = Backups::new();
    backups.write("folder/file", "four");
    std::os::unix::fs::symlink("file", backups.path("folder/link")).expect("linked");
    backups.backup();
    let hits = finder("*").search(&backups.contents()[0], &Progress::default());
    let hits: Vec<_> = hits
        .expect("searched")
        .into_iter()
        .map(|hit| {
            let path = String::from_utf8(hit.path).expect("UTF-8");
            (path, hit.entry.node_type, hit.entry.size)
        })
        .collect();
    assert_eq!(
        hits,
        [
            ("folder".to_owned(), NodeType::Dir, None),
            ("folder/file".to_owned(), NodeType::File, Some(4)),
            ("folder/link".to_owned(), NodeType::Symlink, None),
        ]
    );
}

#[test]
fn a_pattern_that_means_nothing_is_refused() {
    for pattern in ["", "/", "[", "photos\\"] {
        let Err(error) = Finder::new(pattern) else {
            panic!("'{pattern}' was taken");
        };
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{pattern}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("the pattern '{}'", pattern.escape_debug())),
            "{error}"
        );
    }
}
