//! The directory that a restore writes into. In come paths of the backup, which nobody trusts, out come files and directories that surely
//! lie beneath that directory: no symbolic link is followed in any component, whoever put it there, and `..` is refused.
//!
//! Paths are bytes, relative to the root, `/`-separated, and empty for the root itself.

mod remove;
pub(crate) mod temporary;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::Errno;

use crate::beneath::open_beneath;
use crate::metadata::{Metadata, path_of_file};
use crate::tree::{NodeType, check_name};
use crate::{Error, ErrorKind, Result, descriptors};

/// Directories that are kept open for the next file in them.
const MOST_OPEN: usize = 64;

/// What a directory is made with, and has until its own metadata is set: nobody else may enter it, and nobody gives such a mode to a directory
/// by hand. So the next restore knows a directory that this one did not finish.
pub(crate) const IN_THE_MAKING: Mode = Mode::RWXU.union(Mode::SVTX);

/// A directory to restore into. Shared by all threads of a restore.
#[derive(Debug)]
pub struct TargetRoot {
    path: PathBuf,
    root: Arc<OwnedFd>,
    /// The latest last.
    open: Mutex<VecDeque<(Vec<u8>, Arc<OwnedFd>)>>,
    most_open: usize,
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
            most_open: descriptors::share(MOST_OPEN, 8),
        }
    }

    /// Opens a directory, after making it and its parents where they are missing. With `is_ours` one that is made is marked as one that is not
    /// finished.
    pub fn create(path: &Path, is_ours: bool) -> Result<Self> {
        let failed = |error| Error::io("target cannot be made", error).on(path.display());
        let made = match path.parent() {
            Some(parent) if is_ours => {
                let mut builder = std::fs::DirBuilder::new();
                builder.mode(IN_THE_MAKING.as_raw_mode());
                match std::fs::create_dir_all(parent) {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                    // Whether that is a directory shows now.
                    _ => builder.create(path),
                }
            }
            _ => std::fs::create_dir_all(path),
        };
        match made {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
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
        if cache.len() >= self.most_open {
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
            // What has too long a name for this file system is not there either.
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(error) => Err(self.failed(path, "cannot be examined", error)),
        }
    }

    /// Makes a directory, for the owner alone until its metadata is set. One that is there already is left as it is, and what it is comes
    /// out; [`ErrorKind::AlreadyExists`] if there is something else.
    pub fn create_dir(&self, path: &[u8]) -> Result<Option<Metadata>> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::mkdirat(&parent, name, IN_THE_MAKING) {
            Ok(()) => Ok(None),
            Err(Errno::EXIST) => match self.metadata(path)? {
                Some(found) if found.node_type() == NodeType::Dir => Ok(Some(found)),
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

    /// Gives `beside`, a file in the same directory, the name `path`. What is there is replaced if `replaces` says so and it is no directory,
    /// and is an [`ErrorKind::AlreadyExists`] otherwise.
    pub fn put_in_place(&self, beside: &[u8], path: &[u8], replaces: bool) -> Result<()> {
        let (directory, name) = self.parent(path)?;
        let (_, old) = split(beside);
        let rename = || rustix::fs::renameat(&directory, old, &directory, name);
        let renamed = if replaces {
            rename()
        } else {
            let flags = RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(&directory, old, &directory, name, flags) {
                // The file system or the kernel cannot do that in one step.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match self.metadata(path)? {
                    Some(_) => Err(Errno::EXIST),
                    None => rename(),
                },
                renamed => renamed,
            }
        };
        renamed.map_err(|error| match error {
            Errno::INVAL | Errno::ILSEQ => {
                let error = std::io::Error::from(error);
                Error::new(
                    ErrorKind::Unsupported,
                    "the file system does not take this name",
                )
                .caused_by(error)
                .on(self.display(path))
            }
            error => self.failed(path, "cannot be put in place", error),
        })
    }

    /// Lets the owner, if that is who we are, make files in the directory `path`, which `found` says what it is. Whether that took a change.
    pub(crate) fn open_up(&self, path: &[u8], found: &Metadata) -> Result<bool> {
        let user = rustix::process::geteuid();
        let wanted = Mode::RWXU;
        let mode = Mode::from_raw_mode(found.mode & 0o7777);
        if user.is_root() || user.as_raw() != found.uid || mode.contains(wanted) {
            return Ok(false);
        }
        self.set_mode(path, mode | wanted).map(|()| true)
    }

    /// Sets the mode of the directory `path`.
    pub(crate) fn set_mode(&self, path: &[u8], mode: Mode) -> Result<()> {
        let directory = self.open_dir(path)?;
        rustix::fs::chmod(path_of_file(directory.as_fd()), mode)
            .map_err(|error| self.failed(path, "mode cannot be set", error))
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

/// Whether a directory was made by a restore that did not come to its metadata.
pub(crate) fn is_in_the_making(found: &Metadata) -> bool {
    let mode = Mode::from_raw_mode(found.mode & 0o7777);
    let others = Mode::RWXG | Mode::RWXO;
    found.node_type() == NodeType::Dir && mode.contains(Mode::SVTX) && !mode.intersects(others)
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
