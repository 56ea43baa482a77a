//! Restoring directories to the host: a node of a snapshot in, files with all their metadata out.
//!
//! Directories are made while the trees are read; the content of many files at a time is fetched pack by pack, in the order of the first
//! file that needs each, so that every pack range is read once. Hard links come after the files, directories get their times last.
//!
//! A file that stands under its name is whole, whenever the restore ends: it is made under a temporary name, and what a killed restore left
//! goes with the next one. A directory is known by its mode as long as it is not finished. So a restore that was interrupted and is repeated,
//! also one that keeps what exists, gives what it would have given at once.

mod conflict;
mod content;
mod refused;
mod restorer;
mod selection;
mod sparse;
mod target;
mod window;

use crate::backup::Problem;
use crate::contents::{Contents, Damaged, Found};
use crate::progress::Progress;
use crate::source::{Conflict, Summary};
use crate::target_path::TargetPath;
use crate::tree::{Node, NodeType};
use crate::{Error, Result};

pub use selection::{Selection, normal};

/// Where and how to restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Host directory, which becomes the node that is restored; made where it is missing.
    pub target: TargetPath,
    /// What to do with what exists.
    pub conflict: Conflict,
    /// Remove what the backup does not hold.
    pub delete_extra: bool,
    /// Only these paths, relative to the node; empty for all.
    pub paths: Vec<Vec<u8>>,
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
    /// Files, and directories with all that is below them, that were left out because the repository's copy is damaged.
    pub damaged: Vec<Problem>,
    /// What the target did not take, and why: everything else was restored.
    pub refused: Vec<Problem>,
    /// What could not be restored as it was: an owner that only root may set.
    pub problems: Vec<Problem>,
}

/// What a restore will write, as [`look_ahead`] saw it.
pub struct Outlook {
    bytes: u64,
    files: u64,
    damaged: Vec<Damaged>,
    /// All of it, where it is little enough to be kept rather than read again.
    found: Option<Vec<Found>>,
}

impl Outlook {
    /// Directories of which nothing below can be restored.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }
}

/// Entries and blobs that are kept from looking ahead. They take about 500 and 32 bytes.
const KEPT: usize = 50_000;

impl RestoreReport {
    /// The error that names what is damaged, if anything is.
    pub fn damage(&self) -> Option<Error> {
        let (first, more) = self.damaged.split_first()?;
        let others = match more.len() {
            0 => "everything else was restored".to_owned(),
            count => format!("{count} more are damaged; everything else was restored"),
        };
        let error = Error::corrupted(format!("cannot be restored: {}; {others}", first.message))
            .on(&first.path)
            .hint("another destination or an older backup may hold it");
        Some(error)
    }
}

/// Restores the directory `root` to `options.target`, or the file `root` into it.
///
/// A file whose content turns out to be damaged is left out, as is what lies below a directory that is, and all others are restored; then that
/// is the error. What the target does not take is none, and in the report.
pub fn restore_tree(
    contents: &Contents,
    root: Node,
    options: &RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let outlook = look_ahead(contents, &root, options, progress)?;
    let report = restore_seen(contents, root, options, outlook, progress)?;
    match report.damage() {
        Some(error) => Err(error),
        None => Ok(report),
    }
}

/// As [`restore_tree`], after [`look_ahead`] with the same arguments. What is damaged is no error, and in the report.
pub fn restore_seen(
    contents: &Contents,
    root: Node,
    options: &RestoreOptions,
    outlook: Outlook,
    progress: &Progress,
) -> Result<RestoreReport> {
    let selection = Selection::new(&options.paths);
    progress.begin_part();
    progress.expect(Some(outlook.bytes), Some(outlook.files));
    progress.step("restoring");
    let whole = root.node_type == NodeType::Dir;
    let mut restorer = restorer::Restorer::new(contents, options, &selection, progress, whole)?;
    let damaged = match outlook.found {
        Some(found) => {
            restorer.run(found.into_iter().map(Ok))?;
            outlook.damaged
        }
        None => {
            let mut walk = contents.walk_despite_damage(root, &selection);
            restorer.run(walk.by_ref())?;
            walk.damaged()
        }
    };
    restorer.finish(damaged)
}

/// Restores what was found by a walk, parents before children, and nothing else of the backup. What is damaged is in the report.
pub(crate) fn restore_found(
    contents: &Contents,
    found: Vec<Found>,
    options: &RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let selection = Selection::default();
    let whole = found.first().is_some_and(|it| it.path.is_empty());
    let mut restorer = restorer::Restorer::new(contents, options, &selection, progress, whole)?;
    restorer.run(found.into_iter().map(Ok))?;
    restorer.finish(Vec::new())
}

/// Looks at everything that [`restore_tree`] would restore, and writes nothing: that each selected path exists, and with
/// [`Conflict::Fail`] that nothing is in the way.
pub fn look_ahead(
    contents: &Contents,
    root: &Node,
    options: &RestoreOptions,
    progress: &Progress,
) -> Result<Outlook> {
    progress.step("reading the backup's directories");
    let selection = Selection::new(&options.paths);
    let obstacles = conflict::Obstacles::look_at(options)?;
    let (mut bytes, mut files) = (0, 0);
    let (mut kept, mut room) = (Some(Vec::new()), KEPT);
    let mut missing = selection.wanted();
    let mut walk = contents.walk_despite_damage(root.clone(), &selection);
    for found in walk.by_ref() {
        progress.check_cancelled()?;
        let found = found?;
        missing.retain(|path| *path != found.path);
        obstacles.refuse(&found)?;
        if found.node.node_type != NodeType::Dir {
            files += 1;
            bytes += found.node.size;
        }
        room = room.saturating_sub(1 + found.node.content.as_ref().map_or(0, Vec::len));
        match &mut kept {
            Some(kept) if room > 0 => kept.push(found),
            _ => kept = None,
        }
    }
    let damaged = walk.damaged();
    let Some(path) = missing.first() else {
        return Ok(Outlook {
            bytes,
            files,
            damaged,
            found: kept,
        });
    };
    // It may lie below a directory that is damaged.
    let is_above = |it: &Damaged| {
        let below = path.strip_prefix(it.path.as_slice());
        below.is_some_and(|rest| rest.starts_with(b"/"))
    };
    Err(match damaged.iter().find(|it| is_above(it)) {
        Some(above) => above.to_error(),
        None => Error::new(
            crate::ErrorKind::NotFound,
            format!("no '{}' in this backup", String::from_utf8_lossy(path)),
        )
        .hint("`strongroom show BACKUP --files` lists what it holds; paths are relative to the source"),
    })
}
