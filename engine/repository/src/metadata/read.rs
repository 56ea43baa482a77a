//! A directory entry in, its [`Node`] out: all but the content.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::RwLock;

use rustix::io::Errno;

use super::owners::Owners;
use super::{Metadata, attributes};
use crate::tree::{ExtendedAttribute, Node, NodeType, mode_from_unix};
use crate::{Error, Result};

/// Makes nodes of host files. Shared by all threads of a backup.
#[derive(Debug, Default)]
pub struct NodeReader {
    owners: Owners,
    /// `st_dev` of file systems that know no extended attributes.
    without_attributes: RwLock<HashSet<u64>>,
}

impl NodeReader {
    /// A reader that has asked nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The node of the entry `name` of an open directory (`.` for the directory itself, whose node the caller must name).
    ///
    /// The content of a file is empty and the subtree of a directory missing: those are the caller's. Fails where the target of a
    /// symbolic link cannot be read. Extended attributes that cannot be read are no reason to lose the file: they are missing in the
    /// node, and the error is given along.
    pub fn node(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        metadata: &Metadata,
    ) -> Result<(Node, Option<Error>)> {
        let node_type = metadata.node_type();
        let mut node = Node {
            mode: mode_from_unix(metadata.mode),
            mtime: metadata.mtime,
            atime: metadata.atime,
            ctime: metadata.ctime,
            uid: metadata.uid,
            gid: metadata.gid,
            user: self.owners.user(metadata.uid),
            group: self.owners.group(metadata.gid),
            inode: metadata.inode,
            ..Node::new(name, node_type)
        };
        // What restic keeps of which type; a directory's links count its sub-directories and say nothing.
        match node_type {
            NodeType::File => node.size = metadata.size,
            NodeType::Dev | NodeType::CharDev => node.device = metadata.special_device,
            NodeType::Symlink => {
                node.linktarget = rustix::fs::readlinkat(directory, name, Vec::new())
                    .map_err(|error| Error::io("symbolic link cannot be read", error.into()))?
                    .into_bytes();
            }
            _ => {}
        }
        if matches!(
            node_type,
            NodeType::File | NodeType::Symlink | NodeType::Dev | NodeType::CharDev
        ) {
            node.links = metadata.links;
            if metadata.links > 1 {
                node.device_id = metadata.device;
            }
        }
        match self.attributes(directory, name, metadata.device) {
            Ok(attributes) => {
                node.extended_attributes = attributes;
                Ok((node, None))
            }
            Err(error) => {
                let error = Error::io("extended attributes cannot be read", error.into());
                Ok((node, Some(error)))
            }
        }
    }

    fn attributes(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        device: u64,
    ) -> rustix::io::Result<Vec<ExtendedAttribute>> {
        if self
            .without_attributes
            .read()
            .is_ok_and(|devices| devices.contains(&device))
        {
            return Ok(Vec::new());
        }
        let path = attributes::path_of_entry(directory, name);
        let read = attributes::read(
            |buffer| rustix::fs::llistxattr(&path, buffer),
            |name, buffer| rustix::fs::lgetxattr(&path, name, buffer),
        );
        match read {
            Err(Errno::NOTSUP) => {
                if let Ok(mut devices) = self.without_attributes.write() {
                    devices.insert(device);
                }
                Ok(Vec::new())
            }
            other => other,
        }
    }
}
