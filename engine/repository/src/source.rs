//! What can be backed up: the traits between the repository and whatever produces or takes back its data.
//!
//! A [`Source`] decides *what* is backed up and restored. It writes into a [`Sink`] and restores from a [`Feed`]; the engine moves the bytes.

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::target_path::TargetPath;
use crate::verification::{Sampled, Verification, VerifyRequest};
use crate::{Error, ErrorKind, Result};

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub type Timestamp = i64;

/// Open key/value details, shown to people and kept in the backup's manifest.
pub type Attributes = Vec<(String, String)>;

/// Whether a backup started afresh or continued its parent. Either way it is complete by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything was read.
    Full,
    /// What had not changed since the parent was carried over.
    Incremental,
}

impl Kind {
    /// The word used in tags, manifests and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// Something that can be backed up and restored.
pub trait Source: Send {
    /// Connects and looks, and moves no data: versions, what would be backed up, what is missing.
    fn check(&mut self) -> Result<Attributes>;

    /// Writes a backup into `sink`. An `Err` fails the run: no snapshot is written.
    fn backup(&mut self, kind: Kind, sink: &dyn Sink) -> Result<Outcome>;

    /// Takes a backup back from `feed`.
    fn restore(&mut self, request: &RestoreRequest, feed: &dyn Feed) -> Result<Attributes>;

    /// Brings a backup to life, and looks whether it is what it should be. An `Err` says nothing about the backup.
    fn verify(&mut self, request: &VerifyRequest, feed: &dyn Feed) -> Result<Verification> {
        let _ = (request, feed);
        Err(Error::new(ErrorKind::Unsupported, "cannot be verified"))
    }
}

/// What a source made.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// An incremental that had to start afresh says [`Kind::Full`].
    pub kind: Kind,
    /// Kept in the manifest.
    pub attributes: Attributes,
}

/// What to restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Restore to this point in time, where the backup reaches it.
    pub until: Option<Timestamp>,
    /// Only these paths, relative to the source; empty for all.
    pub paths: Vec<String>,
    /// The plugin's own options, as JSON.
    pub options: String,
}

/// The backup that an incremental one continues.
#[derive(Debug, Clone)]
pub struct Parent {
    /// Snapshot id, in hex.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// What its source noted.
    pub attributes: Attributes,
}

/// One file that a source writes or gets back. Paths are relative to the source and `/`-separated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where in the backup.
    pub path: String,
    /// Bytes, where known.
    pub size: Option<u64>,
    /// Last modification, where known.
    pub modified: Option<Timestamp>,
    /// Unix permission bits, where known.
    pub mode: Option<u32>,
    /// Changes whenever the content does.
    pub fingerprint: Option<String>,
}

/// A host directory that the engine walks and reads itself.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Absolute path on the host.
    pub root: PathBuf,
    /// gitignore patterns, relative to `root`.
    pub exclude: Vec<String>,
    /// Skip a directory that holds one of these files.
    pub exclude_if_present: Vec<String>,
    /// Skip directories that hold a valid `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Do not cross into other file systems.
    pub one_file_system: bool,
}

/// Figures of a file, a tree or a restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Files (of any type but directories).
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Bytes that no earlier backup held.
    pub new_bytes: u64,
}

/// What [`Sink::file`] answers.
pub enum Begun {
    /// Write the content here.
    Write(Box<dyn Writer>),
    /// The parent holds this path with this fingerprint: it is carried over.
    Unchanged,
}

/// The backup in the making.
pub trait Sink: Sync {
    /// None on a full backup.
    fn parent(&self) -> Option<Parent>;

    /// Begins a file.
    fn file(&self, entry: Entry) -> Result<Begun>;

    /// Backs up a host directory at `path` (empty for the source's root) and returns when all of it was read.
    fn tree(&self, path: &str, tree: &Tree) -> Result<Summary>;

    /// Keeps a file or a whole directory as the parent has it.
    fn carry(&self, path: &str) -> Result<Summary>;

    /// A detail for the manifest.
    fn note(&self, key: &str, value: &str);

    /// Something that was asked for and is not in this backup, which is incomplete by that.
    fn missing(&self, subject: &str, reason: &str);

    /// Something that whoever restores should know, for the manifest. It was shown already.
    fn warning(&self, message: &str);
}

/// One file being written. Dropping it before [`finish`](Writer::finish) fails the run.
pub trait Writer: Send {
    /// Appends. Blocks while the pipeline is full.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// CRC-32C of what was written so far.
    fn crc32c(&self) -> u32;

    /// Ends the file.
    fn finish(self: Box<Self>) -> Result<Summary>;
}

/// What to do with a file that exists at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Replace it.
    Overwrite,
    /// Leave it as it is.
    KeepExisting,
    /// Fail before anything is written.
    Fail,
}

/// How [`Feed::extract`] writes a directory.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// Host directory; made where it is missing.
    pub target: TargetPath,
    /// What to do with what exists.
    pub on_conflict: Conflict,
    /// Remove what the backup does not hold.
    pub delete_extra: bool,
}

/// A backup being restored.
pub trait Feed: Sync {
    /// What the source noted when it made the backup.
    fn attributes(&self) -> Attributes;

    /// The next files in path order, at most `max`; empty at the end.
    fn next(&self, max: u32) -> Result<Vec<Entry>>;

    /// Opens a file.
    fn open(&self, path: &str) -> Result<Box<dyn Reader>>;

    /// Writes a file or directory of the backup to the host with all its metadata. Of the whole source (an empty path), what the target does
    /// not take is left out and named in the result of the restore; of a part it is an error.
    fn extract(&self, path: &str, extraction: &Extraction) -> Result<Summary>;

    /// Restores `percent` of the files below `target`, compares them with the backup and removes them.
    fn sample(&self, target: &TargetPath, percent: f64) -> Result<Sampled>;

    /// Something that was not restored while the rest was.
    fn missing(&self, subject: &str, reason: &str);
}

/// One file of a backup.
pub trait Reader: Send {
    /// At most `max` bytes; empty at the end.
    fn read(&mut self, max: usize) -> Result<Bytes>;
}
