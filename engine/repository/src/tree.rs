//! restic's tree objects: in come the bytes of a tree blob or the nodes of a directory, out go nodes or exactly the bytes that restic
//! would have written for them.

mod decode;
mod encode;
mod quote;
mod time;

use std::sync::Arc;

use crate::{Error, Id, Result};

pub use encode::TreeEncoder;
pub use time::FileTime;

/// The content of one directory: nodes with unique names, sorted by the bytes of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Sorted by name.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// The blob's bytes, as Go's `encoding/json` prints restic's structures, newline included.
    ///
    /// Fails on names that are not strictly ascending or that no directory could hold; see [`TreeEncoder`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut encoder = TreeEncoder::new(Vec::with_capacity(32 + self.nodes.len() * 400));
        for node in &self.nodes {
            encoder.push(node)?;
        }
        Ok(encoder.finish())
    }

    /// Reads a tree blob. Nothing in it is trusted: a name that is empty, `.` or `..`, that holds `/` or NUL, or that is not greater than
    /// the one before it fails with [`ErrorKind::Corrupted`](crate::ErrorKind::Corrupted).
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode::tree(bytes)
    }

    /// The node of that name.
    pub fn find(&self, name: &[u8]) -> Option<&Node> {
        let at = self
            .nodes
            .binary_search_by(|node| node.name.as_slice().cmp(name))
            .ok()?;
        self.nodes.get(at)
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum NodeType {
    /// A regular file: `content` names its blobs.
    #[default]
    File,
    /// A directory: `subtree` names its tree.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Dev,
    /// A character device.
    CharDev,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// Something that restic could only name (on Windows).
    Irregular,
}

impl NodeType {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::File, "file"),
        (Self::Dir, "dir"),
        (Self::Symlink, "symlink"),
        (Self::Dev, "dev"),
        (Self::CharDev, "chardev"),
        (Self::Fifo, "fifo"),
        (Self::Socket, "socket"),
        (Self::Irregular, "irregular"),
    ];

    /// restic's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Dev => "dev",
            Self::CharDev => "chardev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Irregular => "irregular",
        }
    }

    /// From restic's word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(node_type, _)| *node_type)
    }

    /// From the type bits of `st_mode`.
    pub fn from_unix(st_mode: u32) -> Self {
        match st_mode & unix::FORMAT {
            unix::DIRECTORY => Self::Dir,
            unix::SYMLINK => Self::Symlink,
            unix::BLOCK_DEVICE => Self::Dev,
            unix::CHARACTER_DEVICE => Self::CharDev,
            unix::FIFO => Self::Fifo,
            unix::SOCKET => Self::Socket,
            unix::REGULAR => Self::File,
            _ => Self::Irregular,
        }
    }
}

/// A file, directory or other entry of a directory.
///
/// Times compare as instants; the offset they are written with does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// File name, any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// What it is.
    pub node_type: NodeType,
    /// Go's `os.FileMode` bits, type included; see [`mode_from_unix`] and [`Node::permissions`].
    pub mode: u32,
    /// Last change of the content.
    pub mtime: FileTime,
    /// Last access.
    pub atime: FileTime,
    /// Last change of the inode.
    pub ctime: FileTime,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Owner's name, empty if unknown.
    pub user: Arc<str>,
    /// Group's name, empty if unknown.
    pub group: Arc<str>,
    /// Inode number, 0 if unknown.
    pub inode: u64,
    /// `st_dev`, 0 unless the file has several hard links (restic 0.19's rule: it changes at every boot on some systems).
    pub device_id: u64,
    /// Bytes of a regular file.
    pub size: u64,
    /// Number of hard links, 0 where it is not kept.
    pub links: u64,
    /// Where a symbolic link points, any bytes. restic's `linktarget` and `linktarget_raw` are both derived from it.
    pub linktarget: Vec<u8>,
    /// Extended attributes, ACLs among them, in the system's order.
    pub extended_attributes: Vec<ExtendedAttribute>,
    /// restic's `generic_attributes` (of Windows), as JSON; kept so that nothing is lost.
    pub generic_attributes: Option<Box<[u8]>>,
    /// `st_rdev` of a device.
    pub device: u64,
    /// Blobs of a regular file in order. An empty file has an empty list; anything that is no file has `None`.
    pub content: Option<Vec<Id>>,
    /// Tree of a directory.
    pub subtree: Option<Id>,
    /// What restic could not read.
    pub error: String,
}

impl Node {
    /// An empty node of that name and type.
    pub fn new(name: impl Into<Vec<u8>>, node_type: NodeType) -> Self {
        Self {
            name: name.into(),
            node_type,
            content: (node_type == NodeType::File).then(Vec::new),
            mode: type_bits(node_type),
            ..Self::default()
        }
    }

    /// Unix permission bits with setuid, setgid and sticky (`07777`).
    pub fn permissions(&self) -> u32 {
        mode_to_unix(self.mode)
    }

    /// Sets the Unix permission bits, and the type bits after `node_type`.
    pub fn set_permissions(&mut self, permissions: u32) {
        self.mode = type_bits(self.node_type) | permission_bits(permissions);
    }
}

/// An extended attribute of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedAttribute {
    /// Such as `user.comment` or `system.posix_acl_access`.
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// Bits of `st_mode`, the same on every Linux.
pub(crate) mod unix {
    pub(crate) const FORMAT: u32 = 0o170_000;
    pub(crate) const SOCKET: u32 = 0o140_000;
    pub(crate) const SYMLINK: u32 = 0o120_000;
    pub(crate) const REGULAR: u32 = 0o100_000;
    pub(crate) const BLOCK_DEVICE: u32 = 0o060_000;
    pub(crate) const DIRECTORY: u32 = 0o040_000;
    pub(crate) const CHARACTER_DEVICE: u32 = 0o020_000;
    pub(crate) const FIFO: u32 = 0o010_000;
    pub(crate) const SETUID: u32 = 0o4000;
    pub(crate) const SETGID: u32 = 0o2000;
    pub(crate) const STICKY: u32 = 0o1000;
}

/// Bits of Go's `os.FileMode`.
mod go {
    pub(super) const DIR: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const NAMED_PIPE: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHAR_DEVICE: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
    pub(super) const IRREGULAR: u32 = 1 << 19;
    pub(super) const PERMISSIONS: u32 = 0o777;
}

/// Pairs of a bit in `st_mode` and the same in Go's mode.
const SPECIAL_BITS: [(u32, u32); 3] = [
    (unix::SETUID, go::SETUID),
    (unix::SETGID, go::SETGID),
    (unix::STICKY, go::STICKY),
];

/// Go's `os.FileMode` for a whole `st_mode`.
pub fn mode_from_unix(st_mode: u32) -> u32 {
    type_bits(NodeType::from_unix(st_mode)) | permission_bits(st_mode)
}

/// The Unix permission bits (`07777`) of Go's `os.FileMode`.
pub fn mode_to_unix(mode: u32) -> u32 {
    let special = SPECIAL_BITS
        .iter()
        .filter(|(_, go)| mode & go != 0)
        .fold(0, |bits, (unix, _)| bits | unix);
    mode & go::PERMISSIONS | special
}

fn permission_bits(st_mode: u32) -> u32 {
    let special = SPECIAL_BITS
        .iter()
        .filter(|(unix, _)| st_mode & unix != 0)
        .fold(0, |bits, (_, go)| bits | go);
    st_mode & go::PERMISSIONS | special
}

fn type_bits(node_type: NodeType) -> u32 {
    match node_type {
        NodeType::File => 0,
        NodeType::Dir => go::DIR,
        NodeType::Symlink => go::SYMLINK,
        NodeType::Dev => go::DEVICE,
        NodeType::CharDev => go::DEVICE | go::CHAR_DEVICE,
        NodeType::Fifo => go::NAMED_PIPE,
        NodeType::Socket => go::SOCKET,
        NodeType::Irregular => go::IRREGULAR,
    }
}

/// Refuses what is no name of a directory entry: with it a hostile tree would reach outside of the directory that it is restored to.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    let wrong = name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|byte| matches!(byte, b'/' | 0));
    if wrong {
        return Err(Error::corrupted(format!(
            "'{}' is no file name",
            name.escape_ascii()
        )));
    }
    Ok(())
}

/// Refuses a name that does not come after the one before it.
fn check_order(previous: &[u8], name: &[u8]) -> Result<()> {
    if name > previous {
        return Ok(());
    }
    Err(Error::corrupted(format!(
        "file name '{}' comes after '{}': names must be sorted and unique",
        name.escape_ascii(),
        previous.escape_ascii()
    )))
}

#[cfg(test)]
mod tests;
