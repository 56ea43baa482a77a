//! The directory that a restore writes into. In come paths of the backup, which nobody trusts, out come files and directories that surely
//! lie beneath that directory: no symbolic link is followed in any component, whoever put it there, and `..` is refused.
//!
//! Paths are bytes, relative to the root, `/`-separated, and empty for the root itself.

mod remove;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::beneath::open_beneath;
use crate::metadata::{Metadata, path_of_file};
use crate::tree::{NodeType, check_name};
use crate::{Error, ErrorKind, Result};

/// Directories that are kept open for the next file in them.
const MOST_OPEN: usize = 64;

/// A directory to restore into. Shared by all threads of a restore.
#[derive(Debug)]
pub struct TargetRoot {
    path: PathBuf,
    root: Arc<OwnedFd>,
    /// The latest last.
    open: Mutex<VecDeque<(Vec<u8>, Arc<OwnedFd>)>>,
}

impl TargetRoot {
    /// Opens a directory that exists. Its own path is the operator's, so symbolic links in that are followed.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            let error = match error {
                Errno::NOTDIR => Error::new(ErrorKind::AlreadyExists, "is not a directory"),
                error => Error::io("target cannot be opened", error.into()),
            };
            error.on(path.display())
        })?;
        Ok(Self::new(path, Arc::new(root)))
    }

    /// A directory that is open. `path` is for messages.
    pub(crate) fn new(path: &Path, root: Arc<OwnedFd>) -> Self {
        Self {
            path: path.to_owned(),
            root,
            open: Mutex::default(),
        }
    }

    /// Opens a directory, after making it and its parents where they are missing.
    pub fn create(path: &Path) -> Result<Self> {
        match std::fs::create_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Error::io("target cannot be made", error).on(path.display()))
            }
            _ => Self::open(path),
        }
    }

    /// For messages: the target's path and that of something in it.
    pub fn display(&self, path: &[u8]) -> String {
        self.path
            .join(OsStr::from_bytes(path))
            .display()
            .to_string()
    }

    /// Opens a directory with `O_PATH`, and keeps it open for a while.
    pub fn open_dir(&self, path: &[u8]) -> Result<Arc<OwnedFd>> {
        if path.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some((_, directory)) = self.cache().iter().rev().find(|(known, _)| known == path) {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?);
        let mut cache = self.cache();
        if cache.len() >= MOST_OPEN {
            cache.pop_front();
        }
        cache.push_back((path.to_vec(), Arc::clone(&directory)));
        Ok(directory)
    }

    /// The open directory that holds `path`, and the name in it: what [`MetadataWriter`](crate::metadata::MetadataWriter) takes.
    pub fn parent<'a>(&self, path: &'a [u8]) -> Result<(Arc<OwnedFd>, &'a [u8])> {
        let (parent, name) = split(path);
        check_name(name)?;
        Ok((self.open_dir(parent)?, name))
    }

    /// What is at `path`, a symbolic link itself if it is one; `None` if nothing is.
    pub fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        match open_beneath(self.root.as_fd(), path, OFlags::PATH, Mode::empty()) {
            Ok(found) => Metadata::of_file(found)
                .map(Some)
                .map_err(|error| self.failed(path, "cannot be examined", error)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed(path, "cannot be examined", error)),
        }
    }

    /// Makes a directory, for the owner alone until its metadata is set. One that is there already is left as it is;
    /// [`ErrorKind::AlreadyExists`] if there is something else.
    pub fn create_dir(&self, path: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => match self.metadata(path)?.map(|found| found.node_type()) {
                Some(NodeType::Dir) => Ok(()),
                _ => Err(self.failed(path, "directory cannot be made", Errno::EXIST)),
            },
            Err(error) => Err(self.failed(path, "directory cannot be made", error)),
        }
    }

    /// Makes a file that did not exist, for the owner alone until its metadata is set, and opens it for writing and reading.
    pub fn create_file(&self, path: &[u8]) -> Result<File> {
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        rustix::fs::openat(
            &parent,
            name,
            flags | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map(File::from)
        .map_err(|error| self.failed(path, "file cannot be made", error))
    }

    /// Opens a regular file that exists for writing and reading.
    pub fn open_file(&self, path: &[u8]) -> Result<File> {
        let (parent, name) = self.parent(path)?;
        open_regular(parent.as_fd(), name, OFlags::RDWR)
            .map_err(|error| self.failed(path, "cannot be opened", error))
    }

    /// Opens a regular file that exists for reading, even where its own mode keeps its owner out.
    pub fn read_file(&self, path: &[u8]) -> Result<File> {
        let (parent, name) = self.parent(path)?;
        match open_regular(parent.as_fd(), name, OFlags::RDONLY) {
            Err(Errno::ACCESS) => open_despite_mode(parent.as_fd(), name),
            opened => opened,
        }
        .map_err(|error| self.failed(path, "cannot be opened", error))
    }

    /// Makes `path` another name of the file `existing`.
    pub fn hard_link(&self, existing: &[u8], path: &[u8]) -> Result<()> {
        let (from, from_name) = self.parent(existing)?;
        let (to, to_name) = self.parent(path)?;
        rustix::fs::linkat(&from, from_name, &to, to_name, AtFlags::empty())
            .map_err(|error| self.failed(path, "hard link cannot be made", error))
    }

    /// Moves `from` to `path`, replacing a file that is there.
    pub fn rename(&self, from: &[u8], path: &[u8]) -> Result<()> {
        let (old, old_name) = self.parent(from)?;
        let (new, new_name) = self.parent(path)?;
        self.forget(from);
        self.forget(path);
        rustix::fs::renameat(&old, old_name, &new, new_name)
            .map_err(|error| self.failed(path, "cannot be put in place", error))
    }

    /// Names and types in a directory, in no order.
    pub fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, NodeType)>> {
        let directory = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        read_entries(&directory)
            .map_err(|error| self.failed(path, "directory cannot be read", error))
    }

    fn open_at(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        open_beneath(self.root.as_fd(), path, flags, Mode::empty())
            .map_err(|error| self.failed(path, "directory cannot be opened", error))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, VecDeque<(Vec<u8>, Arc<OwnedFd>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the directories at and below `path`, which will be others.
    fn forget(&self, path: &[u8]) {
        self.cache().retain(|(known, _)| {
            let rest = known.strip_prefix(path);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        });
    }

    fn failed(&self, path: &[u8], message: &str, error: Errno) -> Error {
        let error = match error {
            Errno::LOOP | Errno::NOTDIR => Error::new(
                ErrorKind::AlreadyExists,
                format!("{message}: something that is no directory is in the way"),
            ),
            Errno::INVAL => Error::corrupted(format!("{message}: the path is not a path of files")),
            error => Error::io(message, error.into()),
        };
        error.on(self.display(path))
    }
}

fn open_regular(parent: BorrowedFd<'_>, name: &[u8], access: OFlags) -> rustix::io::Result<File> {
    // What is a pipe or a device must not block or be written to.
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    match Metadata::of_file(&file)?.node_type() {
        NodeType::File => Ok(file.into()),
        _ => Err(Errno::EXIST),
    }
}

/// Changes the mode for as long as it takes.
fn open_despite_mode(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(Metadata::of_file(&found)?.mode & 0o7777);
    let itself = path_of_file(found.as_fd());
    rustix::fs::chmod(&itself, Mode::RUSR)?;
    let opened = open_regular(parent, name, OFlags::RDONLY);
    rustix::fs::chmod(&itself, mode)?;
    opened
}

/// The directory's path and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (
            path.get(..slash).unwrap_or_default(),
            path.get(slash + 1..).unwrap_or_default(),
        ),
        None => (&[], path),
    }
}

/// Names and types in an open directory.
fn read_entries(directory: &OwnedFd) -> rustix::io::Result<Vec<(Vec<u8>, NodeType)>> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut raw = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut entries = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let node_type = match node_type(entry.file_type()) {
            Some(node_type) => node_type,
            None => Metadata::of_entry(directory.as_fd(), name)?.node_type(),
        };
        entries.push((name.to_bytes().to_vec(), node_type));
    }
    Ok(entries)
}

/// `None` where the file system does not say.
fn node_type(file_type: FileType) -> Option<NodeType> {
    match file_type {
        FileType::Unknown => None,
        file_type => Some(NodeType::from_unix(file_type.as_raw_mode())),
    }
}

#[cfg(test)]
mod tests;
