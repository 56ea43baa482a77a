//! Where a restore is to write, until it is opened: a directory that the operator names, or one beneath a directory that was opened long before. On the
//! way down from that no symbolic link is followed: somebody else may have put one there since the path was looked at.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use crate::target_root::{IN_THE_MAKING, TargetRoot};
use crate::{Error, ErrorKind, Result};

/// The path of a directory to restore into, which need not exist.
#[derive(Debug, Clone)]
pub struct TargetPath {
    path: PathBuf,
    /// The directory that it lies beneath, and the way from there; none where the path is the operator's own.
    beneath: Option<(Arc<OwnedFd>, PathBuf)>,
}

/// The operator's own path: symbolic links in it are followed.
impl From<PathBuf> for TargetPath {
    fn from(path: PathBuf) -> Self {
        let beneath = None;
        Self { path, beneath }
    }
}

impl From<&Path> for TargetPath {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl TargetPath {
    /// `way` beneath `directory`, which has the path `above` in messages. An empty way is the directory itself.
    pub fn beneath(directory: Arc<OwnedFd>, above: &Path, way: &Path) -> Self {
        Self {
            path: join(above, way),
            beneath: Some((directory, way.to_owned())),
        }
    }

    /// The whole path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is called `name` in it.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self {
            path: self.path.join(name),
            beneath: self
                .beneath
                .as_ref()
                .map(|(directory, way)| (Arc::clone(directory), way.join(name))),
        }
    }

    /// Whether something is there, as far as can be seen.
    pub(crate) fn exists(&self) -> bool {
        match &self.beneath {
            None => self.path.exists(),
            Some(_) => self.open().is_ok(),
        }
    }

    /// Opens the directory, which must be there.
    pub fn open(&self) -> Result<TargetRoot> {
        match &self.beneath {
            None => TargetRoot::open(&self.path),
            Some((directory, way)) => self.descend(directory, way, |_, _| Ok(())),
        }
    }

    /// Opens the directory, after making it and those above it where they are missing. With `is_ours` one that is made is marked as one that
    /// is not finished: see [`is_in_the_making`](crate::target_root::is_in_the_making).
    pub fn create(&self, is_ours: bool) -> Result<TargetRoot> {
        let (directory, way) = match &self.beneath {
            None => return TargetRoot::create(&self.path, is_ours),
            Some((directory, way)) => (directory, way),
        };
        let last = way.components().count();
        let entered = Cell::new(0);
        self.descend(directory, way, |directory, name| {
            entered.set(entered.get() + 1);
            let mode = match is_ours && entered.get() == last {
                true => IN_THE_MAKING,
                false => Mode::RWXU | Mode::RWXG | Mode::RWXO,
            };
            match mkdirat(directory, name, mode) {
                Err(Errno::EXIST) => Ok(()),
                made => made,
            }
        })
    }

    /// One component after another. `enter` is called before each is opened.
    fn descend(
        &self,
        directory: &Arc<OwnedFd>,
        way: &Path,
        enter: impl Fn(&OwnedFd, &Path) -> rustix::io::Result<()>,
    ) -> Result<TargetRoot> {
        let mut passed = Arc::clone(directory);
        for component in way.components() {
            let next = match component {
                Component::Normal(name) => enter(&passed, name.as_ref()).and_then(|()| {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    openat(passed.as_fd(), name, flags | OFlags::CLOEXEC, Mode::empty())
                }),
                _ => Err(Errno::INVAL),
            };
            passed = Arc::new(next.map_err(|error| self.failed(error))?);
        }
        Ok(TargetRoot::new(&self.path, passed))
    }

    fn failed(&self, error: Errno) -> Error {
        let error = match error {
            Errno::LOOP | Errno::NOTDIR => Error::new(
                ErrorKind::AlreadyExists,
                "something that is no directory is on the way, and a symbolic link is not followed",
            ),
            error => Error::io("target cannot be opened", error.into()),
        };
        error.on(self.path.display())
    }
}

/// `above` itself where there is no way: no slash at its end.
fn join(above: &Path, way: &Path) -> PathBuf {
    above.components().chain(way.components()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            fs::create_dir(place.path("granted")).unwrap();
            fs::create_dir(place.path("outside")).unwrap();
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn beneath(&self, way: &str) -> TargetPath {
            let granted = self.path("granted");
            let directory = fs::File::open(&granted).unwrap().into();
            TargetPath::beneath(Arc::new(directory), &granted, Path::new(way))
        }

        fn is_untouched(&self) -> bool {
            fs::read_dir(self.path("outside")).unwrap().count() == 0
        }
    }

    #[test]
    fn a_link_that_was_put_on_the_way_meanwhile_is_not_followed() {
        for (way, swapped) in [("a", "a"), ("a/b", "a"), ("a/b", "a/b"), ("a/b/c", "a")] {
            let place = Place::new();
            let target = place.beneath(way);
            target.create(true).unwrap();
            let swapped = place.path("granted").join(swapped);
            fs::rename(&swapped, place.path("moved")).unwrap();
            symlink(place.path("outside"), &swapped).unwrap();
            for error in [target.create(true).unwrap_err(), target.open().unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{way}");
                let expected = "a symbolic link is not followed";
                assert!(error.to_string().ends_with(expected), "{error}");
            }
            assert!(place.is_untouched(), "{way}");
        }
    }

    #[test]
    fn the_directory_is_the_one_that_was_opened_whatever_has_its_name_now() {
        let place = Place::new();
        let target = place.beneath("new");
        fs::rename(place.path("granted"), place.path("moved")).unwrap();
        symlink(place.path("outside"), place.path("granted")).unwrap();
        target.create(true).unwrap().create_file(b"file").unwrap();
        assert!(place.path("moved/new/file").exists());
        assert!(place.is_untouched());
    }

    #[test]
    fn a_way_out_is_none() {
        let place = Place::new();
        for way in ["..", "../outside", "/etc"] {
            assert!(place.beneath(way).create(true).is_err(), "{way}");
            assert!(place.beneath(way).open().is_err(), "{way}");
        }
    }

    #[test]
    fn what_is_missing_is_made_and_an_empty_way_is_the_directory_itself() {
        let place = Place::new();
        let target = place.beneath("a/b");
        assert!(!target.exists());
        assert_eq!(target.open().unwrap_err().kind(), ErrorKind::NotFound);
        target.create(true).unwrap().create_file(b"file").unwrap();
        assert!(target.exists() && place.path("granted/a/b/file").exists());
        place.beneath("").open().unwrap().create_dir(b"c").unwrap();
        assert!(place.path("granted/c").exists());
        assert_eq!(place.beneath("").path(), place.path("granted"));
    }
}
