//! A [`Node`] in, its owner, attributes, mode and times set on a file; and the files that have no content: links, pipes, devices.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chmod, chownat, fchmod,
    fchown, futimens, mknodat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::Metadata;
use super::attributes::{Place, path_of_file};
use crate::tree::{Node, NodeType, check_name};
use crate::{Error, ErrorKind, Result};

/// Sets metadata on restored files. Shared by all threads of a restore.
///
/// Every path that it touches is one name in an open directory, and no symbolic link is followed: a hostile tree cannot reach outside.
#[derive(Debug, Default)]
pub struct MetadataWriter {
    /// What could not be set and need not fail the restore, with the number of files.
    shortfalls: Mutex<BTreeMap<String, u64>>,
}

impl MetadataWriter {
    /// A writer with nothing to complain about yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets everything on an open file or directory, which may be opened with `O_PATH` (that needs `/proc`). The content must be written
    /// before: writing changes times and clears setuid and capabilities.
    ///
    /// Owners and attributes that the system refuses are counted in [`warnings`](Self::warnings); what else fails is an error.
    pub fn apply_to_file(&self, file: impl AsFd, node: &Node) -> Result<()> {
        let file = file.as_fd();
        let owned = match self.set_owner(node, |uid, gid| fchown(file, uid, gid)) {
            Err(Errno::BADF) => return self.apply_by_path(file, node),
            owned => owned.map_err(failed("owner cannot be set"))?,
        };
        self.set_attributes(&Place::File(file), node);
        fchmod(file, permissions(node, owned)).map_err(failed("mode cannot be set"))?;
        futimens(file, &times(node)).map_err(failed("times cannot be set"))
    }

    /// Sets everything on the entry `name` of an open directory, whatever its type. Needs `/proc`.
    ///
    /// Fails with [`ErrorKind::AlreadyExists`] where the entry is of another type than the node.
    pub fn apply(&self, directory: BorrowedFd<'_>, name: &[u8], node: &Node) -> Result<()> {
        check_name(name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat(directory, name, flags, Mode::empty())
            .map_err(failed("cannot be opened"))?;
        self.apply_by_path(entry.as_fd(), node)
    }

    /// The file was opened with `O_PATH`, so that it could be of any type and nothing happened to it.
    fn apply_by_path(&self, file: BorrowedFd<'_>, node: &Node) -> Result<()> {
        let found = Metadata::of_file(file).map_err(failed("cannot be examined"))?;
        if found.node_type() != node.node_type {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "is a {}, not a {}",
                    found.node_type().as_str(),
                    node.node_type.as_str()
                ),
            ));
        }
        let owned = self
            .set_owner(node, |uid, gid| {
                chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH)
            })
            .map_err(failed("owner cannot be set"))?;
        let path = path_of_file(file);
        self.set_attributes(&Place::Path(path.clone()), node);
        if node.node_type != NodeType::Symlink {
            chmod(&path, permissions(node, owned)).map_err(failed("mode cannot be set"))?;
        }
        utimensat(rustix::fs::CWD, &path, &times(node), AtFlags::empty())
            .map_err(failed("times cannot be set"))
    }

    /// Makes a symbolic link, pipe or device named `name` in an open directory, and gives it the node's metadata. False for a socket, which
    /// only its server can make, and for a device that this process may not make (counted in [`warnings`](Self::warnings)).
    ///
    /// Fails with [`ErrorKind::AlreadyExists`] where there is something of that name.
    pub fn create_special(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        node: &Node,
    ) -> Result<bool> {
        check_name(name)?;
        let make = |file_type, device| {
            mknodat(directory, name, file_type, Mode::RUSR | Mode::WUSR, device)
        };
        let made = match node.node_type {
            NodeType::Symlink => symlinkat(node.linktarget.as_slice(), directory, name),
            NodeType::Fifo => make(FileType::Fifo, 0),
            NodeType::Dev => make(FileType::BlockDevice, node.device),
            NodeType::CharDev => make(FileType::CharacterDevice, node.device),
            NodeType::Socket => return Ok(false),
            NodeType::File | NodeType::Dir | NodeType::Irregular => Err(Errno::INVAL),
        };
        match (made, node.node_type) {
            (Err(Errno::PERM), NodeType::Dev | NodeType::CharDev) => {
                self.fall_short("a device file was not made: only root may".to_owned());
                Ok(false)
            }
            (Err(error), node_type) => {
                let message = format!("{} cannot be made", node_type.as_str());
                Err(Error::io(message, error.into()))
            }
            (Ok(()), _) => {
                self.apply(directory, name, node)?;
                Ok(true)
            }
        }
    }

    /// What could not be restored, one line for each reason with the number of files.
    pub fn warnings(&self) -> Vec<String> {
        let Ok(shortfalls) = self.shortfalls.lock() else {
            return Vec::new();
        };
        shortfalls
            .iter()
            .map(|(reason, files)| match files {
                1 => format!("{reason} (1 file)"),
                _ => format!("{reason} ({files} files)"),
            })
            .collect()
    }

    fn fall_short(&self, reason: String) {
        if let Ok(mut shortfalls) = self.shortfalls.lock() {
            *shortfalls.entry(reason).or_default() += 1;
        }
    }

    /// Comes first: it clears setuid, setgid and capabilities. Who may not give files away still sets the group where that is allowed.
    /// Says whether the owner is the node's.
    fn set_owner(
        &self,
        node: &Node,
        chown: impl Fn(Option<Uid>, Option<Gid>) -> rustix::io::Result<()>,
    ) -> rustix::io::Result<bool> {
        // The highest number means "leave as it is" to the kernel and is nobody's.
        if node.uid == u32::MAX || node.gid == u32::MAX {
            self.fall_short("the owner was not restored: its number is no user's".to_owned());
            return Ok(false);
        }
        let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
        match chown(Some(uid), Some(gid)) {
            // EINVAL: the user namespace of a container knows no such owner.
            Err(Errno::PERM | Errno::INVAL) => {
                let _ = chown(None, Some(gid));
                self.fall_short("the owner was not restored: only root may".to_owned());
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    /// Comes before the mode, which may take away the right to it, and which sets the same mask that an ACL has.
    fn set_attributes(&self, place: &Place<'_>, node: &Node) {
        let wanted = &node.extended_attributes;
        for attribute in wanted {
            if let Err(error) = place.set(&attribute.name, &attribute.value) {
                self.fall_short(format!(
                    "extended attribute {} was not restored: {}",
                    attribute.name.escape_ascii(),
                    reason(error)
                ));
            }
        }
        // A new file may have inherited an ACL, and an old one may have had attributes that the backup lacks. Others than these two
        // kinds are the system's business.
        for name in place.names().unwrap_or_default() {
            let ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
            if ours && !wanted.iter().any(|attribute| attribute.name == name) {
                let _ = place.remove(&name);
            }
        }
    }
}

/// A program that ran as its owner must not run as whoever restored it, so that setuid and setgid are only for the right owner.
fn permissions(node: &Node, owned: bool) -> Mode {
    let kept = if owned { 0o7777 } else { 0o1777 };
    Mode::from_raw_mode(node.permissions() & kept)
}

fn times(node: &Node) -> Timestamps {
    let time = |time: crate::tree::FileTime| Timespec {
        tv_sec: time.seconds,
        tv_nsec: i64::from(time.nanoseconds),
    };
    Timestamps {
        last_access: time(node.atime),
        last_modification: time(node.mtime),
    }
}

fn failed(message: &str) -> impl Fn(Errno) -> Error + '_ {
    move |error| Error::io(message, error.into())
}

fn reason(error: Errno) -> String {
    let error = Error::io("", error.into());
    error.message().trim_start_matches(": ").to_owned()
}
