//! What one source's backup counted and could not read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::source::{Attributes, Kind, Summary};

/// Something that was not backed up or restored as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Relative to the source, bytes that are no UTF-8 escaped; or what it is, where it is no file.
    pub path: String,
    /// Why.
    pub message: String,
}

/// The result of one source's backup.
#[derive(Debug, Clone)]
pub struct SourceReport {
    /// The source's name.
    pub source: String,
    /// What was made.
    pub kind: Kind,
    /// Files, bytes and new bytes.
    pub summary: Summary,
    /// Files by what became of them.
    pub counts: Counts,
    /// What could not be read: the backup is incomplete.
    pub unreadable: Vec<Problem>,
    /// What was asked for and is not in the backup, which is incomplete by that too.
    pub missing: Vec<Problem>,
    /// Files that changed while they were read, twice.
    pub changed: Vec<String>,
    /// What the plugin told.
    pub attributes: Attributes,
}

impl SourceReport {
    /// Whether the backup lacks something that it should hold.
    pub fn is_incomplete(&self) -> bool {
        !self.unreadable.is_empty() || !self.missing.is_empty()
    }
}

/// Plain numbers, in the words of restic's snapshot summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that the parent had otherwise.
    pub files_changed: u64,
    /// Files that were carried over unread.
    pub files_unmodified: u64,
    /// Directories that the parent did not have.
    pub dirs_new: u64,
    /// Directories whose tree changed.
    pub dirs_changed: u64,
    /// Directories whose tree is the parent's.
    pub dirs_unmodified: u64,
    /// New data blobs.
    pub data_blobs: u64,
    /// New tree blobs.
    pub tree_blobs: u64,
    /// Plain bytes of new blobs.
    pub data_added: u64,
    /// Encrypted bytes of new blobs.
    pub data_added_packed: u64,
    /// All files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Counters that threads bump.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) files_new: AtomicU64,
    pub(crate) files_changed: AtomicU64,
    pub(crate) files_unmodified: AtomicU64,
    pub(crate) dirs_new: AtomicU64,
    pub(crate) dirs_changed: AtomicU64,
    pub(crate) dirs_unmodified: AtomicU64,
    pub(crate) data_blobs: AtomicU64,
    pub(crate) tree_blobs: AtomicU64,
    pub(crate) data_added: AtomicU64,
    pub(crate) data_added_packed: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    unreadable: Mutex<Vec<Problem>>,
    changed: Mutex<Vec<String>>,
}

impl Stats {
    /// Names something that could not be read.
    pub(crate) fn unreadable(&self, path: String, message: String) {
        let mut problems = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        problems.push(Problem { path, message });
    }

    /// Names a file that changed while it was read.
    pub(crate) fn changed(&self, path: String) {
        self.changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path);
    }

    /// Counts a file of `bytes` bytes.
    pub(crate) fn file(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts a file that was read, by whether the parent had one at its path.
    pub(crate) fn changed_since_parent(&self, in_parent: bool) {
        let counter = if in_parent {
            &self.files_changed
        } else {
            &self.files_new
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts files that were carried over.
    pub(crate) fn carried(&self, summary: &Summary) {
        self.files_unmodified.fetch_add(summary.files, Relaxed);
        self.files.fetch_add(summary.files, Relaxed);
        self.bytes.fetch_add(summary.bytes, Relaxed);
    }

    /// Adds what was counted below `path`.
    pub(crate) fn absorb(&self, other: &Self, path: &str) {
        for (own, other) in self.counters().into_iter().zip(other.counters()) {
            own.fetch_add(other.load(Relaxed), Relaxed);
        }
        let absolute = |name: String| match path {
            "" => name,
            _ => format!("{path}/{name}"),
        };
        let (unreadable, changed) = other.problems();
        for problem in unreadable {
            self.unreadable(absolute(problem.path), problem.message);
        }
        for name in changed {
            self.changed(absolute(name));
        }
    }

    fn counters(&self) -> [&AtomicU64; 12] {
        [
            &self.files_new,
            &self.files_changed,
            &self.files_unmodified,
            &self.dirs_new,
            &self.dirs_changed,
            &self.dirs_unmodified,
            &self.data_blobs,
            &self.tree_blobs,
            &self.data_added,
            &self.data_added_packed,
            &self.files,
            &self.bytes,
        ]
    }

    /// The result so far, without attributes.
    pub(crate) fn report(&self, source: &str, kind: Kind) -> SourceReport {
        let (unreadable, changed) = self.problems();
        SourceReport {
            source: source.to_owned(),
            kind,
            summary: self.summary(),
            counts: self.counts(),
            unreadable,
            missing: Vec::new(),
            changed,
            attributes: Vec::new(),
        }
    }

    /// The numbers so far.
    pub(crate) fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        Counts {
            files_new: load(&self.files_new),
            files_changed: load(&self.files_changed),
            files_unmodified: load(&self.files_unmodified),
            dirs_new: load(&self.dirs_new),
            dirs_changed: load(&self.dirs_changed),
            dirs_unmodified: load(&self.dirs_unmodified),
            data_blobs: load(&self.data_blobs),
            tree_blobs: load(&self.tree_blobs),
            data_added: load(&self.data_added),
            data_added_packed: load(&self.data_added_packed),
            files: load(&self.files),
            bytes: load(&self.bytes),
        }
    }

    /// Files, bytes and new bytes so far.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            new_bytes: self.data_added.load(Relaxed),
        }
    }

    /// What could not be read and what changed, each sorted by path.
    fn problems(&self) -> (Vec<Problem>, Vec<String>) {
        let mut unreadable = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        let mut changed = self
            .changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        changed.sort();
        (unreadable, changed)
    }
}
