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
use crate::tree::{ExtendedAttribute, Node, NodeType, check_name};
use crate::{Error, ErrorKind, Result};

/// Who beside the owner may use a file.
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

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
    /// What the system refuses, or the file system does not know, is counted in [`warnings`](Self::warnings); what else fails is an error.
    pub fn apply_to_file(&self, file: impl AsFd, node: &Node) -> Result<()> {
        let file = file.as_fd();
        let owned = match self.set_owner(node, |uid, gid| fchown(file, uid, gid)) {
            Err(Errno::BADF) => return self.apply_by_path(file, node),
            owned => owned.map_err(failed("owner cannot be set"))?,
        };
        let place = Place::File(file);
        self.set_attributes(&place, node)?;
        self.set("times", || futimens(file, &times(node)))?;
        self.set_access_list(&place, node)?;
        self.set("mode", || fchmod(file, permissions(node, owned)))
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
    ///
    /// The mode comes last: until then a directory can be told to be one that a restore did not finish.
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
        let place = Place::Path(path.clone());
        self.set_attributes(&place, node)?;
        self.set("times", || {
            utimensat(rustix::fs::CWD, &path, &times(node), AtFlags::empty())
        })?;
        if node.node_type == NodeType::Symlink {
            return Ok(());
        }
        self.set_access_list(&place, node)?;
        self.set("mode", || chmod(&path, permissions(node, owned)))
    }

    /// What a file system without such a thing, or one that is somebody else's, refuses is no reason to lose the file.
    fn set(&self, what: &str, set: impl Fn() -> rustix::io::Result<()>) -> Result<()> {
        match set() {
            Ok(()) => Ok(()),
            Err(
                error @ (Errno::PERM
                | Errno::NOTSUP
                | Errno::NOSYS
                | Errno::INVAL
                | Errno::RANGE
                | Errno::OVERFLOW),
            ) => {
                self.fall_short(format!("the {what} was not restored: {}", reason(error)));
                Ok(())
            }
            Err(error) => Err(failed(&format!("{what} cannot be set"))(error)),
        }
    }

    /// Makes a symbolic link, pipe or device named `name` in an open directory, and gives it the node's metadata. False for a socket, which
    /// only its server can make, and for a device that this process may not make.
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
            (Err(Errno::PERM), NodeType::Dev | NodeType::CharDev) => Ok(false),
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

    /// All but the list of who may use a file. Comes before the mode, which may take away the right to it.
    fn set_attributes(&self, place: &Place<'_>, node: &Node) -> Result<()> {
        let wanted = &node.extended_attributes;
        for attribute in wanted.iter().filter(|it| it.name != ACCESS_LIST) {
            self.set_attribute(place, attribute)?;
        }
        // A new file may have inherited an ACL, and an old one may have had attributes that the backup lacks. Others than these two
        // kinds are the system's business.
        for name in place.names().unwrap_or_default() {
            let ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
            if ours && !wanted.iter().any(|attribute| attribute.name == name) {
                let _ = place.remove(&name);
            }
        }
        Ok(())
    }

    /// Sets the same bits as the mode, which comes right after it.
    fn set_access_list(&self, place: &Place<'_>, node: &Node) -> Result<()> {
        let attributes = node.extended_attributes.iter();
        let mut lists = attributes.filter(|it| it.name == ACCESS_LIST);
        lists.try_for_each(|list| self.set_attribute(place, list))
    }

    fn set_attribute(&self, place: &Place<'_>, attribute: &ExtendedAttribute) -> Result<()> {
        match place.set(&attribute.name, &attribute.value) {
            Ok(()) => Ok(()),
            // It says the same of an attribute that is too large for it, which is no reason to lose the file.
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) if place.is_full() => {
                Err(failed("extended attribute cannot be set")(error))
            }
            Err(error) => {
                self.fall_short(format!(
                    "extended attribute {} was not restored: {}",
                    attribute.name.escape_ascii(),
                    reason(error)
                ));
                Ok(())
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
