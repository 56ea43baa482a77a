//! Blobs that are needed, out of packs that go and into new ones. They stay encrypted as they are, after each was decrypted and hashed: a
//! damaged one must not lose its last chance to be found.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::inventory::Inventory;
use crate::blob::{BlobType, PackedBlob};
use crate::blobs::{BlobReader, MAX_GAP, READ_SIZE};
use crate::buffer::Pool;
use crate::chunker::MAX_SIZE;
use crate::decode::sealed_bytes;
use crate::id::Id;
use crate::index::{IndexPack, IndexWriter, Location};
use crate::lock::Lock;
use crate::pack::{PackBuilder, TARGET_SIZE};
use crate::progress::Progress;
use crate::{Error, Result, guard, parallel};

/// More packs are not read at once: each thread fills a pack's memory.
const MAX_THREADS: usize = 4;
/// So many new packs are named by an index object at the latest, so that a prune that is killed need not copy them again.
const PACKS_BETWEEN_INDEXES: usize = 64;

/// The new packs.
pub(super) struct Repacked {
    /// What an index has to say of them.
    pub(super) packs: Vec<IndexPack>,
    /// Index objects that name some of them already.
    pub(super) index_files: Vec<Id>,
    /// Bytes of the packs.
    pub(super) bytes: u64,
}

/// Copies what is needed of `packs`. All new packs are durable when it returns.
pub(super) fn repack(
    inventory: &Inventory,
    packs: &[usize],
    lock: &Lock,
    progress: &Progress,
) -> Result<Repacked> {
    let reader = inventory.reader();
    let threads = reader
        .repository()
        .destination()
        .parallelism()
        .clamp(1, MAX_THREADS);
    let repack = Repack {
        inventory,
        lock,
        progress,
        // Each thread sends at most one pack, while there is one of each type in the making.
        buffers: Pool::new(threads + 2, TARGET_SIZE + MAX_SIZE),
        making: Default::default(),
        stored: Mutex::default(),
        bytes: AtomicU64::new(0),
    };
    parallel::for_each(threads, packs, |number| repack.copy(*number))?;
    for pack in &repack.making {
        let last = guard::lock(pack).take();
        repack.send(last)?;
    }
    let stored = repack
        .stored
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    Ok(Repacked {
        packs: stored.packs,
        index_files: stored.index_files,
        bytes: repack.bytes.into_inner(),
    })
}

struct Repack<'a> {
    inventory: &'a Inventory,
    lock: &'a Lock,
    progress: &'a Progress,
    buffers: Arc<Pool>,
    /// The pack of data and the pack of trees that are being filled.
    making: [Mutex<Option<PackBuilder>>; 2],
    stored: Mutex<Stored>,
    bytes: AtomicU64,
}

#[derive(Default)]
struct Stored {
    packs: Vec<IndexPack>,
    /// How many of them index objects name.
    indexed: usize,
    index_files: Vec<Id>,
}

impl Repack<'_> {
    /// Copies what is needed of one pack.
    fn copy(&self, number: usize) -> Result<()> {
        let Some(pack) = self.inventory.packs().get(number) else {
            return Ok(());
        };
        let blobs = self.inventory.blobs(number);
        let needed: Vec<PackedBlob> = blobs
            .filter(|(_, needed)| *needed)
            .map(|(blob, _)| blob)
            .collect();
        for near in near(&needed) {
            self.progress.check_cancelled()?;
            self.copy_range(&pack.id, near)?;
        }
        self.progress.advance(pack.size.unwrap_or(0), 1);
        Ok(())
    }

    /// Copies blobs that lie close together, with one read.
    fn copy_range(&self, pack: &Id, blobs: &[PackedBlob]) -> Result<()> {
        let (Some(first), Some(last)) = (blobs.first(), blobs.last()) else {
            return Ok(());
        };
        let reader = self.inventory.reader();
        let start = u64::from(first.offset);
        let bytes = reader.get(pack, start, last.end() - start);
        for blob in blobs {
            let location = Location {
                pack: *pack,
                blob: *blob,
                blobs_end: last.end(),
            };
            let proven = bytes.as_ref().map_err(Error::clone).and_then(|bytes| {
                reader.decode_with(&location, bytes, start, |_| ())?;
                sealed_bytes(blob, bytes, start)
            });
            match proven {
                Ok(sealed) => self.add(blob, sealed)?,
                Err(error) => self.copy_other(pack, blob, error)?,
            }
        }
        Ok(())
    }

    /// Copies a blob that could not be read beside others in `pack`: by itself, or from another pack that holds it too.
    fn copy_other(&self, pack: &Id, blob: &PackedBlob, error: Error) -> Result<()> {
        let reader = self.inventory.reader();
        if !error.is_damage() {
            return Err(error);
        }
        let read = |place: &Location| Ok((place.blob, reader.read_sealed(place)?));
        // The pack may be good but for a blob beside it.
        let here = Location {
            pack: *pack,
            blob: *blob,
            blobs_end: blob.end(),
        };
        let found = read(&here)
            .or_else(|error| reader.try_elsewhere(pack, blob, error, read))
            .map_err(|error| stopped(reader, error));
        let (blob, sealed) = found?;
        self.add(&blob, &sealed)
    }

    fn add(&self, blob: &PackedBlob, sealed: &[u8]) -> Result<()> {
        let [data, trees] = &self.making;
        let making = match blob.blob_type {
            BlobType::Data => data,
            BlobType::Tree => trees,
        };
        let mut slot = guard::lock(making);
        let pack = slot.get_or_insert_with(|| PackBuilder::new(self.buffers.take()));
        pack.add_sealed(blob, sealed)?;
        let full = slot.take_if(|pack| pack.is_full());
        drop(slot);
        self.send(full)
    }

    /// Stores a finished pack.
    fn send(&self, pack: Option<PackBuilder>) -> Result<()> {
        let Some(pack) = pack else {
            return Ok(());
        };
        let repository = self.inventory.reader().repository();
        let (pack, size) = repository.save_pack(pack)?;
        self.bytes.fetch_add(size, Relaxed);
        self.progress.stored_bytes.fetch_add(size, Relaxed);
        self.remember(pack)
    }

    /// Names new packs in an index object from time to time.
    fn remember(&self, pack: IndexPack) -> Result<()> {
        let mut stored = guard::lock(&self.stored);
        stored.packs.push(pack);
        if stored.packs.len() < stored.indexed + PACKS_BETWEEN_INDEXES {
            return Ok(());
        }
        let mut writer = IndexWriter::new(self.inventory.reader().repository(), self.lock);
        for pack in stored.packs.iter().skip(stored.indexed) {
            writer.add(pack.clone())?;
        }
        let files = writer.finish()?;
        stored.index_files.extend(files);
        stored.indexed = stored.packs.len();
        Ok(())
    }
}

/// Blobs in the order of their offsets, in groups that one read should bring.
fn near(blobs: &[PackedBlob]) -> Vec<&[PackedBlob]> {
    let mut groups = Vec::new();
    let mut rest = blobs;
    while let Some(first) = rest.first() {
        let mut end = first.end();
        let follow = rest.iter().skip(1).take_while(|blob| {
            let near = u64::from(blob.offset) <= end + MAX_GAP
                && blob.end() - u64::from(first.offset) <= READ_SIZE;
            end = end.max(blob.end());
            near
        });
        let (group, after) = rest.split_at(1 + follow.count());
        groups.push(group);
        rest = after;
    }
    groups
}

/// Damage in what is needed: nothing may be removed before somebody has looked.
fn stopped(reader: &BlobReader, error: Error) -> Error {
    if !error.is_damage() {
        return error;
    }
    let name = reader.repository().name();
    error.hint(format!(
        "backups need it, so nothing was removed; `strongroom check --read-data {name}` names all that is damaged"
    ))
}
