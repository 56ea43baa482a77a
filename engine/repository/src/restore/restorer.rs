//! The restore itself: makes directories and special files, gathers the files with content into windows, and puts metadata on all of them.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;

use super::content::{FileSink, Window};
use super::{RestoreOptions, RestoreReport, Selection};
use crate::backup::Problem;
use crate::contents::{Contents, Found};
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
    target: Target,
    window: Window,
    /// Their metadata is set when nothing below them will change any more.
    directories: Vec<Found>,
    /// The first path of each file that has several.
    linked: HashMap<(u64, u64), Vec<u8>>,
    /// From the first path to the others.
    links: Vec<(Vec<u8>, Vec<u8>)>,
    report: RestoreReport,
}

/// What files are made in.
struct Target {
    root: TargetRoot,
    metadata: MetadataWriter,
}

impl<'a> Restorer<'a> {
    pub(super) fn new(
        contents: &'a Contents,
        options: &'a RestoreOptions,
        selection: &'a Selection,
        progress: &'a Progress,
    ) -> Result<Self> {
        let root = TargetRoot::create(&options.target)?;
        Ok(Self {
            contents,
            options,
            selection,
            progress,
            target: Target {
                root,
                metadata: MetadataWriter::new(),
            },
            window: Window::default(),
            directories: Vec::new(),
            linked: HashMap::new(),
            links: Vec::new(),
            report: RestoreReport::default(),
        })
    }

    /// Restores everything from `root` on.
    pub(super) fn run(&mut self, root: Node) -> Result<()> {
        for found in self.contents.walk_selected(root, self.selection) {
            self.progress.check_cancelled()?;
            self.take(found?)?;
            if self.window.len() >= WINDOW_PIECES {
                self.fetch()?;
            }
        }
        self.fetch()
    }

    /// Hard links, what is too much, and the directories' metadata, deepest first.
    pub(super) fn finish(mut self) -> Result<RestoreReport> {
        self.progress.step("finishing directories");
        for (first, other) in std::mem::take(&mut self.links) {
            self.target.root.hard_link(&first, &other)?;
        }
        if self.options.delete_extra {
            self.delete_extra()?;
        }
        for directory in self.directories.iter().rev() {
            self.finish_directory(directory)?;
        }
        let warnings = self.target.metadata.warnings();
        let warnings = warnings.into_iter().map(|message| Problem {
            path: self.options.target.display().to_string(),
            message,
        });
        self.report.problems.extend(warnings);
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
            let existing = self.target.root.metadata(&found.path)?;
            let in_the_way = existing.is_some_and(|found| found.node_type() != NodeType::Dir);
            if in_the_way && self.options.conflict == Conflict::Overwrite {
                self.target.root.remove(&found.path)?;
            }
            self.target.root.create_dir(&found.path)?;
        }
        self.report.directories += 1;
        self.directories.push(found);
        Ok(())
    }

    fn take_file(&mut self, found: Found) -> Result<()> {
        let Found { path, node } = found;
        if !self.make_way(&path)? {
            return Ok(());
        }
        self.report.summary.files += 1;
        if node.links > 1 {
            let key = (node.device_id, node.inode);
            if let Some(first) = self.linked.get(&key) {
                self.links.push((first.clone(), path));
                self.progress.advance(node.size, 1);
                return Ok(());
            }
            self.linked.insert(key, path.clone());
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
        if !self.make_way(&found.path)? {
            return Ok(());
        }
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

    /// Removes what is in the way. False where that is to be kept.
    fn make_way(&mut self, path: &[u8]) -> Result<bool> {
        if self.target.root.metadata(path)?.is_none() {
            return Ok(true);
        }
        match self.options.conflict {
            Conflict::KeepExisting => {
                self.report.kept += 1;
                self.progress.advance(0, 1);
                Ok(false)
            }
            Conflict::Overwrite => self.target.root.remove_all(path).map(|_| true),
            Conflict::Fail => Err(Error::new(
                ErrorKind::AlreadyExists,
                "appeared during the restore",
            )
            .on(self.target.root.display(path))),
        }
    }

    fn fetch(&mut self) -> Result<()> {
        let window = std::mem::take(&mut self.window);
        window.restore(self.contents.reader(), &self.target, self.progress)
    }

    fn finish_directory(&self, directory: &Found) -> Result<()> {
        let Target { root, metadata } = &self.target;
        let done = if directory.path.is_empty() {
            File::open(&self.options.target)
                .map_err(|error| Error::io("cannot be opened", error))
                .and_then(|target| metadata.apply_to_file(&target, &directory.node))
        } else {
            let (parent, name) = root.parent(&directory.path)?;
            metadata.apply(parent.as_fd(), name, &directory.node)
        };
        done.map_err(|error| error.on(root.display(&directory.path)))
    }

    /// Removes what the backup does not hold, in the directories that were restored whole.
    fn delete_extra(&mut self) -> Result<()> {
        for directory in &self.directories {
            if !self.selection.includes(&directory.path) {
                continue;
            }
            let Some(subtree) = directory.node.subtree else {
                continue;
            };
            let tree = self.contents.reader().tree(&subtree)?;
            for (name, _) in self.target.root.list(&directory.path)? {
                if tree.find(&name).is_none() {
                    let path = [directory.path.as_slice(), &name].join(&b'/');
                    let path = path.strip_prefix(b"/").unwrap_or(&path);
                    self.report.deleted += self.target.root.remove_all(path)?;
                }
            }
        }
        Ok(())
    }
}

impl FileSink for Target {
    fn create(&self, path: &[u8]) -> Result<File> {
        self.root.create_file(path)
    }

    fn reopen(&self, path: &[u8]) -> Result<File> {
        self.root.open_file(path)
    }

    fn complete(&self, path: &[u8], file: &File, node: &Node) -> Result<()> {
        self.metadata
            .apply_to_file(file, node)
            .map_err(|error| error.on(self.root.display(path)))
    }
}
