//! Opening files to back them up.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// Opens the entry `name` of an open directory for reading, without changing its access time where that is allowed.
///
/// A symbolic link is not followed, and what became a named pipe in the meantime does not block.
pub fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    without_access_time(flags, |flags| {
        rustix::fs::openat(directory, name, flags, Mode::empty())
    })
    .map(File::from)
    .map_err(|error| Error::io("cannot be opened", error.into()))
}

/// Only a file's owner and root may open it with `O_NOATIME`.
pub(super) fn without_access_time(
    flags: OFlags,
    open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<OwnedFd> {
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    }
}
