//! Sources restoring: what a guest gets back comes from the feed, and goes only where it may write.

use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use strongroom_repository::source::{
    Attributes, Conflict, Entry, Extraction, Feed, Reader, RestoreRequest, Summary,
};
use strongroom_repository::target_path::TargetPath;
use strongroom_repository::verification::Sampled;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::common::{limits, refused, rogue};

/// Two files, and whatever is asked of it written down.
#[derive(Default)]
pub(crate) struct TwoFiles {
    asked: Mutex<Vec<u32>>,
    given: Mutex<usize>,
    extracted: Mutex<Vec<Extraction>>,
    missing: Mutex<Vec<String>>,
}

const FILES: [(&str, &str); 2] = [("a.txt", "hello"), ("b/c.txt", "world, and more")];

impl Feed for TwoFiles {
    fn attributes(&self) -> Attributes {
        vec![("version".into(), "17".into())]
    }

    fn next(&self, max: u32) -> Result<Vec<Entry>> {
        self.asked.lock().expect("asked").push(max);
        let mut given = self.given.lock().expect("given");
        let entries: Vec<Entry> = FILES
            .iter()
            .skip(*given)
            .take(max as usize)
            .map(|(path, content)| Entry {
                path: (*path).into(),
                size: Some(content.len() as u64),
                ..Entry::default()
            })
            .collect();
        *given += entries.len();
        Ok(entries)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Reader>> {
        match FILES.iter().find(|(name, _)| *name == path) {
            Some((_, content)) => Ok(Box::new(Rest(Bytes::from_static(content.as_bytes())))),
            None => Err(Error::new(ErrorKind::NotFound, "no such file")),
        }
    }

    fn extract(&self, _path: &str, extraction: &Extraction) -> Result<Summary> {
        let mut extracted = self.extracted.lock().expect("extracted");
        extracted.push(extraction.clone());
        Ok(Summary::default())
    }

    fn sample(&self, target: &TargetPath, percent: f64) -> Result<Sampled> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("{percent} % to {}", target.path().display()),
        ))
    }

    fn missing(&self, subject: &str, reason: &str) {
        let mut missing = self.missing.lock().expect("missing");
        missing.push(format!("{subject}: {reason}"));
    }
}

struct Rest(Bytes);

impl Reader for Rest {
    fn read(&mut self, max: usize) -> Result<Bytes> {
        Ok(self.0.split_to(max.min(self.0.len())))
    }
}

pub(crate) fn restore(config: &str, feed: &TwoFiles) -> Result<Attributes> {
    let request = RestoreRequest {
        until: None,
        paths: vec![],
        options: "{}".into(),
    };
    rogue(limits(), config, Arc::default()).restore(&request, feed)
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Attributes {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn a_guest_reads_back_what_the_feed_holds() {
    assert_eq!(
        restore(r#"{"mode": "read"}"#, &TwoFiles::default()).expect("restore"),
        pairs([
            ("version", "17"),
            ("options", "{}"),
            ("a.txt", "hello"),
            ("b/c.txt", "world, and more"),
        ])
    );
    let config = r#"{"mode": "splice", "path": "b/c.txt"}"#;
    assert_eq!(
        restore(config, &TwoFiles::default()).expect("restore"),
        pairs([("b/c.txt", "world, and more")])
    );
}

#[test]
fn a_guest_that_asks_for_all_entries_at_once_gets_some_at_a_time() {
    let feed = TwoFiles::default();
    assert_eq!(
        restore(r#"{"mode": "greed"}"#, &feed).expect("restore"),
        pairs([("counts", "2")])
    );
    assert_eq!(*feed.asked.lock().expect("asked"), [10_000, 10_000]);
}

#[test]
fn what_a_guest_does_not_restore_is_told_and_not_without_end() {
    let feed = TwoFiles::default();
    restore(r#"{"mode": "lack"}"#, &feed).expect("restore");
    assert_eq!(
        *feed.missing.lock().expect("missing"),
        ["view  v: its function is missing"]
    );
    let error = refused(restore(
        r#"{"mode": "lack without end"}"#,
        &TwoFiles::default(),
    ));
    assert!(error.to_string().contains("10000 things"), "{error}");
}

#[test]
fn a_guest_may_look_for_a_file_that_is_not_there() {
    let config = r#"{"mode": "look", "path": "gone"}"#;
    restore(config, &TwoFiles::default()).expect("looked");
}

#[test]
fn a_guest_reads_few_files_at_once_and_another_when_one_is_let_go() {
    let config = r#"{"mode": "hoard", "path": "a.txt"}"#;
    assert_eq!(
        restore(config, &TwoFiles::default()).expect("the guest goes on"),
        pairs([(
            "hoard",
            "8|a.txt: no more than 8 open files of a backup at once|false|hello"
        )])
    );
}

#[test]
fn a_backup_is_extracted_only_to_what_may_be_written() {
    let folder = tempfile::tempdir().expect("folder");
    let real = folder.path().canonicalize().expect("path");
    std::fs::create_dir(real.join("in")).expect("folder");
    let extract = |capability: &str, target: &str| {
        let (granted, target) = (real.join("in"), real.join(target));
        let config = format!(
            r#"{{"mode": "extract", "path": "{}", "need": {{"{capability}": "{}"}}}}"#,
            target.display(),
            granted.display()
        );
        let feed = TwoFiles::default();
        let result = restore(&config, &feed);
        (result, feed.extracted.into_inner().expect("extracted"))
    };
    std::fs::create_dir(real.join("out")).expect("folder");
    symlink(real.join("out"), real.join("in/link")).expect("link");
    for (capability, target) in [
        ("write", "out"),
        ("write", "in/link"),
        ("write", "in/link/new"),
        ("read", "in"),
    ] {
        let (result, extracted) = extract(capability, target);
        assert_eq!(refused(result).kind(), ErrorKind::Denied);
        assert!(extracted.is_empty());
    }
    let (result, extracted) = extract("write", "in/new");
    result.expect("granted");
    let [extraction] = &extracted[..] else {
        panic!("extracted once, not {extracted:?}")
    };
    assert_eq!(extraction.target.path(), real.join("in/new"));
    assert_eq!(extraction.on_conflict, Conflict::KeepExisting);
    assert!(extraction.delete_extra);

    // Whoever runs programs there may put a link in its place before it is written.
    symlink(real.join("out"), real.join("in/new")).expect("link");
    assert!(extraction.target.create(false).is_err());
    std::fs::remove_file(real.join("in/new")).expect("removed");
    std::fs::rename(real.join("in"), real.join("away")).expect("moved");
    symlink(real.join("out"), real.join("in")).expect("link");
    extraction
        .target
        .create(false)
        .expect("the directory that was granted");
    assert!(real.join("away/new").is_dir() && !real.join("out/new").exists());
}
