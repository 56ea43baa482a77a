//! The restore itself: makes directories and special files, gathers the files with content into windows, and puts metadata on all of them.

mod finish;

use std::cmp::Reverse;
use std::collections::HashMap;

use rustix::fs::Mode;

use super::content::{self, LostFile};
use super::refused::{FULL, Refused, full, is_fatal, is_no_room};
use super::target::{Target, is_as_restored};
use super::window::{Lost, Window};
use super::{RestoreOptions, RestoreReport, Selection};
use crate::backup::Problem;
use crate::contents::{Contents, Found};
use crate::links::HardLinks;
use crate::metadata::{Metadata, MetadataWriter};
use crate::progress::Progress;
use crate::sample::compare_file;
use crate::source::Conflict;
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
    is_new: bool,
    target: Target,
    window: Window,
    /// Their metadata is set when nothing below them will change any more.
    directories: Vec<Directory>,
    /// The latest directory that could not be made: nothing below it can be.
    blocked: Option<Vec<u8>>,
    linked: HardLinks,
    /// From the first path to the others.
    links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Files with several names that were left out.
    lost: HashMap<Vec<u8>, LostFile>,
    /// The names that were made instead of a first one that was refused.
    made_instead: HashMap<Vec<u8>, Vec<u8>>,
    refused: Refused,
    report: RestoreReport,
}

/// A directory that files were put into.
struct Directory {
    found: Found,
    finish: Finish,
}

/// What becomes of a directory's metadata.
enum Finish {
    /// As the backup says.
    Restored,
    /// It is the user's own, and its mode was changed for as long as it takes.
    Mode(Mode),
    /// It is the user's own.
    Kept,
}

impl<'a> Restorer<'a> {
    /// `whole` says whether it is a directory that becomes the target.
    pub(super) fn new(
        contents: &'a Contents,
        options: &'a RestoreOptions,
        selection: &'a Selection,
        progress: &'a Progress,
        whole: bool,
    ) -> Result<Self> {
        let is_new = !options.target.exists();
        let root = options.target.create(whole)?;
        Ok(Self {
            contents,
            options,
            selection,
            progress,
            is_new,
            target: Target {
                root,
                metadata: MetadataWriter::new(),
                replaces: options.conflict == Conflict::Overwrite,
                deletes_extra: options.delete_extra,
            },
            window: Window::default(),
            directories: Vec::new(),
            blocked: None,
            linked: HardLinks::default(),
            links: Vec::new(),
            lost: HashMap::new(),
            made_instead: HashMap::new(),
            refused: Refused::default(),
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

    fn take(&mut self, found: Found) -> Result<()> {
        if self.is_blocked(&found.path) {
            return Ok(());
        }
        match found.node.node_type {
            NodeType::Dir => self.take_directory(found),
            NodeType::File => self.take_file(found),
            _ => self.take_special(found),
        }
    }

    fn is_blocked(&self, path: &[u8]) -> bool {
        let rest = self
            .blocked
            .as_ref()
            .and_then(|it| path.strip_prefix(it.as_slice()));
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    }

    fn take_directory(&mut self, found: Found) -> Result<()> {
        match self.enter(&found) {
            Ok(finish) => {
                self.report.directories += 1;
                self.directories.push(Directory { found, finish });
                Ok(())
            }
            Err(error) => {
                let message = format!("{}; nothing below it was restored", error.message());
                let error = Error::new(error.kind(), message).caused_by(error);
                self.refuse(&found.path, NodeType::Dir, &error)?;
                self.blocked = Some(found.path);
                Ok(())
            }
        }
    }

    /// Makes a directory, or finds it there.
    fn enter(&self, found: &Found) -> Result<Finish> {
        let (path, root) = (found.path.as_slice(), &self.target.root);
        let existing = match path {
            [] if self.is_new => None,
            [] => root.metadata(path)?,
            _ => self.target.make_directory(path)?,
        };
        let Some(existing) = existing else {
            return Ok(Finish::Restored);
        };
        self.sweep(found);
        let opened = root.open_up(path, &existing)?;
        Ok(match (self.is_ours(found, &existing), opened) {
            (true, _) => Finish::Restored,
            (false, true) => Finish::Mode(Mode::from_raw_mode(existing.mode & 0o7777)),
            (false, false) => Finish::Kept,
        })
    }

    /// Whether a directory that is there already gets the backup's metadata: it is what an earlier restore left, finished or not, or what is
    /// there may be changed.
    fn is_ours(&self, found: &Found, existing: &Metadata) -> bool {
        let keeps = self.options.conflict == Conflict::KeepExisting;
        // A directory that was there and gets something put into it is not ours to change.
        let may_change = !keeps && (!found.path.is_empty() || self.selection.is_all());
        may_change || is_as_restored(existing, &found.node)
    }

    /// What killed restores left goes, but not what the backup holds under such a name.
    fn sweep(&self, found: &Found) {
        let tree = || self.contents.reader().tree(&found.node.subtree?).ok();
        let tree = std::cell::LazyCell::new(tree);
        self.target.root.sweep(&found.path, |name| {
            tree.as_ref().is_none_or(|tree| tree.find(name).is_some())
        });
    }

    fn take_file(&mut self, found: Found) -> Result<()> {
        let Found { path, node } = found;
        match self.keeps(&path) {
            Ok(false) => {}
            Ok(true) => return self.keep_links(path, &node),
            Err(error) => return self.refuse(&path, NodeType::File, &error),
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
            self.progress.advance(0, 1);
            return match self.target.make_empty(&path, &node) {
                Ok(()) => Ok(()),
                Err(error) => self.lose(LostFile {
                    path,
                    node,
                    why: Lost::Refused(error),
                }),
            };
        }
        self.window.add(self.contents.reader(), path, node)
    }

    /// Other names of a file that was kept are names of that, if it is the backup's.
    fn keep_links(&mut self, path: Vec<u8>, node: &Node) -> Result<()> {
        if node.links > 1 && node.node_type == NodeType::File {
            let root = &self.target.root;
            match compare_file(self.contents, root, &path, node, self.progress) {
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Ok(None) => drop(self.linked.first(&path, node)),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_special(&mut self, found: Found) -> Result<()> {
        let Found { path, node } = found;
        // A socket belongs to its server, which makes it anew.
        if node.node_type == NodeType::Socket {
            return Ok(());
        }
        let made = match self.keeps(&path) {
            Ok(true) => return Ok(()),
            Ok(false) => self.target.make_special(&path, &node),
            Err(error) => Err(error),
        };
        self.progress.advance(0, 1);
        match made {
            Ok(true) => self.report.summary.files += 1,
            Ok(false) => {
                let message = "a device file was not made: only root may";
                self.refused.name(&path, message.to_owned());
            }
            Err(error) => self.refuse(&path, node.node_type, &error)?,
        }
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

    fn fetch(&mut self) -> Result<()> {
        let without_room = self.fetch_window()?;
        self.try_again(without_room)
    }

    /// Writes the files that were gathered. Those that found no room come out.
    fn fetch_window(&mut self) -> Result<Vec<LostFile>> {
        let window = std::mem::take(&mut self.window);
        let lost = content::restore(window, self.contents.reader(), &self.target, self.progress)?;
        let (without_room, lost): (Vec<_>, Vec<_>) = lost
            .into_iter()
            .partition(|file| matches!(&file.why, Lost::Refused(error) if is_no_room(error)));
        lost.into_iter().try_for_each(|file| self.lose(file))?;
        Ok(without_room)
    }

    /// A large file may have taken the room of smaller ones before it was given up, so the smallest come again first.
    fn try_again(&mut self, mut files: Vec<LostFile>) -> Result<()> {
        files.sort_by_key(|file| Reverse(file.node.size));
        let mut count = 1;
        while !files.is_empty() {
            for file in files.split_off(files.len().saturating_sub(count)) {
                self.window
                    .add(self.contents.reader(), file.path, file.node)?;
            }
            let without_room = self.fetch_window()?;
            if !without_room.is_empty() {
                files.extend(without_room);
                break;
            }
            count *= 2;
        }
        if files.len() >= FULL {
            return Err(full(files.len()).on(self.options.target.path().display()));
        }
        files.into_iter().try_for_each(|file| self.lose(file))
    }

    /// Names a file that was counted already and is left out.
    fn lose(&mut self, file: LostFile) -> Result<()> {
        self.uncount(file.node.size);
        match &file.why {
            Lost::Damaged(message) => self.damaged(&file.path, message.clone()),
            Lost::Refused(error) => {
                let error = error.clone();
                self.refuse(&file.path, NodeType::File, &error)?;
            }
        }
        // Another name of it may be to come.
        if file.node.links > 1 {
            self.lost.insert(file.path.clone(), file);
        }
        Ok(())
    }

    fn uncount(&mut self, bytes: u64) {
        self.report.summary.files -= 1;
        self.report.summary.bytes -= bytes;
    }

    fn damaged(&mut self, path: &[u8], message: String) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.report.damaged.push(Problem { path, message });
    }

    /// Names what the target does not take, unless nothing else would be taken either.
    fn refuse(&mut self, path: &[u8], node_type: NodeType, error: &Error) -> Result<()> {
        if is_fatal(error) {
            return Err(error.clone());
        }
        let target = self.options.target.path().display();
        let added = self.refused.add(path, node_type, error);
        added.map_err(|error| error.on(target))
    }
}
