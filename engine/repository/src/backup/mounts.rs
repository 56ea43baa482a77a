//! What is mounted at a directory that is backed up, and below it: whether it is what has to be there, and what the next backup is told.

use super::manifest::Folder;
use super::tree::Ground;
use crate::source::Tree;
use crate::walk::{Directory, Walk};
use crate::{Error, ErrorKind, Result};

/// More mount points are not noted.
const MOST: usize = 1000;

/// What is mounted at a directory and below it.
pub(crate) struct Mounts {
    pub(crate) folder: Folder,
    /// Paths where something was mounted the last time.
    before: Vec<String>,
    /// Those of them that are empty directories now.
    pub(crate) unmounted: Vec<String>,
}

impl Mounts {
    /// Looks at the root. Fails where something has to be mounted there, and nothing is.
    pub(crate) fn begin(tree: &Tree, walk: &Walk, ground: &Ground<'_>) -> Result<Self> {
        let is_mount_point = walk.is_root_mount_point();
        if ground.must_be_mount_point && is_mount_point == Some(false) {
            let error = Error::new(
                ErrorKind::NotFound,
                "nothing is mounted there, and expect_mount is set",
            );
            return Err(error
                .on(tree.root.display())
                .hint("mount what belongs there; if the directory itself is meant, take expect_mount out of the source's table"));
        }
        Ok(Self {
            folder: Folder {
                path: String::new(),
                root: tree.root.to_string_lossy().into_owned(),
                device: walk.root_metadata().device,
                is_mount_point,
                mounts: Vec::new(),
            },
            before: ground.mounts_before.to_vec(),
            unmounted: Vec::new(),
        })
    }

    /// Looks at a directory that was listed.
    pub(crate) fn see(&mut self, directory: &Directory, is_empty: bool) {
        let Some(above) = directory.parent() else {
            return;
        };
        let is_mount_point = directory.device() != above.device();
        let is_of_interest = match is_mount_point {
            true => !is_empty && self.folder.mounts.len() < MOST,
            false => is_empty && !self.before.is_empty(),
        };
        if !is_of_interest {
            return;
        }
        let Ok(path) = String::from_utf8(directory.path()) else {
            return;
        };
        if is_mount_point {
            self.folder.mounts.push(path);
        } else if self.before.contains(&path) {
            let root = self.folder.root.trim_end_matches('/');
            self.unmounted.push(format!("{root}/{path}"));
        }
    }
}
