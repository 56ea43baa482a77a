//! Opening repositories, several at a time, and reading from them under a lock.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Builder;

use strongroom_repository::blobs::BlobReader;
use strongroom_repository::contents::Contents;
use strongroom_repository::index::Index;
use strongroom_repository::{Error, ErrorKind, Lock, Progress, Repository, Result};

use super::backups::Copy;
use super::same_place::refuse_twice;
use crate::engine::{Engine, PreparedDestination};

/// A repository, or why it could not be opened.
pub struct Opened {
    /// The destination's name.
    pub name: String,
    /// The folders of this machine that it lies in.
    pub folders: Vec<PathBuf>,
    /// Its repository.
    pub repository: Result<Arc<Repository>>,
}

/// Opens the repositories of all `destinations` at once: each takes a while to make sure of its password. A folder that has two names is opened by the
/// first.
pub fn open_all(destinations: &[PreparedDestination], progress: &Progress) -> Vec<Opened> {
    progress.step("opening repositories");
    let results = each(destinations, |destination| destination.open().map(Arc::new));
    let opened = destinations.iter().zip(results);
    let opened = opened.map(|(destination, repository)| Opened {
        name: destination.name.clone(),
        folders: destination.folders.clone(),
        repository,
    });
    refuse_twice(opened.collect())
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
            .map(|item| {
                let body = move || work(item);
                (item, Builder::new().spawn_scoped(scope, body))
            })
            .collect();
        let ended = |_| Err(Error::new(ErrorKind::Failed, "a thread ended unexpectedly"));
        let results = threads.into_iter().map(|(item, thread)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(ended),
            // Where the system has no more threads for us, one after another.
            Err(_) => work(item),
        });
        results.collect()
    })
}

/// What became of one destination.
pub struct AtDestination<T> {
    /// Its name.
    pub destination: String,
    /// What was found or done there, or why it could not be.
    pub result: Result<T>,
}

/// Calls `work` for the repositories of `destinations`, or of all, one after another. Being cancelled ends it; any other failure is in the
/// result of its destination.
pub fn at_each<T>(
    engine: &Engine,
    destinations: &[String],
    progress: &Arc<Progress>,
    mut work: impl FnMut(&Arc<Repository>) -> Result<T>,
) -> Result<Vec<AtDestination<T>>> {
    let prepared = engine.destinations(destinations, progress)?;
    let mut done = Vec::new();
    for opened in open_all(&prepared, progress) {
        match opened.repository.and_then(|repository| work(&repository)) {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            result => done.push(AtDestination {
                destination: opened.name,
                result,
            }),
        }
    }
    Ok(done)
}

/// A repository's index and lock, for as many snapshots as are read there. The lock is held as long as any of its clones lives.
#[derive(Clone)]
pub struct Reader {
    blobs: Arc<BlobReader>,
    _lock: Arc<Option<Lock>>,
}

impl Reader {
    /// Locks `repository`, where it can be written to, and reads its index.
    pub fn open(repository: &Arc<Repository>, progress: &Progress) -> Result<Self> {
        let lock = Lock::for_reading(repository, progress)?;
        let index = Arc::new(Index::load(repository, progress)?);
        Ok(Self {
            blobs: Arc::new(BlobReader::new(Arc::clone(repository), index)),
            _lock: Arc::new(lock),
        })
    }

    /// Opens the snapshot `copy`.
    pub fn contents(&self, copy: &Copy) -> Result<Arc<Contents>> {
        let contents = Contents::open(Arc::clone(&self.blobs), copy.id, &copy.snapshot)?;
        Ok(Arc::new(contents))
    }
}
