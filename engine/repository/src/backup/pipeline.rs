//! The threads between slabs of plain bytes and packs at the targets.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::failure::Failure;
use super::filler::{Batch, SLAB_SIZE};
use super::own::OwnFolders;
use super::storer::Storer;
use super::target::Target;
use crate::buffer::Pool;
use crate::chunker::Chunker;
use crate::progress::Progress;
use crate::{Error, ErrorKind, Result};

/// Streams that plugins may write at once.
pub(crate) const MAX_WRITERS: usize = 4;

/// What all threads of a run share.
pub(crate) struct Shared {
    pub(crate) targets: Vec<Target>,
    pub(crate) slabs: Arc<Pool>,
    pub(crate) chunker: Chunker,
    pub(crate) failure: Failure,
    pub(crate) progress: Arc<Progress>,
    pub(crate) own: OnceLock<OwnFolders>,
    batches: Sender<Work>,
}

enum Work {
    Batch(Batch),
    Stop,
}

impl Shared {
    /// Hands a batch to the workers. Blocks while they are busy.
    pub(crate) fn send(&self, batch: Batch) -> Result<()> {
        self.check()?;
        self.batches
            .send(Work::Batch(batch))
            .map_err(|_| no_workers())
    }

    /// Fails once every target has failed. As long as one is left, the run goes on for that one.
    pub(crate) fn ensure_some_target(&self) -> Result<()> {
        match self.targets.first() {
            Some(first) if self.targets.iter().all(Target::has_failed) => first.failure(),
            _ => Ok(()),
        }
    }

    /// Fails once the run is cancelled or has failed.
    pub(crate) fn check(&self) -> Result<()> {
        self.failure.check()?;
        self.progress.check_cancelled()
    }
}

/// The workers of a run.
pub(crate) struct Pipeline {
    pub(crate) shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// How many threads hash, compress and encrypt.
pub(crate) fn worker_count() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// How many threads read files. More than there are cores would only pay on slow disks.
pub(crate) fn reader_count() -> usize {
    worker_count().clamp(2, 4)
}

impl Pipeline {
    /// Starts the workers.
    pub(crate) fn start(
        targets: Vec<Target>,
        chunker: Chunker,
        progress: Arc<Progress>,
    ) -> Result<Self> {
        let workers = worker_count();
        let (sender, receiver) = bounded(2);
        // Each filler holds one slab, and each worker one to be proven. One more is enough to go on: it takes over an unfinished chunk, waits in
        // the queue or is in a worker's hand. Where no plugin writes, the writers' share serves for that, too.
        let slabs = reader_count() + MAX_WRITERS + workers + workers.div_ceil(2);
        let shared = Arc::new(Shared {
            targets,
            slabs: Pool::new(slabs, SLAB_SIZE),
            chunker,
            failure: Failure::default(),
            progress,
            own: OnceLock::new(),
            batches: sender,
        });
        let workers = (0..workers)
            .map(|_| {
                let (shared, receiver) = (Arc::clone(&shared), receiver.clone());
                spawn("worker", move || work(&shared, &receiver))
            })
            .collect::<Result<_>>()?;
        Ok(Self { shared, workers })
    }

    /// Lets the workers finish what they were sent, and ends them.
    pub(crate) fn stop(&mut self) {
        for _ in &self.workers {
            let _ = self.shared.batches.send(Work::Stop);
        }
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                self.shared.failure.record(no_workers());
            }
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            self.shared.failure.record(Error::cancelled());
            self.stop();
        }
        for target in &self.shared.targets {
            target.stop_uploads();
        }
    }
}

fn work(shared: &Arc<Shared>, batches: &Receiver<Work>) {
    let mut storer = Storer::new(shared);
    while let Ok(Work::Batch(batch)) = batches.recv() {
        // After a failure batches are only dropped, so that whoever waits for a slab gets one and sees the failure.
        if let Err(error) = shared.check().and_then(|()| storer.store_batch(batch)) {
            shared.failure.record(error);
        }
    }
    if let Err(error) = shared.check().and_then(|()| storer.finish()) {
        shared.failure.record(error);
    }
}

/// Starts a named thread.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map_err(Error::no_thread)
}

fn no_workers() -> Error {
    Error::new(ErrorKind::Failed, "a worker thread ended too early")
}
