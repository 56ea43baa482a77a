//! Removing what is in the way of a restore, or what the backup does not hold.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};
use rustix::io::Errno;

use super::TargetRoot;
use crate::Result;
use crate::beneath::open_beneath;
use crate::tree::NodeType;

impl TargetRoot {
    /// Removes a file, link or whatever is no directory. What is not there is removed already.
    pub fn remove(&self, path: &[u8]) -> Result<()> {
        self.unlink(path, AtFlags::empty())
    }

    /// Removes whatever is at `path`, with all that lies in it, however deep. Returns how many entries that were.
    pub fn remove_all(&self, path: &[u8]) -> Result<u64> {
        match self.metadata(path)?.map(|found| found.node_type()) {
            None => return Ok(0),
            Some(NodeType::Dir) => {}
            Some(_) => return self.remove(path).map(|()| 1),
        }
        self.forget(path);
        let mut removed = 0;
        // The path so far is one buffer; each level remembers its length, and the directories in it that remain.
        let mut current = path.to_vec();
        let mut levels = vec![(current.len(), self.remove_files(&current, &mut removed)?)];
        while let Some((length, directories)) = levels.last_mut() {
            current.truncate(*length);
            if let Some(name) = directories.pop() {
                current.push(b'/');
                current.extend_from_slice(&name);
                let directories = self.remove_files(&current, &mut removed)?;
                levels.push((current.len(), directories));
            } else {
                self.unlink(&current, AtFlags::REMOVEDIR)?;
                removed += 1;
                levels.pop();
            }
        }
        Ok(removed)
    }

    /// Removes what is no directory from a directory, and returns the names of the directories.
    fn remove_files(&self, path: &[u8], removed: &mut u64) -> Result<Vec<Vec<u8>>> {
        let opened = self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        let mut directories = Vec::new();
        for (name, node_type) in self.list(path)? {
            if node_type == NodeType::Dir {
                directories.push(name);
                continue;
            }
            match unlinkat(&opened, name.as_slice(), AtFlags::empty()) {
                Ok(()) => *removed += 1,
                Err(Errno::NOENT) => {}
                Err(error) => {
                    let path = [path, &name].join(&b'/');
                    return Err(self.failed(&path, "cannot be removed", error));
                }
            }
        }
        Ok(directories)
    }

    fn unlink(&self, path: &[u8], flags: AtFlags) -> Result<()> {
        let (parent, name) = super::split(path);
        crate::tree::check_name(name)?;
        let opening = OFlags::PATH | OFlags::DIRECTORY;
        let removed = open_beneath(self.root.as_fd(), parent, opening, Mode::empty())
            .and_then(|parent| unlinkat(&parent, name, flags));
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(path, "cannot be removed", error)),
        }
    }
}
