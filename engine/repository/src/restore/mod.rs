//! Restoring directories to the host: a node of a snapshot in, files with all their metadata out.
//!
//! Directories are made while the trees are read; the content of many files at a time is fetched pack by pack, in the order of the first
//! file that needs each, so that every pack range is read once. Hard links come after the files, directories get their times last.

mod conflict;
mod content;
mod restorer;
mod selection;

use std::path::PathBuf;

use crate::backup::Problem;
use crate::contents::Contents;
use crate::progress::Progress;
use crate::source::{Conflict, Summary};
use crate::tree::{Node, NodeType};
use crate::{Error, Result};

pub use selection::Selection;

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

/// Restores the directory `root` to `options.target`, or the file `root` into it.
pub fn restore_tree(
    contents: &Contents,
    root: Node,
    options: &RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let selection = Selection::new(&options.paths);
    let (bytes, files) = survey(contents, &root, options, &selection, progress)?;
    progress.expect(Some(bytes), Some(files));
    progress.step("restoring");
    let mut restorer = restorer::Restorer::new(contents, options, &selection, progress)?;
    restorer.run(root)?;
    restorer.finish()
}

/// Looks at everything that will be restored before anything is written: how much it is, that each selected path exists, and with
/// [`Conflict::Fail`] that nothing is in the way.
fn survey(
    contents: &Contents,
    root: &Node,
    options: &RestoreOptions,
    selection: &Selection,
    progress: &Progress,
) -> Result<(u64, u64)> {
    progress.step("reading the backup's directories");
    let obstacles = conflict::Obstacles::look_at(options)?;
    let (mut bytes, mut files) = (0, 0);
    let mut missing = selection.wanted();
    for found in contents.walk_selected(root.clone(), selection) {
        progress.check_cancelled()?;
        let found = found?;
        missing.retain(|path| path.as_bytes() != found.path);
        obstacles.refuse(&found)?;
        if found.node.node_type != NodeType::Dir {
            files += 1;
            bytes += found.node.size;
        }
    }
    match missing.first() {
        None => Ok((bytes, files)),
        Some(path) => Err(Error::new(
            crate::ErrorKind::NotFound,
            format!("no '{path}' in this backup"),
        )
        .hint("`strongroom show BACKUP` lists what it holds; paths are relative to the source")),
    }
}
