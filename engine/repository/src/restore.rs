//! Restoring directories to the host.

use std::path::PathBuf;

use crate::backup::Problem;
use crate::contents::Contents;
use crate::progress::Progress;
use crate::source::{Conflict, Summary};
use crate::tree::Node;
use crate::{Error, ErrorKind, Result};

/// Where and how to restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Host directory, which becomes the node that is restored; made where it is missing.
    pub target: PathBuf,
    /// What to do with what exists.
    pub conflict: Conflict,
    /// Remove what the backup does not hold.
    pub delete_extra: bool,
    /// Only these paths, relative to the node; empty for all.
    pub paths: Vec<String>,
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct RestoreReport {
    /// Files and bytes that were written.
    pub summary: Summary,
    /// Directories.
    pub directories: u64,
    /// Files that were left as they were.
    pub kept: u64,
    /// Entries that were removed because the backup does not hold them.
    pub deleted: u64,
    /// What could not be restored as it was: an owner that only root may set, a device.
    pub problems: Vec<Problem>,
}

/// Restores the directory or file `root` to `options.target`.
pub fn restore_tree(
    _contents: &Contents,
    _root: Node,
    _options: &RestoreOptions,
    _progress: &Progress,
) -> Result<RestoreReport> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "restoring directories follows in the next commit",
    ))
}
