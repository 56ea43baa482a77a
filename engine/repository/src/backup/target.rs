//! One destination of a run: what it holds, the packs on their way to it, and its commit.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::failure::Failure;
use super::pipeline::{spawn, worker_count};
use crate::blob::BlobType;
use crate::buffer::{Buffer, Pool};
use crate::file::FileType;
use crate::guard::lock;
use crate::id::Id;
use crate::index::{BLOBS_PER_FILE, Index, IndexFile, IndexPack, Pack};
use crate::lock::Lock;
use crate::pack::{self, FinishedPack, PackBuilder};
use crate::progress::Progress;
use crate::repository::Repository;
use crate::snapshot::Snapshot;
use crate::{Error, ErrorKind, Result, parallel};

/// More packs than that are not sent at once: each takes the memory of a pack.
const MAX_UPLOADS: usize = 4;

/// A repository that a run writes to.
pub(crate) struct Target {
    uploads: Arc<Uploads>,
    claimed: Mutex<HashSet<(BlobType, Id)>>,
    tree_pack: Mutex<Option<PackBuilder>>,
    partial: Mutex<Vec<PackBuilder>>,
    sender: Mutex<Option<Sender<FinishedPack>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the upload threads of a target share.
struct Uploads {
    repository: Arc<Repository>,
    lock: Lock,
    index: Arc<Index>,
    /// The index objects that the run relies on: those that were loaded, and its own.
    relied_on: Mutex<HashSet<Id>>,
    buffers: Arc<Pool>,
    /// Packs that are durable and in no index object yet.
    unindexed: Mutex<Vec<IndexPack>>,
    failure: Failure,
    progress: Arc<Progress>,
}

impl Target {
    /// Locks the repository and loads its index.
    pub(crate) fn open(repository: Arc<Repository>, progress: &Arc<Progress>) -> Result<Self> {
        let lock = Lock::shared(&repository)?;
        let index = present(&repository, Index::load(&repository, progress)?, progress)?;
        let uploads = repository.destination().parallelism().clamp(1, MAX_UPLOADS);
        Self::start(repository, lock, Arc::new(index), progress, uploads)
    }

    /// One that sends each pack in the thread that hands it over.
    #[cfg(test)]
    pub(crate) fn without_threads(
        repository: Arc<Repository>,
        progress: &Arc<Progress>,
    ) -> Result<Self> {
        let lock = Lock::shared(&repository)?;
        let index = present(&repository, Index::load(&repository, progress)?, progress)?;
        Self::start(repository, lock, Arc::new(index), progress, 0)
    }

    fn start(
        repository: Arc<Repository>,
        lock: Lock,
        index: Arc<Index>,
        progress: &Arc<Progress>,
        threads: usize,
    ) -> Result<Self> {
        // Two packs for each worker, of which one may be full and wait for its blobs to be proven, one of trees, one of manifests; the others are
        // on their way.
        let buffers = 2 * worker_count() + 2 + threads.min(3);
        let uploads = Arc::new(Uploads {
            repository,
            lock,
            relied_on: Mutex::new(index.files().iter().copied().collect()),
            index,
            buffers: Pool::new(buffers, pack::CAPACITY),
            unindexed: Mutex::default(),
            failure: Failure::default(),
            progress: Arc::clone(progress),
        });
        let (sender, receiver) = bounded(1);
        let threads = (0..threads)
            .map(|_| {
                let (uploads, receiver) = (Arc::clone(&uploads), receiver.clone());
                spawn("upload", move || uploads.run(&receiver))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            uploads,
            claimed: Mutex::default(),
            tree_pack: Mutex::default(),
            partial: Mutex::default(),
            sender: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
        })
    }

    pub(crate) fn repository(&self) -> &Arc<Repository> {
        &self.uploads.repository
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.uploads.index
    }

    /// Whether the blob is there or on its way.
    pub(crate) fn holds(&self, blob_type: BlobType, id: &Id) -> bool {
        self.index().contains(blob_type, id) || lock(&self.claimed).contains(&(blob_type, *id))
    }

    /// Nothing more is sent here; the other targets go on.
    pub(crate) fn give_up(&self, error: Error) {
        self.uploads.failure.record(error);
    }

    /// Whether nothing more is sent here.
    pub(crate) fn has_failed(&self) -> bool {
        self.uploads.failure.is_set()
    }

    /// Fails with what made the target fail.
    pub(crate) fn failure(&self) -> Result<()> {
        self.uploads.failure.explain(Ok(()))
    }

    /// True for exactly one caller where the blob is missing: that one has to store it. Never true once the target has failed.
    pub(crate) fn claim(&self, blob_type: BlobType, id: &Id) -> bool {
        !self.has_failed()
            && !self.index().contains(blob_type, id)
            && lock(&self.claimed).insert((blob_type, *id))
    }

    /// A buffer for a new pack. Blocks while too many packs wait to be sent.
    pub(crate) fn pack_buffer(&self) -> Buffer {
        self.uploads.buffers.take()
    }

    /// Adds to the pack of trees, which all threads share.
    pub(crate) fn with_tree_pack<T>(
        &self,
        add: impl FnOnce(&mut PackBuilder) -> Result<T>,
    ) -> Result<T> {
        let mut slot = lock(&self.tree_pack);
        let pack = slot.get_or_insert_with(|| PackBuilder::new(self.pack_buffer()));
        let result = match add(pack) {
            Ok(result) => result,
            Err(error) => {
                // What was added last may be wrong: no other thread may send it.
                self.give_up(error.clone());
                *slot = None;
                return Err(error);
            }
        };
        let full = if pack.is_full() { slot.take() } else { None };
        drop(slot);
        match full {
            Some(full) => self.send(full).map(|()| result),
            None => Ok(result),
        }
    }

    /// Ends a pack and hands it to the upload threads. Blocks while they are busy.
    pub(crate) fn send(&self, pack: PackBuilder) -> Result<()> {
        self.failure()?;
        self.send_finished(pack.finish(self.repository().key())?)
    }

    /// As [`send`](Self::send), for a pack that was finished elsewhere with the same key.
    pub(crate) fn send_finished(&self, pack: FinishedPack) -> Result<()> {
        self.failure()?;
        #[cfg(test)]
        if lock(&self.threads).is_empty() {
            let sent = self.uploads.upload(pack);
            return sent.inspect_err(|error| self.uploads.failure.record(error.clone()));
        }
        let sender = lock(&self.sender).clone();
        sender
            .and_then(|sender| sender.send(pack).ok())
            .ok_or_else(|| Error::new(ErrorKind::Failed, "an upload thread ended too early"))
    }

    /// Takes a pack that is not full, to be joined with others at the commit.
    pub(crate) fn keep_partial(&self, pack: Option<PackBuilder>) {
        lock(&self.partial).extend(pack.filter(|pack| !pack.is_empty()));
    }

    /// Makes all blobs durable and writes the index. Only after this may a snapshot name them.
    pub(crate) fn finish_blobs(&self) -> Result<()> {
        let partial = std::mem::take(&mut *lock(&self.partial));
        for pack in joined(partial)? {
            self.send(pack)?;
        }
        let trees = lock(&self.tree_pack).take();
        if let Some(pack) = trees {
            self.send(pack)?;
        }
        self.stop_uploads();
        self.failure()?;
        self.uploads.write_index(1)
    }

    /// Writes an index of the packs that are durable and in none yet. Who is interrupted after this need not send them again.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.uploads.write_index(1)
    }

    /// Writes snapshots, all of them or none, if nobody took away the lock meanwhile.
    pub(crate) fn write_snapshots(&self, snapshots: &[Snapshot]) -> Result<Vec<Id>> {
        let uploads = &self.uploads;
        uploads.ensure_relied_on()?;
        let mut written = Vec::new();
        let write = || {
            for snapshot in snapshots {
                let object = self.repository().seal_object(snapshot)?;
                // Also where it fails: the answer may be lost, and the object there.
                written.push(object.sha256());
                self.repository().put_object(FileType::Snapshot, &object)?;
            }
            uploads.ensure_relied_on()
        };
        let result: Result<()> = { write }();
        match result {
            Ok(()) => Ok(written),
            Err(error) => {
                uploads.take_back(FileType::Snapshot, &written);
                Err(error)
            }
        }
    }

    /// Lets the upload threads finish what they were sent, and ends them.
    pub(crate) fn stop_uploads(&self) {
        drop(lock(&self.sender).take());
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                let error = Error::new(ErrorKind::Failed, "an upload thread panicked");
                self.uploads.failure.record(error);
            }
        }
    }
}

/// Small packs made into as few as their sizes allow.
fn joined(packs: Vec<PackBuilder>) -> Result<Vec<PackBuilder>> {
    let mut joined: Vec<PackBuilder> = Vec::new();
    for pack in packs {
        match joined.last_mut().filter(|last| last.has_room_for(&pack)) {
            Some(last) => last.absorb(pack)?,
            None => joined.push(pack),
        }
    }
    Ok(joined)
}

impl Uploads {
    fn run(&self, packs: &Receiver<FinishedPack>) {
        while let Ok(pack) = packs.recv() {
            // After a failure packs are only dropped, so that whoever waits for a buffer gets one and sees the failure.
            if let Err(error) = self.failure.check().and_then(|()| self.upload(pack)) {
                self.failure.record(error);
            }
        }
    }

    fn upload(&self, pack: FinishedPack) -> Result<()> {
        self.progress.check_cancelled()?;
        self.lock.ensure_held_lately()?;
        let (pack, size) = self.repository.put_pack(pack)?;
        self.progress.stored_bytes.fetch_add(size, Relaxed);
        lock(&self.unindexed).push(pack);
        self.write_index(BLOBS_PER_FILE)
    }

    /// Fails where what the run relies on may be gone: without the lock, or where an index object is no more that it relies on. A prune that saw no
    /// lock because ours was still on its way, or took it for that of a program that is gone, has written another index. To a machine that
    /// slept, its clock need not have told.
    fn ensure_relied_on(&self) -> Result<()> {
        self.lock.ensure_held()?;
        let relied_on = lock(&self.relied_on).clone();
        let there = self.repository.list(FileType::Index)?;
        let there: HashSet<Id> = there.into_iter().map(|(id, _)| id).collect();
        if relied_on.is_subset(&there) {
            return Ok(());
        }
        let message = format!(
            "the index of repository {} was replaced meanwhile",
            self.repository.name()
        );
        let error = Error::new(ErrorKind::Failed, message);
        Err(error.hint("somebody pruned it at the same time; run it again"))
    }

    /// Writes an index object if it would describe at least so many blobs, of packs that are there, and if nobody took away the lock meanwhile:
    /// without one, a prune may have removed the packs, and later backups would rely on what is not there.
    fn write_index(&self, at_least: usize) -> Result<()> {
        let mut unindexed = lock(&self.unindexed);
        let blobs: usize = unindexed.iter().map(|pack| pack.blobs.len()).sum();
        if blobs < at_least {
            return Ok(());
        }
        let packs = std::mem::take(&mut *unindexed);
        drop(unindexed);
        self.ensure_relied_on()?;
        self.ensure_there(&packs)?;
        let file = IndexFile {
            supersedes: Vec::new(),
            packs,
        };
        let object = self.repository.seal_object(&file)?;
        let id = object.sha256();
        let put = self.repository.put_object(FileType::Index, &object);
        if let Err(error) = put.and_then(|()| self.lock.ensure_held()) {
            self.take_back(FileType::Index, &[id]);
            return Err(error);
        }
        lock(&self.relied_on).insert(id);
        Ok(())
    }

    /// Fails where a pack that was sent is gone: somebody took it for one that nobody needs.
    fn ensure_there(&self, packs: &[IndexPack]) -> Result<()> {
        let threads = self.repository.destination().parallelism();
        parallel::for_each(threads, packs, |pack| {
            match self.repository.stat(FileType::Pack, &pack.id)? {
                Some(_) => Ok(()),
                None => {
                    let message = format!(
                        "pack {} of this run is gone from repository {}",
                        pack.id.short(),
                        self.repository.name()
                    );
                    let error = Error::new(ErrorKind::Failed, message);
                    Err(error.hint("somebody pruned it at the same time; run it again"))
                }
            }
        })
    }

    /// Removes what a run has stored that has failed. What cannot be removed counts, and is whole as far as anybody knows.
    fn take_back(&self, file_type: FileType, ids: &[Id]) {
        for id in ids {
            let _ = self.repository.delete(file_type, id);
        }
    }
}

/// The index without the packs that are not there, or cut short: what they held is stored again where the source still has it.
fn present(repository: &Repository, index: Index, progress: &Progress) -> Result<Index> {
    progress.step("listing packs");
    let listed: HashMap<Id, u64> = repository.list(FileType::Pack)?.into_iter().collect();
    let is_lost = |pack: &Pack| {
        let size = listed.get(&pack.id).copied().unwrap_or(0);
        size <= pack.blobs_end + pack::TRAILER as u64
    };
    let lost: HashSet<Id> = index
        .packs()
        .iter()
        .filter(|pack| is_lost(pack))
        .map(|pack| pack.id)
        .collect();
    if lost.is_empty() {
        return Ok(index);
    }
    progress.warn(format!(
        "repository {name} lacks {count} that its index names, or holds only a part of them: what this backup needs of them is stored again; `strongroom check {name}` tells which backups are hurt",
        name = repository.name(),
        count = match lost.len() {
            1 => "a pack".to_owned(),
            count => format!("{count} packs"),
        },
    ));
    index.without(&lost)
}
