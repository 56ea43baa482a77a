//! Where a restore makes its files: each under a name that says that it is not whole, and under its own when nothing is missing of it.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use nix::unistd;

use super::content::FileSink;
use super::sparse::write_with_holes;
use crate::metadata::{Metadata, MetadataWriter, NodeReader};
use crate::target_root::temporary::beside;
use crate::target_root::{TargetRoot, is_in_the_making};
use crate::tree::{Node, NodeType};
use crate::{Error, ErrorKind, Result};

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// What files are made in.
pub(super) struct Target {
    pub(super) root: TargetRoot,
    pub(super) metadata: MetadataWriter,
    /// Whether what is there may be replaced.
    pub(super) replaces: bool,
    /// Whether what the backup does not hold may go.
    pub(super) deletes_extra: bool,
}

impl FileSink for Target {
    fn create(&self, path: &[u8]) -> Result<(Vec<u8>, File)> {
        let beside = beside(path)?;
        let file = self.root.create_file(&beside)?;
        Ok((beside, file))
    }

    fn reopen(&self, beside: &[u8]) -> Result<File> {
        self.root.open_file(beside)
    }

    fn complete(&self, path: &[u8], beside: &[u8], file: File, node: &Node) -> Result<()> {
        self.metadata.apply_to_file(&file, node)?;
        close(file)?;
        self.put_in_place(beside, path)
    }

    fn abandon(&self, beside: &[u8]) {
        // It could be made here, so that it can be removed, unless everything changed meanwhile. Then the next restore does it.
        let _ = self.root.remove(beside);
    }
}

impl Target {
    /// A file without content.
    pub(super) fn make_empty(&self, path: &[u8], node: &Node) -> Result<()> {
        let (beside, file) = self.create(path)?;
        self.complete(path, &beside, file, node)
            .inspect_err(|_| self.abandon(&beside))
    }

    /// A symbolic link, pipe or device. False where this process may not make it.
    pub(super) fn make_special(&self, path: &[u8], node: &Node) -> Result<bool> {
        let beside = beside(path)?;
        let (directory, name) = self.root.parent(&beside)?;
        let made = self
            .metadata
            .create_special(directory.as_fd(), name, node)
            .and_then(|is_made| {
                if is_made {
                    self.put_in_place(&beside, path)?;
                }
                Ok(is_made)
            });
        made.inspect_err(|_| self.abandon(&beside))
    }

    /// Makes `path` another name of the file `first`, or a copy of it where that cannot be: then the reason comes out.
    pub(super) fn link(&self, first: &[u8], path: &[u8]) -> Result<Option<Error>> {
        let linked = match self.root.hard_link(first, path) {
            Err(error) if self.replaces && error.kind() == ErrorKind::AlreadyExists => {
                self.link_over(first, path)
            }
            linked => linked,
        };
        match linked {
            Err(error) if is_no_link(&error) => {
                self.copy(first, path)?;
                Ok(Some(error))
            }
            linked => linked.map(|()| None),
        }
    }

    /// Where something is there. Two names of the same file stay what they are, and the one that is too much goes.
    fn link_over(&self, first: &[u8], path: &[u8]) -> Result<()> {
        let beside = beside(path)?;
        self.root.hard_link(first, &beside)?;
        let placed = self.put_in_place(&beside, path);
        self.abandon(&beside);
        placed
    }

    /// A file with the content and the metadata of another one.
    fn copy(&self, first: &[u8], path: &[u8]) -> Result<()> {
        let from = self.root.read_file(first)?;
        let (directory, name) = self.root.parent(first)?;
        let found = self.root.metadata(first)?;
        let found = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "is gone"))?;
        let (node, _) = NodeReader::new().node(directory.as_fd(), name, &found)?;
        let (beside, to) = self.create(path)?;
        copy_content(&from, &to, node.size)
            .and_then(|()| self.complete(path, &beside, to, &node))
            .inspect_err(|_| self.abandon(&beside))
    }

    /// A directory, which is there already or is made; what was there comes out. Something else in its place goes where it may be replaced.
    pub(super) fn make_directory(&self, path: &[u8]) -> Result<Option<Metadata>> {
        match self.root.create_dir(path) {
            Err(error) if self.replaces && error.kind() == ErrorKind::AlreadyExists => {
                self.root.remove(path)?;
                self.root.create_dir(path)
            }
            made => made,
        }
    }

    /// What files a folder in the way holds were not asked about: `replaces` is about files that the backup holds too.
    fn put_in_place(&self, beside: &[u8], path: &[u8]) -> Result<()> {
        match self.root.put_in_place(beside, path, self.replaces) {
            Err(error) if self.replaces && self.is_directory(path) => {
                let removed = match self.deletes_extra {
                    true => self.root.remove_all(path).map(drop),
                    false => self.root.remove_empty(path),
                };
                removed.map_err(|reason| {
                    let problem = format!("{}: {reason}", error.message());
                    Error::new(error.kind(), problem).caused_by(reason)
                })?;
                self.root.put_in_place(beside, path, true)
            }
            placed => placed,
        }
    }

    fn is_directory(&self, path: &[u8]) -> bool {
        let found = self.root.metadata(path).ok().flatten();
        found.is_some_and(|found| found.node_type() == NodeType::Dir)
    }
}

/// Whether a directory that is there has what the backup says, so that it is as a restore left it. The sticky bit may be left of the making.
pub(super) fn is_as_restored(found: &Metadata, node: &Node) -> bool {
    let sticky = 0o1000;
    is_in_the_making(found)
        || (found.mtime == node.mtime
            && found.mode & 0o7777 | sticky == node.permissions() | sticky
            && (found.uid, found.gid) == (node.uid, node.gid))
}

/// Whether there can be no link, and a copy may do.
fn is_no_link(error: &Error) -> bool {
    use rustix::io::Errno;
    let refusals = [
        Errno::MLINK,
        Errno::PERM,
        Errno::XDEV,
        Errno::NOTSUP,
        Errno::NOSYS,
    ];
    let number = super::refused::os_error(error);
    number.is_some_and(|number| refusals.iter().any(|it| it.raw_os_error() == number))
}

fn copy_content(from: &File, to: &File, size: u64) -> Result<()> {
    let failed = |error| Error::io("cannot be copied", error);
    to.set_len(size).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    let mut position = 0;
    loop {
        let count = from.read_at(&mut piece, position).map_err(failed)?;
        let read = piece.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        write_with_holes(to, read, position).map_err(failed)?;
        position += count as u64;
    }
}

/// Network file systems say only here that there was no room for what was written.
pub(super) fn close(file: File) -> Result<()> {
    unistd::close(file).map_err(|error| Error::io("cannot be written", error.into()))
}
