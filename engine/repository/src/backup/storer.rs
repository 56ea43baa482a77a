//! Plain blobs in, encrypted blobs in packs out: hash, look up, compress, encrypt, verify, pack. One for each thread.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::pipeline::Shared;
use super::stats::Stats;
use crate::Result;
use crate::blob::BlobType;
use crate::codec::Encoder;
use crate::id::Id;
use crate::pack::PackBuilder;

/// Stores blobs at all targets that lack them.
pub(crate) struct Storer {
    shared: Arc<Shared>,
    /// Made when the first new blob comes: a thread that meets none needs no zstd context.
    encoder: Option<Encoder>,
    /// The data pack in the making, for each target.
    packs: Vec<Option<PackBuilder>>,
    scratch: Vec<u8>,
}

impl Storer {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            packs: shared.targets.iter().map(|_| None).collect(),
            shared: Arc::clone(shared),
            encoder: None,
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

    /// Stores `content` wherever it is missing and returns its id. It is durable only after the session's commit.
    pub(crate) fn store(
        &mut self,
        blob_type: BlobType,
        content: &[u8],
        stats: &Stats,
    ) -> Result<Id> {
        let id = Id::of(content);
        let shared = Arc::clone(&self.shared);
        shared.ensure_some_target()?;
        let mut stored = None;
        for (number, target) in shared.targets.iter().enumerate() {
            if target.claim(blob_type, &id) {
                match self.store_at(number, blob_type, id, content) {
                    Ok(packed_bytes) => stored = Some(packed_bytes),
                    Err(error) => target.give_up(error),
                }
            }
        }
        if let Some(packed_bytes) = stored {
            let blobs = match blob_type {
                BlobType::Data => &stats.data_blobs,
                BlobType::Tree => &stats.tree_blobs,
            };
            blobs.fetch_add(1, Relaxed);
            stats.data_added.fetch_add(content.len() as u64, Relaxed);
            stats.data_added_packed.fetch_add(packed_bytes, Relaxed);
        }
        Ok(id)
    }

    fn store_at(
        &mut self,
        number: usize,
        blob_type: BlobType,
        id: Id,
        content: &[u8],
    ) -> Result<u64> {
        let Some(target) = self.shared.targets.get(number) else {
            return Ok(0);
        };
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new()?),
        };
        // A second target compresses again: cheaper than keeping every compressed blob for the rare run that has several.
        let mut compressed = encoder.compress(content)?;
        let key = target.repository().key();
        if blob_type == BlobType::Tree {
            return target.with_tree_pack(|pack| compressed.add_to(pack, key, blob_type, id));
        }
        let Some(slot) = self.packs.get_mut(number) else {
            return Ok(0);
        };
        let pack = slot.get_or_insert_with(|| PackBuilder::new(target.pack_buffer()));
        let length = compressed.add_to(pack, key, blob_type, id)?;
        if pack.is_full()
            && let Some(full) = slot.take()
        {
            target.send(full)?;
        }
        Ok(length)
    }

    /// Leaves the packs that are not full to their targets.
    pub(crate) fn leave_packs(&mut self) {
        for (target, pack) in self.shared.targets.iter().zip(&mut self.packs) {
            target.keep_partial(pack.take());
        }
    }
}
