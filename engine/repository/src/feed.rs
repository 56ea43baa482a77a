//! A backup being given back to its source: the entries, their content, and whole directories written natively.

use std::sync::{Arc, Mutex, Once, PoisonError};

use bytes::Bytes;

use crate::backup::Problem;
use crate::backup::manifest::Stream;
use crate::contents::{Contents, Walk};
use crate::guard::lock;
use crate::id::Id;
use crate::prefetch::Prefetch;
use crate::progress::Progress;
use crate::restore::{RestoreOptions, Selection, restore_tree};
use crate::sample::sample;
use crate::source::{Attributes, Entry, Extraction, Feed, Reader, Summary};
use crate::target_path::TargetPath;
use crate::tree::NodeType;
use crate::verification::Sampled;
use crate::{Error, ErrorKind, Result};

/// The feed of one snapshot.
pub struct SnapshotFeed {
    contents: Arc<Contents>,
    progress: Arc<Progress>,
    /// Only these; empty for all.
    paths: Vec<Vec<u8>>,
    walk: Mutex<Walk>,
    missing: Mutex<Vec<Problem>>,
    expected: Once,
}

impl SnapshotFeed {
    /// Feeds what `contents` holds below `paths`, or all of it where there are none.
    pub fn new(contents: Arc<Contents>, paths: Vec<Vec<u8>>, progress: Arc<Progress>) -> Self {
        let selection = Selection::new(&paths);
        let walk = Mutex::new(contents.walk_selected(contents.root().clone(), &selection));
        Self {
            contents,
            progress,
            paths,
            walk,
            missing: Mutex::default(),
            expected: Once::new(),
        }
    }

    /// Tells how much there is, once somebody begins to read it file by file. Whoever has it extracted is told by that.
    fn expect_all(&self) {
        self.expected.call_once(|| {
            let selection = Selection::new(&self.paths);
            let bytes = match self.contents.manifest() {
                Some(manifest) if self.paths.is_empty() => manifest.bytes,
                _ => {
                    let walk = self
                        .contents
                        .walk_selected(self.contents.root().clone(), &selection);
                    // What cannot be read shows when it is read.
                    walk.flatten().map(|found| found.node.size).sum()
                }
            };
            self.progress.begin_part();
            self.progress.expect(Some(bytes), None);
        });
    }

    /// What was not restored while the rest was.
    pub fn into_missing(self) -> Vec<Problem> {
        self.missing
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`open`](Feed::open), of a path that may be no UTF-8.
    pub fn open_at(&self, path: &[u8]) -> Result<Box<dyn Reader>> {
        let shown = String::from_utf8_lossy(path);
        let node = self.contents.find(path)?;
        self.expect_all();
        self.progress.item(&shown);
        self.contents
            .reader()
            .check_content(&node)
            .map_err(|error| error.on(&shown))?;
        let content = node.content.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "is no regular file of this backup").on(&shown)
        })?;
        let ids: Ids = content.into_iter().map(Ok).collect::<Vec<_>>().into_iter();
        Ok(Box::new(FileReader {
            chunks: Prefetch::new(Arc::clone(self.contents.reader()), ids),
            chunk: Bytes::new(),
            crc32c: 0,
            written: self.stream(&shown).and_then(|stream| stream.crc32c),
            progress: Arc::clone(&self.progress),
            path: shown.into_owned(),
        }))
    }

    fn leave_out(&self, problem: Problem) {
        lock(&self.missing).push(problem);
    }

    fn entry(&self, path: String, node: &crate::tree::Node) -> Entry {
        let stream = self.stream(&path);
        Entry {
            size: Some(node.size),
            modified: Some(node.mtime.as_nanoseconds()),
            mode: Some(node.permissions()),
            fingerprint: stream.and_then(|stream| stream.fingerprint.clone()),
            path,
        }
    }

    /// What is known of a file that a plugin wrote.
    fn stream(&self, path: &str) -> Option<&Stream> {
        self.contents.manifest()?.streams.get(path)
    }
}

impl Feed for SnapshotFeed {
    fn attributes(&self) -> Attributes {
        let attributes = self
            .contents
            .manifest()
            .map(|manifest| &manifest.attributes);
        attributes
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    fn next(&self, max: u32) -> Result<Vec<Entry>> {
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::new();
        while entries.len() < max as usize
            && let Some(found) = walk.next().transpose()?
        {
            // A name that is no UTF-8 cannot be told to a plugin; `extract` restores it all the same.
            if let Ok(path) = String::from_utf8(found.path)
                && found.node.node_type == NodeType::File
            {
                entries.push(self.entry(path, &found.node));
            }
        }
        Ok(entries)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Reader>> {
        self.open_at(path.as_bytes())
    }

    fn extract(&self, path: &str, extraction: &Extraction) -> Result<Summary> {
        let options = RestoreOptions {
            target: extraction.target.clone(),
            conflict: extraction.on_conflict,
            delete_extra: extraction.delete_extra,
            paths: self.paths.clone(),
        };
        let root = self.contents.find(path)?;
        let report = restore_tree(&self.contents, root, &options, &self.progress)?;
        if let Some(refused) = report.refused.first()
            && !path.is_empty()
        {
            // What a plugin asks for by its name is a part of something, which is none without all of it.
            return Err(Error::new(ErrorKind::Failed, &refused.message).on(&refused.path));
        }
        for problem in report.refused.into_iter().chain(report.problems) {
            self.leave_out(problem);
        }
        Ok(report.summary)
    }

    fn sample(&self, target: &TargetPath, percent: f64) -> Result<Sampled> {
        sample(&self.contents, target, percent, &self.progress)
    }

    fn missing(&self, subject: &str, reason: &str) {
        self.leave_out(Problem {
            path: subject.to_owned(),
            message: reason.to_owned(),
        });
    }
}

type Ids = std::vec::IntoIter<Result<Id>>;

struct FileReader {
    path: String,
    chunks: Prefetch<Ids>,
    chunk: Bytes,
    /// Of what was read so far.
    crc32c: u32,
    /// Of what the plugin wrote, where that is known.
    written: Option<u32>,
    progress: Arc<Progress>,
}

impl FileReader {
    /// The end: each piece was what its id says, and together they have to be what was written.
    fn end(&self) -> Result<Bytes> {
        match self.written {
            Some(written) if written != self.crc32c => Err(Error::corrupted(
                "its pieces are whole, but together they are not what was backed up",
            )
            .on(&self.path)
            .hint("take another backup, and report this: it is a fault of the engine")),
            _ => Ok(Bytes::new()),
        }
    }
}

impl Reader for FileReader {
    fn read(&mut self, max: usize) -> Result<Bytes> {
        self.progress.check_cancelled()?;
        while self.chunk.is_empty() {
            match self.chunks.next().transpose()? {
                Some(chunk) => {
                    self.crc32c = crc32c::crc32c_append(self.crc32c, &chunk);
                    self.chunk = chunk.into();
                }
                None => return self.end(),
            }
        }
        let count = max.min(self.chunk.len());
        self.progress.advance(count as u64, 0);
        Ok(self.chunk.split_to(count))
    }
}
