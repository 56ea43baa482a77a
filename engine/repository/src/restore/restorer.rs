//! The restore itself: makes directories and special files, gathers the files with content into windows, and puts metadata on all of them.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::content::{self, FileSink};
use super::window::Window;
use super::{RestoreOptions, RestoreReport, Selection};
use crate::backup::{Manifest, Problem};
use crate::contents::{Contents, Damaged, Found};
use crate::id::Id;
use crate::links::HardLinks;
use crate::metadata::MetadataWriter;
use crate::progress::Progress;
use crate::source::Conflict;
use crate::target_root::TargetRoot;
use crate::tree::{Node, NodeType};
use crate::{Error, ErrorKind, Result};

/// So many pieces are fetched together. They take about 100 bytes each.
const WINDOW_PIECES: usize = 200_000;

/// One restore.
pub(super) struct Restorer<'a> {
    contents: &'a Contents,
    options: &'a RestoreOptions,
    selection: &'a Selection,
    progress: &'a Progress,
    owns_target: bool,
    target: Target,
    window: Window,
    /// Their metadata is set when nothing below them will change any more.
    directories: Vec<Found>,
    linked: HardLinks,
    /// From the first path to the others.
    links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Files that were left out after they were counted, and why.
    lost: HashMap<Vec<u8>, String>,
    report: RestoreReport,
}

/// What files are made in.
struct Target {
    root: TargetRoot,
    metadata: MetadataWriter,
    /// Whether files may be replaced: the new one is made beside the old one and takes its place when it is complete.
    replaces: bool,
    /// The name under which a file is made that will replace another.
    making: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

impl<'a> Restorer<'a> {
    pub(super) fn new(
        contents: &'a Contents,
        options: &'a RestoreOptions,
        selection: &'a Selection,
        progress: &'a Progress,
    ) -> Result<Self> {
        let is_new = !options.target.exists();
        let root = options.target.create()?;
        // A directory that was there and gets something put into it is not ours to change.
        let owns_target =
            is_new || (selection.is_all() && options.conflict != Conflict::KeepExisting);
        Ok(Self {
            contents,
            options,
            selection,
            progress,
            owns_target,
            target: Target {
                root,
                metadata: MetadataWriter::new(),
                replaces: options.conflict == Conflict::Overwrite,
                making: Mutex::default(),
            },
            window: Window::default(),
            directories: Vec::new(),
            linked: HardLinks::default(),
            links: Vec::new(),
            lost: HashMap::new(),
            report: RestoreReport::default(),
        })
    }

    /// Restores what is found, parents before children.
    pub(super) fn run(&mut self, all: impl Iterator<Item = Result<Found>>) -> Result<()> {
        for found in all {
            self.progress.check_cancelled()?;
            self.take(found?)?;
            if self.window.len() >= WINDOW_PIECES {
                self.fetch()?;
            }
        }
        self.fetch()
    }

    /// Hard links, what is too much, and the directories' metadata, deepest first. `damaged` were restored as if they were empty.
    pub(super) fn finish(mut self, damaged: Vec<Damaged>) -> Result<RestoreReport> {
        self.progress.step("finishing directories");
        for (first, other) in std::mem::take(&mut self.links) {
            // What lies at the first name then is none of the backup's: whatever was there before.
            if let Some(message) = self.lost.get(&first).cloned() {
                self.left_out(&other, 0, message);
                continue;
            }
            self.make_way(&other)?;
            self.target.root.hard_link(&first, &other)?;
        }
        if self.options.delete_extra {
            self.delete_extra(&damaged)?;
        }
        for directory in self.directories.iter().rev() {
            self.finish_directory(directory)?;
        }
        let warnings = self.target.metadata.warnings();
        let warnings = warnings.into_iter().map(|message| Problem {
            path: self.options.target.path().display().to_string(),
            message,
        });
        self.report.problems.extend(warnings);
        let directories = damaged.into_iter().map(|damaged| Problem {
            path: String::from_utf8_lossy(&damaged.path).into_owned(),
            message: format!("nothing below it can be read: {}", damaged.error),
        });
        self.report.damaged.extend(directories);
        Ok(self.report)
    }

    fn take(&mut self, found: Found) -> Result<()> {
        match found.node.node_type {
            NodeType::Dir => self.take_directory(found),
            NodeType::File => self.take_file(found),
            _ => self.take_special(found),
        }
    }

    fn take_directory(&mut self, found: Found) -> Result<()> {
        if !found.path.is_empty() {
            if self.target.replaces {
                let existing = self.target.root.metadata(&found.path)?;
                if existing.is_some_and(|found| found.node_type() != NodeType::Dir) {
                    self.target.root.remove(&found.path)?;
                }
            }
            self.target.root.create_dir(&found.path)?;
        }
        self.report.directories += 1;
        self.directories.push(found);
        Ok(())
    }

    fn take_file(&mut self, found: Found) -> Result<()> {
        let Found { path, node } = found;
        if self.keeps(&path)? {
            return Ok(());
        }
        if let Err(error) = self.contents.reader().check_content(&node) {
            let path = String::from_utf8_lossy(&path).into_owned();
            let message = error.to_string();
            self.report.damaged.push(Problem { path, message });
            return Ok(());
        }
        self.report.summary.files += 1;
        if let Some(first) = self.linked.first(&path, &node) {
            self.links.push((first.to_vec(), path));
            self.progress.advance(node.size, 1);
            return Ok(());
        }
        self.report.summary.bytes += node.size;
        if node.content.as_ref().is_none_or(Vec::is_empty) {
            let file = self.target.create(&path)?;
            self.progress.advance(0, 1);
            return self.target.complete(&path, &file, &node);
        }
        self.window.add(self.contents.reader(), path, node)
    }

    fn take_special(&mut self, found: Found) -> Result<()> {
        // A socket belongs to its server, which makes it anew.
        if found.node.node_type == NodeType::Socket || self.keeps(&found.path)? {
            return Ok(());
        }
        self.make_way(&found.path)?;
        let (directory, name) = self.target.root.parent(&found.path)?;
        let made = self
            .target
            .metadata
            .create_special(directory.as_fd(), name, &found.node);
        if made.map_err(|error| error.on(self.target.root.display(&found.path)))? {
            self.report.summary.files += 1;
        }
        self.progress.advance(0, 1);
        Ok(())
    }

    /// Whether something is there that is to be kept.
    fn keeps(&mut self, path: &[u8]) -> Result<bool> {
        let keeps = self.options.conflict == Conflict::KeepExisting
            && self.target.root.metadata(path)?.is_some();
        if keeps {
            self.report.kept += 1;
            self.progress.advance(0, 1);
        }
        Ok(keeps)
    }

    /// Removes what is at `path`, where that was asked for. Otherwise nothing was there, and making something fails if that has changed.
    fn make_way(&self, path: &[u8]) -> Result<()> {
        if self.target.replaces {
            self.target.root.remove_all(path)?;
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<()> {
        let window = std::mem::take(&mut self.window);
        let damaged =
            content::restore(window, self.contents.reader(), &self.target, self.progress)?;
        for file in damaged {
            self.left_out(&file.path, file.bytes, file.message.clone());
            self.lost.insert(file.path, file.message);
        }
        Ok(())
    }

    /// Names a file that was counted already and is damaged.
    fn left_out(&mut self, path: &[u8], bytes: u64, message: String) {
        self.report.summary.files -= 1;
        self.report.summary.bytes -= bytes;
        let path = String::from_utf8_lossy(path).into_owned();
        self.report.damaged.push(Problem { path, message });
    }

    fn finish_directory(&self, directory: &Found) -> Result<()> {
        if directory.path.is_empty() && !self.owns_target {
            return Ok(());
        }
        let Target { root, metadata, .. } = &self.target;
        let done = if directory.path.is_empty() {
            metadata.apply_to_file(root.open_dir(&[])?, &directory.node)
        } else {
            let (parent, name) = root.parent(&directory.path)?;
            metadata.apply(parent.as_fd(), name, &directory.node)
        };
        done.map_err(|error| error.on(root.display(&directory.path)))
    }

    /// Removes what the backup does not hold, in the directories that were restored whole.
    fn delete_extra(&mut self, damaged: &[Damaged]) -> Result<()> {
        let root = &self.target.root;
        let device = |path: &[u8]| Ok(root.metadata(path)?.map(|found| found.device));
        if self
            .contents
            .manifest()
            .is_some_and(Manifest::is_incomplete)
        {
            return Err(Error::new(
                ErrorKind::Denied,
                "nothing was deleted: the backup is incomplete, and what it lacks may be all there is",
            ));
        }
        for directory in &self.directories {
            let is_damaged = damaged.iter().any(|it| it.path == directory.path);
            if is_damaged || !self.selection.includes(&directory.path) {
                continue;
            }
            let Some(subtree) = directory.node.subtree else {
                continue;
            };
            let tree = self.contents.reader().tree(&subtree)?;
            for (name, _) in self.target.root.list(&directory.path)? {
                let path = [directory.path.as_slice(), &name].join(&b'/');
                let path = path.strip_prefix(b"/").unwrap_or(&path);
                // Another file system that is mounted here was no part of the backup.
                if tree.find(&name).is_none() && device(path)? == device(&directory.path)? {
                    self.report.deleted += self.target.root.remove_all(path)?;
                }
            }
        }
        Ok(())
    }
}

impl FileSink for Target {
    fn create(&self, path: &[u8]) -> Result<File> {
        if !self.replaces || self.root.metadata(path)?.is_none() {
            return self.root.create_file(path).map_err(appeared);
        }
        let beside = name_beside(path);
        self.root.remove_all(&beside)?;
        let file = self.root.create_file(&beside)?;
        self.making().insert(path.to_vec(), beside);
        Ok(file)
    }

    fn reopen(&self, path: &[u8]) -> Result<File> {
        let beside = self.making().get(path).cloned();
        self.root.open_file(beside.as_deref().unwrap_or(path))
    }

    fn complete(&self, path: &[u8], file: &File, node: &Node) -> Result<()> {
        self.metadata
            .apply_to_file(file, node)
            .map_err(|error| error.on(self.root.display(path)))?;
        let Some(beside) = self.making().remove(path) else {
            return Ok(());
        };
        if self
            .root
            .metadata(path)?
            .is_some_and(|found| found.node_type() == NodeType::Dir)
        {
            self.root.remove_all(path)?;
        }
        self.root.rename(&beside, path)
    }

    fn abandon(&self, path: &[u8]) -> Result<()> {
        let beside = self.making().remove(path);
        self.root
            .remove_all(beside.as_deref().unwrap_or(path))
            .map(drop)
    }
}

impl Target {
    fn making(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It was not there when the restore began.
fn appeared(error: Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => error.hint("it appeared during the restore"),
        _ => error,
    }
}

/// A name in the same directory that nobody else uses.
fn name_beside(path: &[u8]) -> Vec<u8> {
    let name = format!(".strongroom-{}", Id::of(path).short());
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => [path.get(..slash).unwrap_or_default(), name.as_bytes()].join(&b'/'),
        None => name.into_bytes(),
    }
}
