//! Opening a path beneath a directory, without following a symbolic link in any of its components and however long the path is.
//!
//! In comes a directory's descriptor and a `/`-separated path relative to it, out goes a descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The kernel refuses a path of 4096 bytes or more, so a longer one is walked in pieces.
const PIECE: usize = 4000;

/// Opens `path` (empty for `root` itself) with `flags`. The last component is not followed either: with `O_PATH` a symbolic link there is
/// opened as itself, without it that fails with `ELOOP`.
///
/// A component `..`, `.` or an empty one fails with `EINVAL`.
pub(crate) fn open_beneath(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if path.is_empty() {
        return rustix::fs::openat(root, c".", flags, mode);
    }
    if path.split(|byte| *byte == b'/').any(is_no_name) {
        return Err(Errno::INVAL);
    }
    let mut passed: Option<OwnedFd> = None;
    let mut rest = path;
    while let Some((piece, after)) = cut(rest) {
        let directory = passed.as_ref().map_or(root, AsFd::as_fd);
        passed = Some(open_piece(
            directory,
            piece,
            passing_flags(),
            Mode::empty(),
        )?);
        rest = after;
    }
    let directory = passed.as_ref().map_or(root, AsFd::as_fd);
    open_piece(directory, rest, flags, mode)
}

/// For directories that are only passed through.
fn passing_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn is_no_name(component: &[u8]) -> bool {
    component.is_empty() || component == b"." || component == b".."
}

/// The longest head of `path` that the kernel takes and what follows it, if `path` is too long.
fn cut(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = path.get(..PIECE)?;
    let slash = head.iter().rposition(|byte| *byte == b'/')?;
    Some((path.get(..slash)?, path.get(slash + 1..)?))
}

fn open_piece(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    if !path.contains(&b'/') {
        return rustix::fs::openat(directory, path, flags, mode);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // O_PATH of a symbolic link is wanted at the end, which NO_SYMLINKS allows together with O_NOFOLLOW.
    match rustix::fs::openat2(directory, path, flags, mode, resolve) {
        // Linux before 5.6, or a seccomp filter that knows no openat2.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(directory, path, flags, mode),
        other => other,
    }
}

fn open_stepwise(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let mut passed: Option<OwnedFd> = None;
    let mut components = path.split(|byte| *byte == b'/').peekable();
    while let Some(component) = components.next() {
        let directory = passed.as_ref().map_or(root, AsFd::as_fd);
        if components.peek().is_none() {
            return rustix::fs::openat(directory, component, flags, mode);
        }
        passed = Some(rustix::fs::openat(
            directory,
            component,
            passing_flags(),
            Mode::empty(),
        )?);
    }
    Err(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(folder: &tempfile::TempDir) -> OwnedFd {
        rustix::fs::open(folder.path(), passing_flags(), Mode::empty()).unwrap()
    }

    #[test]
    fn no_component_may_be_a_symbolic_link() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/file"), "x").unwrap();
        symlink("a", folder.path().join("to_a")).unwrap();
        symlink("b/file", folder.path().join("a/to_file")).unwrap();
        let root = root(&folder);
        for open in [open_piece, open_stepwise] {
            let open = |path: &str, flags: OFlags| {
                open(
                    root.as_fd(),
                    path.as_bytes(),
                    flags | OFlags::NOFOLLOW,
                    Mode::empty(),
                )
                .map(drop)
            };
            assert_eq!(open("a/b/file", OFlags::RDONLY), Ok(()));
            assert_eq!(open("a/to_file", OFlags::RDONLY), Err(Errno::LOOP));
            assert_eq!(open("a/to_file", OFlags::PATH), Ok(()));
            let through = open("to_a/b/file", OFlags::RDONLY).unwrap_err();
            assert!(matches!(through, Errno::LOOP | Errno::NOTDIR));
            assert_eq!(open("a/none/file", OFlags::RDONLY), Err(Errno::NOENT));
        }
    }

    #[test]
    fn a_path_that_leaves_the_root_or_names_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(&folder);
        for path in ["..", "a/..", "../a", "/etc", "a//b", ".", "a/"] {
            let opened = open_beneath(root.as_fd(), path.as_bytes(), OFlags::PATH, Mode::empty());
            assert_eq!(opened.unwrap_err(), Errno::INVAL, "{path}");
        }
    }

    #[test]
    fn a_path_may_be_longer_than_the_kernel_takes() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(&folder);
        let name = "n".repeat(200);
        let mut path = Vec::new();
        for _ in 0..100 {
            let parent = open_beneath(root.as_fd(), &path, OFlags::PATH, Mode::empty()).unwrap();
            rustix::fs::mkdirat(&parent, &name, Mode::RWXU).unwrap();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
        }
        assert!(path.len() > 20_000);
        open_beneath(root.as_fd(), &path, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}
