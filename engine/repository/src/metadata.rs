//! What a file system knows of a file besides its content: read into a [`Node`](crate::tree::Node) when it is backed up, and set again when
//! it is restored.

mod apply;
mod attributes;
mod owners;
mod read;

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Stat};

use crate::tree::{FileTime, NodeType};

pub use apply::MetadataWriter;
pub(crate) use attributes::path_of_file;
pub use read::NodeReader;

/// What one `fstatat` tells of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// `st_mode`: type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Bytes; of a symbolic link the length of its target.
    pub size: u64,
    /// Bytes that are allocated, in 512: less than `size` where the file has holes.
    pub blocks: u64,
    /// Inode number.
    pub inode: u64,
    /// `st_dev`: the file system.
    pub device: u64,
    /// `st_rdev`: which device a device file is.
    pub special_device: u64,
    /// Hard links.
    pub links: u64,
    /// Last change of the content.
    pub mtime: FileTime,
    /// Last access.
    pub atime: FileTime,
    /// Last change of the inode.
    pub ctime: FileTime,
}

impl Metadata {
    /// Of an entry of an open directory. A symbolic link is not followed, an automount not triggered.
    pub fn of_entry(directory: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        rustix::fs::statat(directory, name, flags).map(|stat| Self::from(&stat))
    }

    /// Of an open file.
    pub fn of_file(file: impl AsFd) -> rustix::io::Result<Self> {
        rustix::fs::fstat(file).map(|stat| Self::from(&stat))
    }

    /// What it is.
    pub fn node_type(&self) -> NodeType {
        NodeType::from_unix(self.mode)
    }

    /// Whether the file has (or may have) holes.
    pub fn is_sparse(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }
}

impl From<&Stat> for Metadata {
    #[expect(
        clippy::unnecessary_cast,
        reason = "the fields' types differ between architectures"
    )]
    fn from(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
            special_device: stat.st_rdev as u64,
            links: stat.st_nlink as u64,
            mtime: FileTime::new(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            atime: FileTime::new(stat.st_atime as i64, stat.st_atime_nsec as u32),
            ctime: FileTime::new(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        }
    }
}

#[cfg(test)]
mod tests;
