//! `.strongroom/manifest.json`: what a backup is, kept inside the backup itself, for people and for the next incremental.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stats::Problem;
use crate::source::Kind;

/// The directory beside the source's own.
pub const DIRECTORY: &str = ".strongroom";
/// The file in it.
pub const FILE: &str = "manifest.json";

/// What a backup is. Fields may be added; readers ignore what they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the engine that wrote it.
    pub strongroom: String,
    /// The run that made it.
    pub run: String,
    /// The job.
    pub job: String,
    /// The source, and the directory that holds its data.
    pub source: String,
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub plugin_version: String,
    /// How a database was read: logical or physical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Full or incremental. Either is complete by itself.
    pub kind: Kind,
    /// What started the run: scheduled or on-demand.
    pub trigger: String,
    /// What the user wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The host that made it.
    pub hostname: String,
    /// The snapshot that it continued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Files and bytes.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What the plugin told: server version, log position.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Each file that the plugin wrote itself, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<String, Stream>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Problem>,
    /// What was asked for and is not in the backup: a table without the right to read it, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Problem>,
    /// What the plugin warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Files that changed while they were read, twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Host directories that were walked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<Folder>,
    /// How to restore it with nothing but the stock tools.
    pub restore_by_hand: String,
}

impl Manifest {
    /// Whether the backup lacks something that it should hold.
    pub fn is_incomplete(&self) -> bool {
        !self.unreadable.is_empty() || !self.missing.is_empty()
    }

    /// Whether its files are dumps, each of use by itself: the plugin notes `method`, where the configuration does not say it.
    pub fn holds_dumps(&self) -> bool {
        let noted = self.attributes.get("method");
        self.method.as_ref().or(noted).map(String::as_str) == Some("logical")
    }
}

/// A host directory that was walked, as far as it tells the next backup whether the same is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Where it is in the backup, empty for the source's root.
    pub path: String,
    /// Where it was on the host.
    pub root: String,
    /// Its device's number, which another start of the machine may change.
    pub device: u64,
    /// Whether something was mounted there, where the system told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_mount_point: Option<bool>,
    /// Where other file systems were mounted below it, and held something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
}

/// A file that a plugin wrote as a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Bytes.
    pub size: u64,
    /// CRC-32C of all that the plugin wrote, taken before anything was done with it. Whoever reads all of it compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<u32>,
    /// The plugin's mark for "unchanged".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}
