//! Extended attributes, ACLs among them, of any kind of file by way of a path under `/proc/self/fd`: it leads to the file of an open
//! descriptor, or to an entry of an open directory, with no other path in between that someone could exchange.

use std::fmt::Write as _;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::XattrFlags;
use rustix::io::{Errno, Result};

use crate::tree::ExtendedAttribute;

/// The kernel's `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`.
const MOST: usize = 65_536;

/// Bytes that an attribute would always fit into.
const LITTLE: u64 = 1 << 20;

/// The path of an open file itself, even if it was opened with `O_PATH` and is a symbolic link. To be used with calls that follow links.
pub(crate) fn path_of_file(file: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// The path of a directory's entry. To be used with calls that do not follow links.
pub(super) fn path_of_entry(directory: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let mut path = String::with_capacity(32);
    let _ = write!(path, "/proc/self/fd/{}/", directory.as_raw_fd());
    let mut path = path.into_bytes();
    path.extend_from_slice(name);
    std::ffi::OsString::from_vec(path).into()
}

/// Names and values of what `list` and `get` give. An attribute that vanishes in between is left out.
pub(super) fn read(
    list: impl Fn(&mut [u8]) -> Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize>,
) -> Result<Vec<ExtendedAttribute>> {
    let mut attributes = Vec::new();
    for name in names(list)? {
        match with_buffer(|buffer| get(&name, buffer)) {
            Ok(value) => attributes.push(ExtendedAttribute { name, value }),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(attributes)
}

/// The names that `list` gives.
pub(super) fn names(list: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<Vec<u8>>> {
    let names = with_buffer(list)?;
    Ok(names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// Most lists and values are small (and most lists empty), so they get a small buffer first.
fn with_buffer(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; MOST];
            let length = call(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}

/// Where attributes are set.
pub(super) enum Place<'a> {
    /// An open file.
    File(BorrowedFd<'a>),
    /// The path of a file that could only be opened with `O_PATH`, see [`path_of_file`].
    Path(PathBuf),
}

impl Place<'_> {
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>> {
        match self {
            Self::File(file) => names(|buffer| rustix::fs::flistxattr(file, buffer)),
            Self::Path(path) => names(|buffer| rustix::fs::listxattr(path, buffer)),
        }
    }

    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Self::File(file) => rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()),
            Self::Path(path) => rustix::fs::setxattr(path, name, value, XattrFlags::empty()),
        }
    }

    /// Whether its file system has hardly any room left, as far as it says.
    pub(super) fn is_full(&self) -> bool {
        let found = match self {
            Self::File(file) => rustix::fs::fstatvfs(file),
            Self::Path(path) => rustix::fs::statvfs(path),
        };
        found.is_ok_and(|found| {
            let bytes = found.f_bavail.saturating_mul(found.f_frsize);
            bytes < LITTLE || (found.f_files > 0 && found.f_favail == 0)
        })
    }

    pub(super) fn remove(&self, name: &[u8]) -> Result<()> {
        match self {
            Self::File(file) => rustix::fs::fremovexattr(file, name),
            Self::Path(path) => rustix::fs::removexattr(path, name),
        }
    }
}
