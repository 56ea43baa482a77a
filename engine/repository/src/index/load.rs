//! Loading: the index objects of a repository in, the whole index out.
//!
//! As many objects are fetched at once as the destination likes; as many are decoded at once as there are cores, each into buffers that are
//! used again, so that the memory beside the index is a few objects, however many there are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};

use bytes::Bytes;

use super::{Batch, Index, scan};
use crate::file::FileType;
use crate::id::Id;
use crate::parallel;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::{Error, ErrorKind, Result};

/// Objects are alike enough for the table to be made large at once, rather than copied as it grows. But a listing may be wrong: nothing is
/// made larger than this many times what is known to be there.
const MOST_AHEAD: usize = 16;

impl Index {
    /// Loads every index object of `repository`, several at a time.
    pub fn load(repository: &Repository, progress: &Progress) -> Result<Self> {
        progress.step("reading the index");
        let objects = repository.list(FileType::Index)?;
        let loading = Loading {
            repository,
            total_bytes: objects.iter().map(|(_, size)| size).sum(),
            loaded_bytes: AtomicU64::new(0),
            desks: Desks::new(std::thread::available_parallelism().map_or(1, usize::from)),
            index: Mutex::new(Self {
                files: objects.iter().map(|(id, _)| *id).collect(),
                ..Self::default()
            }),
        };
        let threads = repository.destination().parallelism();
        parallel::for_each(threads, &objects, |(id, _)| {
            progress.check_cancelled()?;
            let sealed = repository.load(FileType::Index, id)?;
            loading
                .desks
                .at_one(|desk| loading.take_in(id, sealed, desk))
        })?;
        loading.index.into_inner().map_err(|_| poisoned())
    }
}

struct Loading<'a> {
    repository: &'a Repository,
    total_bytes: u64,
    loaded_bytes: AtomicU64,
    desks: Desks,
    index: Mutex<Index>,
}

impl Loading<'_> {
    fn take_in(&self, id: &Id, sealed: Bytes, desk: &mut Desk) -> Result<()> {
        let Desk { plain, batch } = desk;
        let repository = self.repository;
        repository.open_object(FileType::Index, id, &sealed, plain)?;
        let size = sealed.len() as u64;
        // What waits for the lock takes no more memory than it must.
        drop(sealed);
        if scan::read(plain, batch).is_none() {
            let json = repository.decompress(FileType::Index, id, plain)?;
            batch.replace(repository.parse_json(FileType::Index, id, &json)?);
        }
        let mut index = self.index.lock().map_err(|_| poisoned())?;
        let loaded = self.loaded_bytes.fetch_add(size, Relaxed) + size;
        let blobs = index.len() + batch.slots.len();
        let expected = blobs as f64 * self.total_bytes as f64 / loaded.max(1) as f64;
        index.expect((expected as usize).min(blobs * MOST_AHEAD));
        index.add(batch)
    }
}

/// The buffers that an object goes through.
#[derive(Default)]
struct Desk {
    plain: Vec<u8>,
    batch: Batch,
}

/// So many desks, where threads wait for a free one.
struct Desks {
    free: Mutex<Vec<Desk>>,
    freed: Condvar,
}

impl Desks {
    fn new(count: usize) -> Self {
        Self {
            free: Mutex::new((0..count).map(|_| Desk::default()).collect()),
            freed: Condvar::new(),
        }
    }

    fn at_one<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut desk = loop {
            match free.pop() {
                Some(desk) => break desk,
                None => {
                    free = self
                        .freed
                        .wait(free)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(free);
        let result = work(&mut desk);
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(desk);
        self.freed.notify_one();
        result
    }
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Failed, "another thread of the run failed")
}
