//! Sources: what a guest writes reaches the sink, and what it leaves undone fails the run.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_host::Limits;
use strongroom_repository::source::{
    Begun, Entry, Kind, Outcome, Parent, Sink, Summary, Tree, Writer,
};
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use crate::common::{limits, refused, rogue, words};

/// Writes down what happens to it.
#[derive(Default)]
pub(crate) struct Recorder {
    parent: Option<Parent>,
    events: Arc<Mutex<Vec<String>>>,
}

struct RecordingWriter {
    path: String,
    bytes: Vec<u8>,
    events: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn note_event(&self, event: String) {
        self.events.lock().expect("events").push(event);
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().expect("events").clone()
    }
}

impl Sink for Recorder {
    fn parent(&self) -> Option<Parent> {
        self.parent.clone()
    }

    fn file(&self, entry: Entry) -> Result<Begun> {
        let mode = entry.mode.unwrap_or_default();
        self.note_event(format!("file {} {mode:o}", entry.path));
        Ok(Begun::Write(Box::new(RecordingWriter {
            path: entry.path,
            bytes: Vec::new(),
            events: self.events.clone(),
        })))
    }

    fn tree(&self, path: &str, tree: &Tree) -> Result<Summary> {
        self.note_event(format!(
            "tree '{path}' {} {:?}",
            tree.root.display(),
            tree.exclude
        ));
        Ok(Summary::default())
    }

    fn carry(&self, path: &str) -> Result<Summary> {
        self.note_event(format!("carry {path}"));
        Ok(Summary {
            bytes: 77,
            ..Summary::default()
        })
    }

    fn note(&self, key: &str, value: &str) {
        self.note_event(format!("note {key}={value}"));
    }

    fn missing(&self, subject: &str, reason: &str) {
        self.note_event(format!("missing {subject}: {reason}"));
    }

    fn warning(&self, message: &str) {
        self.note_event(format!("warning {message}"));
    }
}

impl Writer for RecordingWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes == b"fail" {
            let error = Error::new(ErrorKind::OutOfSpace, "no space left");
            return Err(error.on("destination nas").hint("make room"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Something that tells what was written before; the real one is the repository's.
    fn crc32c(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn finish(self: Box<Self>) -> Result<Summary> {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = match text.len() {
            0..100 => text.into_owned(),
            length => format!("{length} bytes"),
        };
        let event = format!("finish {} {text}", self.path);
        self.events.lock().expect("events").push(event);
        Ok(Summary {
            files: 1,
            bytes: self.bytes.len() as u64,
            new_bytes: 0,
        })
    }
}

fn backup_within(limits: Limits, config: &str, sink: &Recorder) -> Result<Outcome> {
    rogue(limits, config, Arc::default()).backup(Kind::Full, sink)
}

fn backup(mode: &str, sink: &Recorder) -> Result<Outcome> {
    backup_within(limits(), &format!(r#"{{"mode": "{mode}"}}"#), sink)
}

#[test]
fn what_a_guest_writes_reaches_the_sink() {
    let sink = Recorder::default();
    let outcome = backup("write", &sink).expect("backup");
    assert_eq!((outcome.kind, outcome.attributes), (Kind::Full, vec![]));
    assert_eq!(
        sink.events(),
        [
            "file a.txt 640",
            "finish a.txt hello world",
            "note bytes=11",
            "note checksums=00000006 0000000b"
        ]
    );
}

#[test]
fn what_a_guest_lacks_and_warns_of_reaches_the_sink_and_steers_no_terminal() {
    let sink = Recorder::default();
    backup("lack", &sink).expect("backup");
    assert_eq!(
        sink.events(),
        [
            "missing table  secret: no right to read it",
            "file a.txt 640",
            "finish a.txt ",
            "warning one [31m is left out",
        ]
    );
}

#[test]
fn an_incremental_sees_its_parent_and_carries_from_it() {
    let sink = Recorder {
        parent: Some(Parent {
            id: "cafe".into(),
            created: 1,
            attributes: vec![],
        }),
        ..Recorder::default()
    };
    let outcome = rogue(limits(), r#"{"mode": "write"}"#, Arc::default())
        .backup(Kind::Incremental, &sink)
        .expect("backup");
    assert_eq!(outcome.kind, Kind::Incremental);
    let expected = [("parent", "cafe"), ("carried", "77")];
    assert_eq!(
        outcome.attributes,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert_eq!(
        sink.events().last().map(String::as_str),
        Some("carry old.txt")
    );
}

#[test]
fn a_file_is_spliced_from_a_granted_folder_into_the_backup() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().display();
    std::fs::write(folder.path().join("big"), vec![b'x'; 3_000_001]).expect("file");
    let config =
        format!(r#"{{"mode": "splice", "path": "{path}/big", "need": {{"read": "{path}"}}}}"#);
    let sink = Recorder::default();
    let outcome = backup_within(limits(), &config, &sink).expect("backup");
    assert_eq!(
        outcome.attributes,
        [("bytes".to_owned(), "3000001".to_owned())]
    );
    assert_eq!(
        sink.events(),
        ["file spliced 640", "finish spliced 3000001 bytes"]
    );
}

fn check_run_fails(mode: &str, message: &str) {
    let sink = Recorder::default();
    let error = refused(backup(mode, &sink));
    assert_eq!(words(&error).0, message, "for {mode}");
    let finished = sink
        .events()
        .iter()
        .any(|event| event.starts_with("finish"));
    assert!(!finished, "{:?}", sink.events());
}

#[test]
fn a_file_that_was_not_finished_fails_the_run() {
    check_run_fails("drop", "source odd: left 'half.txt' unfinished");
    check_run_fails("leak", "source odd: left 'leaked.txt' unfinished");
    check_run_fails(
        "finish with open body",
        "source odd: writing 'open.txt': finished while the body was still open",
    );
    check_run_fails(
        "panic",
        "source odd: plugin rogue panicked in backup: in the middle (rogue-source/src/backup.rs:…)",
    );
}

#[test]
fn an_error_of_the_engine_fails_the_run_as_it_was_even_if_the_guest_swallows_it() {
    for mode in ["swallow an error", "pass an error on"] {
        let error = refused(backup(mode, &Recorder::default()));
        assert_eq!(error.kind(), ErrorKind::OutOfSpace);
        assert_eq!(
            words(&error),
            (
                "source odd: destination nas: no space left".into(),
                Some("make room")
            ),
            "for {mode}"
        );
    }
}

#[test]
fn a_tree_is_walked_only_within_what_was_granted() {
    let folder = tempfile::tempdir().expect("folder");
    let real = folder.path().canonicalize().expect("path");
    std::fs::create_dir_all(real.join("in/deep")).expect("folder");
    std::fs::create_dir(real.join("out")).expect("folder");
    std::os::unix::fs::symlink(real.join("out"), real.join("in/link")).expect("link");
    let tree = |mode: &str, root: PathBuf| {
        let (root, need) = (root.display(), real.join("in"));
        let config = format!(
            r#"{{"mode": "{mode}", "path": "{root}", "need": {{"read": "{}"}}}}"#,
            need.display()
        );
        let sink = Recorder::default();
        let result = backup_within(limits(), &config, &sink);
        (result, sink.events())
    };
    for outside in ["out", "in/link", ""] {
        for mode in ["tree", "swallow a denial"] {
            let (result, events) = tree(mode, real.join(outside));
            let error = refused(result);
            assert_eq!(error.kind(), ErrorKind::Denied);
            let (granted, root) = (real.join("in"), real.join(outside));
            let (granted, root) = (granted.display(), root.display());
            assert_eq!(
                words(&error),
                (
                    format!("source odd: is not allowed to read {root}"),
                    Some(
                        format!(
                            r#"if it should be, set in [sources.odd]: allow = {{ read = ["{granted}", "{root}"] }}"#
                        )
                        .as_str()
                    )
                )
            );
            assert_eq!(events, [""; 0]);
        }
    }
    let (result, events) = tree("tree", real.join("in/deep"));
    result.expect("granted");
    let root = real.join("in/deep");
    assert_eq!(events, [format!(r#"tree '' {} ["*.tmp"]"#, root.display())]);
}

fn cancelled_backup(mode: &str) -> Error {
    let progress = Arc::new(Progress::default());
    let mut hasty = limits();
    // A guest that heeds is given time; the others are tested for being ended.
    if mode != "heed cancel" {
        hasty.cancel_grace = Duration::from_millis(100);
    }
    let mut source = rogue(hasty, &format!(r#"{{"mode": "{mode}"}}"#), progress.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            progress.cancel();
        });
        refused(source.backup(Kind::Full, &Recorder::default()))
    })
}

#[test]
fn a_cancelled_run_ends_whether_the_guest_heeds_it_or_not() {
    let error = cancelled_backup("heed cancel");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(error.to_string(), "source odd: cancelled");
    for mode in ["sleep through cancel", "spin through cancel"] {
        let error = cancelled_backup(mode);
        assert_eq!(error.kind(), ErrorKind::Cancelled, "for {mode}");
        assert_eq!(
            error.to_string(),
            "source odd: plugin rogue did not stop backup when the run was cancelled, and was ended"
        );
    }
}
