//! The whole cluster: its files below `data/`, and the write-ahead log since they were read, in whole segments, below `wal/`.

mod archive;
pub(crate) mod backup;
mod base;
mod log;
mod manifest;
pub(crate) mod notes;
pub(crate) mod restore;
pub(crate) mod slot;

/// The cluster's files.
const DATA: &str = "data";
/// The segments of the log that came after.
const WAL: &str = "wal";
/// The directories of the cluster, of which many are empty and must be there all the same: one a line.
const DIRECTORIES: &str = "directories";

/// Where the segment of this name is kept.
fn segment_path(name: &str) -> String {
    format!("{WAL}/{name}")
}
