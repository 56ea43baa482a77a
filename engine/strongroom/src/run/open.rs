//! Opening repositories, several at a time, and reading from them under a lock.

use std::sync::Arc;

use strongroom_repository::blobs::BlobReader;
use strongroom_repository::contents::Contents;
use strongroom_repository::index::Index;
use strongroom_repository::{Error, ErrorKind, Lock, Progress, Repository, Result};

use super::backups::Copy;
use crate::engine::PreparedDestination;

/// A repository, or why it could not be opened.
pub struct Opened {
    /// The destination's name.
    pub name: String,
    /// Its repository.
    pub repository: Result<Arc<Repository>>,
}

/// Opens the repositories of all `destinations` at once: each takes a while to make sure of its password.
pub fn open_all(destinations: &[PreparedDestination], progress: &Progress) -> Vec<Opened> {
    progress.step("opening repositories");
    let results = each(destinations, |destination| destination.open().map(Arc::new));
    destinations
        .iter()
        .zip(results)
        .map(|(destination, repository)| Opened {
            name: destination.name.clone(),
            repository,
        })
        .collect()
}

/// Calls `work` for every item, each on a thread of its own.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Failed, "a thread ended unexpectedly"))
                })
            })
            .collect()
    })
}

/// A snapshot opened for reading. The lock is held as long as this lives.
pub struct Reading {
    /// What the snapshot holds.
    pub contents: Arc<Contents>,
    _lock: Option<Lock>,
}

/// Opens the snapshot `copy` of `repository`.
pub fn read(repository: &Arc<Repository>, copy: &Copy, progress: &Progress) -> Result<Reading> {
    let lock = lock_for_reading(repository, progress)?;
    let index = Arc::new(Index::load(repository, progress)?);
    let reader = Arc::new(BlobReader::new(Arc::clone(repository), index));
    let contents = Contents::open(reader, copy.id, &copy.snapshot)?;
    Ok(Reading {
        contents: Arc::new(contents),
        _lock: lock,
    })
}

/// A lock, or a warning where the destination cannot be written: a backup on a read-only disk must still be restorable.
fn lock_for_reading(repository: &Arc<Repository>, progress: &Progress) -> Result<Option<Lock>> {
    match Lock::shared(repository) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::OutOfSpace) => {
            progress.warn(format!(
                "the repository cannot be locked, and is read without: {error}"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
