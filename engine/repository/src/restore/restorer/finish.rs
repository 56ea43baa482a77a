//! The end of a restore: what can only be done when all files are there.

use std::os::fd::AsFd;

use super::{Directory, Finish, Restorer};
use crate::backup::{Manifest, Problem};
use crate::contents::{Damaged, Found, joined};
use crate::restore::RestoreReport;
use crate::restore::content::LostFile;
use crate::restore::target::Target;
use crate::restore::window::Lost;
use crate::tree::NodeType;
use crate::{Error, ErrorKind, Result};

impl Restorer<'_> {
    /// Hard links, what is too much, and the directories' metadata, deepest first. `damaged` were restored as if they were empty.
    pub(in crate::restore) fn finish(mut self, damaged: Vec<Damaged>) -> Result<RestoreReport> {
        self.progress.step("finishing directories");
        self.make_links()?;
        if self.options.delete_extra {
            self.delete_extra(&damaged)?;
        }
        while let Some(directory) = self.directories.pop() {
            if let Err(error) = self.finish_directory(&directory) {
                self.refuse(&directory.found.path, NodeType::Dir, &error)?;
            }
        }
        let target = self.options.target.path().display().to_string();
        let warnings = self.target.metadata.warnings().into_iter();
        let warnings = warnings.map(|message| Problem {
            path: target.clone(),
            message,
        });
        self.report.problems.extend(warnings);
        self.report.refused = self.refused.into_problems(&target);
        let directories = damaged.into_iter().map(|damaged| Problem {
            path: String::from_utf8_lossy(&damaged.path).into_owned(),
            message: format!("nothing below it can be read: {}", damaged.error),
        });
        self.report.damaged.extend(directories);
        Ok(self.report)
    }

    fn make_links(&mut self) -> Result<()> {
        for (mut first, path) in std::mem::take(&mut self.links) {
            self.progress.check_cancelled()?;
            if let Some(lost) = self.lost.get(&first) {
                match &lost.why {
                    // What lies at the first name then is none of the backup's: whatever was there before.
                    Lost::Damaged(message) => {
                        let message = message.clone();
                        self.uncount(0);
                        self.damaged(&path, message);
                        continue;
                    }
                    Lost::Refused(_) => match self.make_first(&first, &path)? {
                        Some(made) => first = made,
                        None => continue,
                    },
                }
            }
            if first == path {
                continue;
            }
            match self.target.link(&first, &path) {
                Ok(None) => {}
                Ok(Some(error)) => {
                    let first = String::from_utf8_lossy(&first);
                    let message = format!("is a copy of {first} now: {}", error.message());
                    self.refused.name(&path, message);
                }
                Err(error) => {
                    self.uncount(0);
                    self.refuse(&path, NodeType::File, &error)?;
                }
            }
        }
        Ok(())
    }

    /// The target did not take a file under its `first` name: it may take it as `path`, which is its first name then. Says what that is.
    fn make_first(&mut self, first: &[u8], path: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(made) = self.made_instead.get(first) {
            return Ok(Some(made.clone()));
        }
        let Some(lost) = self.lost.get(first) else {
            return Ok(None);
        };
        let node = lost.node.clone();
        self.report.summary.bytes += node.size;
        if node.content.as_ref().is_none_or(Vec::is_empty) {
            if let Err(error) = self.target.make_empty(path, &node) {
                let (path, why) = (path.to_vec(), Lost::Refused(error));
                self.lose(LostFile { path, node, why })?;
            }
        } else {
            self.window
                .add(self.contents.reader(), path.to_vec(), node)?;
            self.fetch()?;
        }
        if self.lost.contains_key(path) {
            return Ok(None);
        }
        self.made_instead.insert(first.to_vec(), path.to_vec());
        Ok(Some(path.to_vec()))
    }

    fn finish_directory(&self, directory: &Directory) -> Result<()> {
        let Target { root, metadata, .. } = &self.target;
        let Found { path, node } = &directory.found;
        match directory.finish {
            Finish::Kept => Ok(()),
            Finish::Mode(mode) => root.set_mode(path, mode),
            Finish::Restored if path.is_empty() => {
                metadata.apply_to_file(root.open_dir(&[])?, node)
            }
            Finish::Restored => {
                let (parent, name) = root.parent(path)?;
                metadata.apply(parent.as_fd(), name, node)
            }
        }
    }

    /// Removes what the backup does not hold, in the directories that were restored whole.
    fn delete_extra(&mut self, damaged: &[Damaged]) -> Result<()> {
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
        let directories = std::mem::take(&mut self.directories);
        for Directory { found, .. } in &directories {
            let is_damaged = damaged.iter().any(|it| it.path == found.path);
            if is_damaged || !self.selection.includes(&found.path) {
                continue;
            }
            let Some(subtree) = found.node.subtree else {
                continue;
            };
            let tree = self.contents.reader().tree(&subtree)?;
            let listed = match self.target.root.list(&found.path) {
                Ok(listed) => listed,
                Err(error) => {
                    self.refuse(&found.path, NodeType::Dir, &error)?;
                    continue;
                }
            };
            for (name, node_type) in listed {
                let path = joined(&found.path, &name);
                if tree.find(&name).is_some() {
                    continue;
                }
                match self.remove_extra(&found.path, &path) {
                    Ok(removed) => self.report.deleted += removed,
                    Err(error) => self.refuse(&path, node_type, &error)?,
                }
            }
        }
        self.directories = directories;
        Ok(())
    }

    /// Another file system that is mounted here was no part of the backup.
    fn remove_extra(&self, directory: &[u8], path: &[u8]) -> Result<u64> {
        let root = &self.target.root;
        let device = |path: &[u8]| Ok(root.metadata(path)?.map(|found| found.device));
        match device(path)? == device(directory)? {
            true => root.remove_all(path),
            false => Ok(0),
        }
    }
}
