//! The bundled volume source, as a component in the sandbox, backing up into a real repository behind the bundled filesystem destination and
//! restoring from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_repository::backup::{BackupSession, RunInfo, SourceInfo, SourceReport};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::contents::Contents;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::index::Index;
use strongroom_repository::source::{Attributes, Kind, RestoreRequest};
use strongroom_repository::{Error, ErrorKind, InitOptions, Progress, Repository, Result};

mod bundled;

/// A folder to back up, and a repository beside it.
struct Fixture {
    folder: tempfile::TempDir,
    repository: Arc<Repository>,
    progress: Arc<Progress>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = serde_json::json!({ "path": folder.path().join("repository") });
        let destination = bundled::destination("filesystem", &config.to_string());
        let options = InitOptions {
            password: "correct horse",
            ..InitOptions::default()
        };
        let repository = Repository::init(destination.expect("a destination"), options);
        fs::create_dir(folder.path().join("media")).expect("a folder");
        Self {
            repository: Arc::new(repository.expect("a repository")),
            progress: Arc::default(),
            folder,
        }
    }

    fn media(&self) -> PathBuf {
        self.folder.path().join("media")
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = self.media().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
    }

    /// The source, with `more` added to its path.
    fn source(&self, more: serde_json::Value) -> Box<dyn strongroom_repository::Source> {
        let mut config = serde_json::json!({ "path": self.media() });
        let (config_table, more) = (config.as_object_mut(), more.as_object());
        config_table
            .expect("a table")
            .extend(more.expect("a table").clone());
        bundled::source("volume", &config.to_string(), &self.progress).expect("a source")
    }

    fn backup(&self, config: serde_json::Value) -> SourceReport {
        let run = RunInfo {
            run: "r1".into(),
            job: "nightly".into(),
            trigger: "on-demand".into(),
            note: None,
            sources: 1,
            program: "strongroom test".into(),
        };
        let info = SourceInfo {
            name: "media".into(),
            plugin: "volume".into(),
            plugin_version: "0.1.0".into(),
            method: None,
            kind: Kind::Incremental,
        };
        let targets = vec![Arc::clone(&self.repository)];
        let mut session =
            BackupSession::begin(targets, run, Arc::clone(&self.progress)).expect("begun");
        let report = session
            .add(&info, &mut *self.source(config))
            .expect("backed up");
        session.commit().expect("committed");
        report
    }

    /// Restores the latest backup in place.
    fn restore(
        &self,
        config: serde_json::Value,
        options: &str,
        paths: &[&str],
    ) -> Result<Attributes> {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        let snapshots = self.repository.snapshots()?;
        let (id, snapshot) = snapshots.good.into_iter().next_back().expect("a backup");
        let index = Arc::new(Index::load(&self.repository, &self.progress)?);
        let reader = Arc::new(BlobReader::new(Arc::clone(&self.repository), index));
        let contents = Arc::new(Contents::open(reader, id, &snapshot)?);
        let selected = paths.iter().map(|path| path.clone().into()).collect();
        let feed = SnapshotFeed::new(contents, selected, Arc::clone(&self.progress));
        let request = RestoreRequest {
            until: None,
            paths,
            options: options.into(),
        };
        self.source(config).restore(&request, &feed)
    }

    /// All files of the folder with their content.
    fn files(&self) -> BTreeMap<String, String> {
        fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(root, &path, files);
                } else {
                    let name = path
                        .strip_prefix(root)
                        .expect("below")
                        .display()
                        .to_string();
                    files.insert(name, fs::read_to_string(&path).expect("a file"));
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.media(), &self.media(), &mut files);
        files
    }

    fn check_files(&self, expected: &[(&str, &str)]) {
        let own = |&(path, content): &(&str, &str)| (path.to_owned(), content.to_owned());
        assert_eq!(self.files(), expected.iter().map(own).collect());
    }
}

fn none() -> serde_json::Value {
    serde_json::json!({})
}

fn writable() -> serde_json::Value {
    serde_json::json!({ "writable": true })
}

fn check_error(result: Result<impl std::fmt::Debug>, kind: ErrorKind, message: &str) -> Error {
    let error = result.expect_err(message);
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
    error
}

#[test]
fn the_first_backup_is_full_and_the_next_carries_over_what_has_not_changed() {
    let fixture = Fixture::new();
    fixture.write(&[("a", "one"), ("deep/b", "two")]);
    // What changed within a clock's tick of a backup is read again by the next one.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let first = fixture.backup(none());
    assert_eq!(
        (first.kind, first.summary.files, first.summary.bytes),
        (Kind::Full, 2, 6)
    );
    let path = fixture.media().display().to_string();
    assert!(
        first.attributes.contains(&("path".into(), path)),
        "{first:?}"
    );

    fixture.write(&[("deep/c", "three")]);
    let second = fixture.backup(none());
    assert_eq!((second.kind, second.summary.files), (Kind::Incremental, 3));
    assert_eq!(
        (second.counts.files_unmodified, second.counts.files_new),
        (2, 1)
    );
}

#[test]
fn what_the_configuration_leaves_out_is_left_out() {
    let fixture = Fixture::new();
    fixture.write(&[
        ("kept", ""),
        ("notes.tmp", ""),
        ("cache/x", ""),
        ("skipped/.nobackup", ""),
        ("skipped/y", ""),
        (
            "marked/CACHEDIR.TAG",
            "Signature: 8a477f597d28d172789f06886806bc55",
        ),
        ("marked/z", ""),
    ]);
    let restored = |config| {
        fixture.backup(config);
        let files = fixture.files();
        fs::remove_dir_all(fixture.media()).expect("a folder");
        fs::create_dir(fixture.media()).expect("a folder");
        fixture.restore(writable(), "", &[]).expect("restored");
        let kept: Vec<String> = fixture.files().into_keys().collect();
        for (path, content) in files {
            fixture.write(&[(&path, &content)]);
        }
        kept
    };
    let config = serde_json::json!({
        "exclude": ["*.tmp", "/cache/"],
        "exclude_if_present": [".nobackup"],
    });
    assert_eq!(
        restored(config),
        ["kept", "marked/CACHEDIR.TAG", "marked/z"]
    );
    let without_caches = restored(serde_json::json!({ "exclude_caches": true }));
    assert!(
        without_caches.contains(&"skipped/y".into()),
        "{without_caches:?}"
    );
    assert!(
        !without_caches.contains(&"marked/z".into()),
        "{without_caches:?}"
    );
}

#[test]
fn a_restore_in_place_has_to_be_allowed() {
    let fixture = Fixture::new();
    fixture.write(&[("a", "one")]);
    fixture.backup(none());
    let message = format!(
        "source test: {} is configured for reading only",
        fixture.media().display()
    );
    let error = check_error(
        fixture.restore(none(), "", &[]),
        ErrorKind::Denied,
        &message,
    );
    assert!(
        error
            .hint_text()
            .is_some_and(|hint| hint.contains("writable = true")),
        "{error:?}"
    );
}

#[test]
fn a_restore_replaces_nothing_unless_it_is_told_to() {
    let fixture = Fixture::new();
    fixture.write(&[("a", "one"), ("b", "two")]);
    fixture.backup(none());
    fs::remove_file(fixture.media().join("b")).expect("removed");
    fixture.write(&[("a", "changed"), ("extra", "new")]);

    let error = fixture
        .restore(writable(), "", &[])
        .expect_err("a is in the way");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
    fixture.check_files(&[("a", "changed"), ("extra", "new")]);

    fixture
        .restore(writable(), r#"{"conflict":"keep-existing"}"#, &[])
        .expect("restored");
    fixture.check_files(&[("a", "changed"), ("b", "two"), ("extra", "new")]);

    fixture
        .restore(writable(), r#"{"conflict":"overwrite"}"#, &[])
        .expect("restored");
    fixture.check_files(&[("a", "one"), ("b", "two"), ("extra", "new")]);

    let exactly = r#"{"conflict":"overwrite","delete_extra":true}"#;
    fixture.restore(writable(), exactly, &[]).expect("restored");
    fixture.check_files(&[("a", "one"), ("b", "two")]);
}

#[test]
fn only_the_chosen_paths_are_restored() {
    let fixture = Fixture::new();
    fixture.write(&[("a", "one"), ("deep/b", "two"), ("deep/c", "three")]);
    fixture.backup(none());
    fs::remove_dir_all(fixture.media()).expect("a folder");
    fs::create_dir(fixture.media()).expect("a folder");
    fixture
        .restore(writable(), "", &["deep/b"])
        .expect("restored");
    fixture.check_files(&[("deep/b", "two")]);
}

#[test]
fn a_check_looks_and_counts() {
    let fixture = Fixture::new();
    fixture.write(&[("a", "one"), ("deep/b", "two")]);
    let attributes = fixture.source(none()).check().expect("readable");
    let path = fixture.media().display().to_string();
    assert_eq!(
        attributes,
        [
            ("path".into(), path),
            ("top-level entries".into(), "2".into())
        ]
    );
}

#[test]
fn a_wrong_configuration_or_option_is_named() {
    let check = |config: &str, message: &str| {
        let required = bundled::plugin("volume").requirements(config);
        check_error(required, ErrorKind::InvalidConfig, message);
    };
    check(
        r#"{"path":"media"}"#,
        "plugin volume: path: `media` is not an absolute path",
    );
    check("{}", "plugin volume: missing field `path`");
    check(
        r#"{"path":"/m","exclude":"*.tmp"}"#,
        "plugin volume: exclude: invalid type: string \"*.tmp\", expected a sequence",
    );

    let fixture = Fixture::new();
    fixture.write(&[("a", "one")]);
    fixture.backup(none());
    check_error(
        fixture.restore(writable(), r#"{"conflict":"replace"}"#, &[]),
        ErrorKind::InvalidConfig,
        "source test: conflict: unknown variant `replace`, expected one of `overwrite`, `keep-existing`, `fail`",
    );
}

#[test]
fn a_missing_folder_and_a_file_are_no_volume() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path| {
        let config = serde_json::json!({ "path": path }).to_string();
        bundled::source("volume", &config, &Arc::default()).and_then(|mut source| source.check())
    };
    let missing = folder.path().join("missing");
    let error = open(&missing).expect_err("there is no such folder");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(
        error.to_string().contains(&missing.display().to_string()),
        "{error:?}"
    );

    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let error = open(&file).expect_err("a file is no folder");
    assert!(
        error.to_string().ends_with("file is no directory"),
        "{error:?}"
    );
}
