//! Removing what is in the way of a restore, or what the backup does not hold.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx, unlinkat};
use rustix::io::Errno;

use super::temporary::is_left_over;
use super::{TargetRoot, read_entries, split};
use crate::Result;
use crate::beneath::open_beneath;
use crate::contents::joined;
use crate::metadata::Metadata;
use crate::tree::{NodeType, check_name};

impl TargetRoot {
    /// Removes a file, link or whatever is no directory. What is not there is removed already.
    pub fn remove(&self, path: &[u8]) -> Result<()> {
        self.unlink(path, AtFlags::empty())
    }

    /// Removes what restores that were killed left in the directory `path`, unless its name is to be `kept`. What cannot be removed stays.
    pub(crate) fn sweep(&self, path: &[u8], kept: impl Fn(&[u8]) -> bool) {
        for (name, node_type) in self.list(path).unwrap_or_default() {
            if node_type != NodeType::Dir && is_left_over(&name) && !kept(&name) {
                let _ = self.remove(&joined(path, &name));
            }
        }
    }

    /// Removes whatever is at `path`, with all that lies in it, however deep, unless another file system is mounted there or below: that is
    /// nobody's to empty. Returns how many entries that were.
    pub fn remove_all(&self, path: &[u8]) -> Result<u64> {
        match self.metadata(path)?.map(|found| found.node_type()) {
            None => return Ok(0),
            Some(NodeType::Dir) => {}
            Some(_) => return self.remove(path).map(|()| 1),
        }
        self.forget(path);
        let removed = remove_content(self.open_at(path, reading())?)
            .map_err(|error| self.failed(path, "cannot be removed", error))?;
        self.unlink(path, AtFlags::REMOVEDIR)?;
        Ok(removed + 1)
    }

    /// Removes a directory in which nothing is.
    pub fn remove_empty(&self, path: &[u8]) -> Result<()> {
        self.forget(path);
        self.unlink(path, AtFlags::REMOVEDIR)
    }

    fn unlink(&self, path: &[u8], flags: AtFlags) -> Result<()> {
        let (parent, name) = split(path);
        check_name(name)?;
        let opening = OFlags::PATH | OFlags::DIRECTORY;
        let removed = open_beneath(self.root.as_fd(), parent, opening, Mode::empty())
            .and_then(|parent| unlinkat(&parent, name, flags));
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(path, "cannot be removed", error)),
        }
    }
}

/// A directory that is being emptied.
struct Level {
    name: Vec<u8>,
    device: u64,
    inode: u64,
    /// Those in it that are left.
    directories: Vec<Vec<u8>>,
}

/// Empties a directory. One descriptor is open at a time, whatever the depth: the way up leads through `..`, and whether that is still
/// the directory that it came down from is looked at.
fn remove_content(top: OwnedFd) -> rustix::io::Result<u64> {
    let mut removed = 0;
    let mut levels = vec![remove_files(&top, Vec::new(), &mut removed)?];
    let mut current = top;
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.directories.pop() {
            let flags = reading() | OFlags::NOFOLLOW;
            current = openat(&current, name.as_slice(), flags, Mode::empty())?;
            levels.push(remove_files(&current, name, &mut removed)?);
            continue;
        }
        let emptied = levels.pop();
        if let (Some(emptied), Some(above)) = (emptied, levels.last()) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            current = openat(&current, c"..", flags, Mode::empty())?;
            let found = Metadata::of_file(&current)?;
            if (found.device, found.inode) != (above.device, above.inode) {
                // Somebody moved it away in the meantime.
                return Err(Errno::NOENT);
            }
            unlinkat(&current, emptied.name.as_slice(), AtFlags::REMOVEDIR)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes what is no directory from a directory.
fn remove_files(
    directory: &OwnedFd,
    name: Vec<u8>,
    removed: &mut u64,
) -> rustix::io::Result<Level> {
    if is_mounted(directory) {
        return Err(Errno::BUSY);
    }
    let metadata = Metadata::of_file(directory)?;
    let mut level = Level {
        name,
        device: metadata.device,
        inode: metadata.inode,
        directories: Vec::new(),
    };
    for (name, node_type) in read_entries(directory)? {
        if node_type == NodeType::Dir {
            level.directories.push(name);
            continue;
        }
        match unlinkat(directory, name.as_slice(), AtFlags::empty()) {
            Ok(()) => *removed += 1,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(level)
}

fn reading() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// Whether a file system is mounted at this directory. A kernel before 5.8 does not say.
fn is_mounted(directory: &OwnedFd) -> bool {
    statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
