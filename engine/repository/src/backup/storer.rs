//! Plain blobs in, encrypted blobs in packs out: hash, look up, compress, encrypt, verify, pack. One for each thread.
//!
//! A thread hashes four messages in little more than the time of two (`sha256.rs`). So a batch is taken in one go, and what has to be hashed
//! besides waits for the next: the content of the blobs that were just stored, once more, and the packs that they went into. A pack leaves
//! only after that.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::filler::Batch;
use super::pipeline::Shared;
use super::stats::Stats;
use super::target::Target;
use crate::Result;
use crate::blob::BlobType;
use crate::buffer::Buffer;
use crate::encode::{Compressed, Encoder, ensure_proven};
use crate::id::Id;
use crate::pack::PackBuilder;
use crate::sha256::{self, Hasher};

/// Stores blobs at all targets that lack them.
pub(crate) struct Storer {
    shared: Arc<Shared>,
    /// Made when the first new blob comes: a thread that meets none needs no zstd context.
    encoder: Option<Encoder>,
    /// The data packs in hand, for each target.
    packs: Vec<Packs>,
    unproven: Option<Unproven>,
    scratch: Vec<u8>,
}

/// Data packs on their way to one target.
#[derive(Default)]
struct Packs {
    open: Option<PackBuilder>,
    /// To be sent once their blobs are proven.
    full: Vec<PackBuilder>,
}

/// Blobs that were stored and whose content is to be hashed once more.
struct Unproven {
    slab: Buffer,
    blobs: Vec<(Range<usize>, Id)>,
}

impl Storer {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            packs: shared.targets.iter().map(|_| Packs::default()).collect(),
            shared: Arc::clone(shared),
            encoder: None,
            unproven: None,
            scratch: Vec::new(),
        }
    }

    /// A buffer for encoding a tree, which saves growing a new one each time.
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch
    }

    /// Gives it back.
    pub(crate) fn return_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    /// Stores the chunks of `batch` wherever they are missing and tells their files. They are durable only after the session's commit.
    pub(crate) fn store_batch(&mut self, batch: Batch) -> Result<()> {
        let Batch { slab, chunks } = batch;
        let content = |range: &Range<usize>| slab.get(range.clone()).unwrap_or_default();
        let ids = self.hash(chunks.iter().map(|chunk| content(&chunk.range)))?;
        let mut stored = Vec::new();
        for (chunk, id) in chunks.iter().zip(ids) {
            let content = content(&chunk.range);
            if self.store_missing(BlobType::Data, id, content, &chunk.file.stats)? {
                stored.push((chunk.range.clone(), id));
            }
            chunk.file.chunk_stored(chunk.number, id, self)?;
            self.shared.progress.advance(content.len() as u64, 0);
        }
        if !stored.is_empty() {
            self.unproven = Some(Unproven {
                slab,
                blobs: stored,
            });
        }
        Ok(())
    }

    /// Stores one blob and returns its id, as [`store_batch`](Self::store_batch) does. Data only where no batch is in hand.
    ///
    /// An error ends the run, whoever asked: the blob may be claimed and not stored, and the next source would rely on it.
    pub(crate) fn store(
        &mut self,
        blob_type: BlobType,
        content: &[u8],
        stats: &Stats,
    ) -> Result<Id> {
        let stored = self.store_one(blob_type, content, stats);
        stored.inspect_err(|error| self.shared.failure.record(error.clone()))
    }

    fn store_one(&mut self, blob_type: BlobType, content: &[u8], stats: &Stats) -> Result<Id> {
        let id = Id::of(content);
        if self.store_missing(blob_type, id, content, stats)? {
            ensure_proven(Id::of(content), id)?;
            // A tree may end a file in the middle of a batch, whose blobs are not proven yet.
            if blob_type == BlobType::Data {
                self.send_full_packs();
            }
        }
        Ok(id)
    }

    /// Whether every target that goes on holds the tree.
    pub(crate) fn has_tree(&self, id: &Id) -> bool {
        let mut targets = self.shared.targets.iter();
        targets.all(|target| target.has_failed() || target.holds(BlobType::Tree, id))
    }

    /// Proves what was stored, and leaves the packs that are not full to their targets.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.hash([])?;
        for (target, packs) in self.shared.targets.iter().zip(&mut self.packs) {
            target.keep_partial(packs.open.take());
        }
        Ok(())
    }

    /// The ids of `messages`. Side by side with them, what is unproven is hashed, and what is new in the packs; then full packs are sent.
    fn hash<'m>(&mut self, messages: impl IntoIterator<Item = &'m [u8]>) -> Result<Vec<Id>> {
        let unproven = self.unproven.take();
        let mut inputs: Vec<&[u8]> = messages.into_iter().collect();
        let count = inputs.len();
        if let Some(unproven) = &unproven {
            let stored = unproven.blobs.iter();
            inputs.extend(stored.filter_map(|(range, _)| unproven.slab.get(range.clone())));
        }
        let mut hashers = vec![Hasher::default(); inputs.len()];
        let packs = self.packs.iter_mut();
        let packs = packs.flat_map(|packs| packs.full.iter_mut().chain(&mut packs.open));
        sha256::update_all(
            packs
                .map(PackBuilder::unhashed)
                .chain(hashers.iter_mut().zip(inputs)),
        );
        let mut ids: Vec<Id> = hashers.into_iter().map(Hasher::finish).collect();
        let again = ids.split_off(count);
        if let Some(unproven) = unproven {
            for ((_, id), again) in unproven.blobs.iter().zip(again) {
                ensure_proven(again, *id)?;
            }
        }
        self.send_full_packs();
        Ok(ids)
    }

    /// Everything in the packs must be proven.
    fn send_full_packs(&mut self) {
        for (target, packs) in self.shared.targets.iter().zip(&mut self.packs) {
            for pack in packs.full.drain(..) {
                if let Err(error) = target.send(pack) {
                    target.give_up(error);
                }
            }
        }
    }

    /// Whether it was missing anywhere. Then the caller proves it, by hashing it once more, before packs are sent.
    fn store_missing(
        &mut self,
        blob_type: BlobType,
        id: Id,
        content: &[u8],
        stats: &Stats,
    ) -> Result<bool> {
        self.shared.ensure_some_target()?;
        let targets = self.shared.targets.iter().zip(&mut self.packs);
        let missing: Vec<_> = targets
            .filter(|(target, _)| target.claim(blob_type, &id))
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let plain = Compressed::uncompressed(content);
        let is_compressed = |target: &Target| target.repository().compresses();
        let compressed = match missing.iter().any(|(target, _)| is_compressed(target)) {
            false => plain,
            true => match &mut self.encoder {
                Some(encoder) => encoder.compress(content)?,
                none => none.insert(Encoder::new()?).compress(content)?,
            },
        };
        let mut stored = None;
        for (target, packs) in missing {
            let key = target.repository().key();
            let blob = match is_compressed(target) {
                true => compressed,
                false => plain,
            };
            let added = match blob_type {
                BlobType::Tree => {
                    target.with_tree_pack(|pack| blob.add_to(pack, key, blob_type, id))
                }
                BlobType::Data => packs.add(
                    blob.sealed_length(),
                    |pack| blob.add_to(pack, key, blob_type, id),
                    || target.pack_buffer(),
                ),
            };
            match added {
                Ok(packed_bytes) => stored = Some(packed_bytes),
                Err(error) => target.give_up(error),
            }
        }
        let Some(packed_bytes) = stored else {
            return Ok(false);
        };
        let blobs = match blob_type {
            BlobType::Data => &stats.data_blobs,
            BlobType::Tree => &stats.tree_blobs,
        };
        blobs.fetch_add(1, Relaxed);
        stats.data_added.fetch_add(content.len() as u64, Relaxed);
        stats.data_added_packed.fetch_add(packed_bytes, Relaxed);
        Ok(true)
    }
}

impl Packs {
    /// Has a blob of `length` encrypted bytes added to the open pack.
    fn add(
        &mut self,
        length: usize,
        add: impl FnOnce(&mut PackBuilder) -> Result<u64>,
        buffer: impl FnOnce() -> Buffer,
    ) -> Result<u64> {
        self.full
            .extend(self.open.take_if(|pack| !pack.takes(length)));
        let pack = self.open.get_or_insert_with(|| PackBuilder::new(buffer()));
        let length = add(pack)?;
        if pack.is_full() {
            self.full.extend(self.open.take());
        }
        Ok(length)
    }
}
