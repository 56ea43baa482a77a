//! A process that dies half-way: a repository and a number of changes in, a repository that fails from then on out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use strongroom_repository::destination::{Body, Destination, ObjectMetadata, PutOptions};
use strongroom_repository::testing::DirectoryDestination;
use strongroom_repository::{Error, ErrorKind, Repository, Result};

use super::{Fixture, PASSWORD};

/// A destination of a process that is killed: after so many changes nothing works any more. Or somebody takes its lock away then.
struct Dying {
    inner: DirectoryDestination,
    changes_left: AtomicUsize,
    how: Death,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Death {
    Killed,
    Unlocked,
    /// Killed where there is no room for a pack.
    KilledWhenFull,
}

impl Dying {
    fn change(&self) -> Result<()> {
        let left = self
            .changes_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match (left, self.how) {
            (Err(_), Death::Killed | Death::KilledWhenFull) => {
                Err(Error::new(ErrorKind::Failed, "killed"))
            }
            (Ok(1), Death::Unlocked) => {
                let locks = self.inner.list("locks/")?;
                locks
                    .iter()
                    .try_for_each(|lock| self.inner.delete(&lock.key))
            }
            _ => Ok(()),
        }
    }
}

impl Destination for Dying {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }
    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        if self.how == Death::KilledWhenFull && key.starts_with("data/") {
            return Err(Error::new(ErrorKind::OutOfSpace, "no space left"));
        }
        self.change()?;
        self.inner.put(key, body, options)
    }
    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        self.inner.get(key, offset, length)
    }
    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        self.inner.stat(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        self.inner.list(prefix)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.change()?;
        self.inner.delete(key)
    }
}

/// The repository in a folder of its own. Objects are never changed in place, so links do.
pub fn copy(fixture: &Fixture) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir_in(fixture.path("")).expect("a temporary folder");
    let copied = Command::new("cp")
        .arg("-rl")
        .arg(fixture.path("repository"))
        .arg(folder.path())
        .status();
    assert!(copied.expect("cp runs").success());
    let path = folder.path().join("repository");
    (folder, path)
}

/// Opens the repository for one that lives.
pub fn open(path: &Path) -> Arc<Repository> {
    let destination = Arc::new(DirectoryDestination::new("nas", path));
    Arc::new(Repository::open(destination, PASSWORD).expect("opens"))
}

/// Opens the repository for a process that may do so many changes.
pub fn dying(path: &Path, changes: usize, how: Death) -> Arc<Repository> {
    let destination = Dying {
        inner: DirectoryDestination::new("nas", path),
        changes_left: AtomicUsize::new(changes),
        how,
    };
    Arc::new(Repository::open(Arc::new(destination), PASSWORD).expect("opens"))
}

/// Removes its locks: whoever holds them lives on in a test, which one that was killed does not.
pub fn without_locks(path: &Path) {
    fs::remove_dir_all(path.join("locks")).expect("removed");
    fs::create_dir(path.join("locks")).expect("made");
}
