//! Sending: packs of the source with the blobs that are wanted in, packs at the target out. Each byte is read once, several packs at a time.
//!
//! Every blob is decrypted, decompressed and hashed before it is sent. One that is damaged is left out, and the blobs beside it are sent.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::have_same_key;
use super::plan::{Lost, PackPlan, Plan};
use crate::backup::{Target, worker_count};
use crate::blob::{BlobType, PackedBlob};
use crate::blobs::BlobReader;
use crate::decode::{Decoder, sealed_bytes};
use crate::encode::{Compressed, Encoder, ensure_proven, faulty_machine};
use crate::id::Id;
use crate::index::Location;
use crate::pack::{FinishedPack, PackBuilder, TRAILER, header_length, parse_header};
use crate::prefetch::Range;
use crate::progress::Progress;
use crate::{Error, ErrorKind, Result, parallel};

/// More packs than that are not read at once: each may take the memory of a pack.
const MAX_READS: usize = 4;
/// An index object is written after so many packs at the latest, so that an interrupted copy does not send them again.
const PACKS_PER_INDEX: usize = 64;

/// One copy under way.
pub(super) struct Transfer<'a> {
    reader: &'a BlobReader,
    target: &'a Target,
    progress: &'a Progress,
    is_same_key: bool,
    /// Fewer than threads that read: each holds a pack in the making.
    copiers: (Sender<Copier>, Receiver<Copier>),
    lost: Mutex<Lost>,
    packs_read: AtomicUsize,
}

/// What one thread needs to bring blobs into packs.
struct Copier {
    decoder: Decoder,
    encoder: Encoder,
    /// The compressed bytes of the blob in hand.
    opened: Vec<u8>,
    /// The pack of data in the making.
    pack: Option<PackBuilder>,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        reader: &'a BlobReader,
        target: &'a Target,
        progress: &'a Progress,
    ) -> Result<Self> {
        // As many as a target has buffers for.
        let count = worker_count();
        let copiers = bounded(count);
        for _ in 0..count {
            give_back(&copiers.0, Copier::new()?)?;
        }
        Ok(Self {
            reader,
            target,
            progress,
            is_same_key: have_same_key(reader.repository(), target.repository()),
            copiers,
            lost: Mutex::default(),
            packs_read: AtomicUsize::new(0),
        })
    }

    /// Sends everything, and leaves the last packs to [`Target::finish_blobs`]. Out come the blobs that are damaged.
    pub(super) fn run(self, plan: &Plan) -> Result<Lost> {
        let source = self.reader.repository().destination();
        let threads = source.parallelism().clamp(1, MAX_READS);
        parallel::for_each(threads, &plan.packs, |pack| {
            self.progress.check_cancelled()?;
            self.target.failure()?;
            self.send_pack(pack)?;
            self.progress.advance(0, 1);
            match (self.packs_read.fetch_add(1, Relaxed) + 1).is_multiple_of(PACKS_PER_INDEX) {
                true => self.target.checkpoint(),
                false => Ok(()),
            }
        })?;
        for copier in self.copiers.1.try_iter() {
            self.target.keep_partial(copier.pack);
        }
        Ok(self
            .lost
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }

    fn send_pack(&self, plan: &PackPlan) -> Result<()> {
        if plan.is_whole && self.send_whole(plan)? {
            return Ok(());
        }
        let mut locations = plan.blobs.iter().map(|blob| plan.location(blob));
        let mut next = locations.next();
        while let Some(first) = next.take() {
            let mut range = Range::new(first);
            for location in locations.by_ref() {
                next = range.extend(location);
                if next.is_some() {
                    break;
                }
            }
            self.send_range(&range, Attempt::First)?;
        }
        Ok(())
    }

    /// Sends a pack as it is, unless something is wrong with it: then its blobs are looked at one by one.
    fn send_whole(&self, plan: &PackPlan) -> Result<bool> {
        let bytes = match self.reader.get(&plan.pack, 0, plan.size()) {
            Err(error) if error.is_damage() => return Ok(false),
            bytes => bytes?,
        };
        if !self.is_sound(plan, &bytes) {
            return Ok(false);
        }
        let mut buffer = self.target.pack_buffer();
        buffer.clear();
        buffer.extend_from_slice(&bytes);
        drop(bytes);
        self.target.send_finished(FinishedPack {
            id: plan.pack,
            bytes: buffer,
            blobs: plan.blobs.clone(),
        })?;
        let sent = plan.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        self.progress.advance(sent, 0);
        Ok(true)
    }

    /// Whether name, list and every blob of a pack are right.
    fn is_sound(&self, plan: &PackPlan, bytes: &[u8]) -> bool {
        let size = bytes.len() as u64;
        let listed = header_length(bytes, size).and_then(|length| {
            let end = bytes.len().saturating_sub(TRAILER);
            let start = end.saturating_sub(length);
            let header = bytes.get(start..end).unwrap_or_default();
            parse_header(self.reader.repository().key(), header, size)
        });
        let opens = |location: &Location| {
            let decoded = self.reader.decode_with(location, bytes, 0, |_| ());
            decoded.is_ok()
        };
        Id::of(bytes) == plan.pack
            && listed.is_ok_and(|listed| listed == plan.blobs)
            && plan.blobs.iter().all(|blob| opens(&plan.location(blob)))
    }

    fn send_range(&self, range: &Range, attempt: Attempt) -> Result<()> {
        let length = range.end - range.start;
        let damaged = match self.reader.get(&range.pack, range.start, length) {
            Ok(bytes) => self.send_blobs(range, &bytes)?,
            Err(error) if error.is_damage() => {
                let blobs = range.blobs.iter();
                blobs.map(|location| (*location, error.clone())).collect()
            }
            Err(error) => return Err(error),
        };
        for (location, error) in damaged {
            match attempt {
                // A blob by itself: a damaged one hides none beside it, and a line may have failed rather than the store.
                Attempt::First => self.send_range(&Range::new(location), Attempt::Last)?,
                Attempt::Last => {
                    let key = (location.blob.blob_type, location.blob.id);
                    let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                    lost.insert(key, error);
                }
            }
        }
        Ok(())
    }

    /// Sends blobs whose range of a pack was read. Out come those that are damaged.
    fn send_blobs(&self, range: &Range, bytes: &[u8]) -> Result<Vec<(Location, Error)>> {
        let mut copier = self.copiers.1.recv().map_err(|_| no_copier())?;
        let mut damaged = Vec::new();
        let sent = range.blobs.iter().try_for_each(|location| {
            match copier.verify(self, location, bytes, range.start) {
                Ok(sealed) => {
                    copier.send(self, location, sealed)?;
                    self.progress.advance(location.blob.length.into(), 0);
                }
                Err(error) => damaged.push((*location, error)),
            }
            Ok(())
        });
        // Also after an error: others wait for it, and only then see the failure.
        give_back(&self.copiers.0, copier)?;
        sent.map(|()| damaged)
    }
}

/// How often a blob was tried.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    First,
    Last,
}

impl Copier {
    fn new() -> Result<Self> {
        Ok(Self {
            decoder: Decoder::new()?,
            encoder: Encoder::new()?,
            opened: Vec::new(),
            pack: None,
        })
    }

    /// The sealed bytes of a blob, after they were found to be right.
    fn verify<'b>(
        &mut self,
        transfer: &Transfer<'_>,
        location: &Location,
        bytes: &'b [u8],
        start: u64,
    ) -> Result<&'b [u8]> {
        let (blob, reader) = (&location.blob, transfer.reader);
        let key = reader.repository().key();
        self.decoder
            .decode_from(key, blob, bytes, start)
            .map_err(|error| reader.damaged_blob(&location.pack, &blob.id, &error))?;
        sealed_bytes(blob, bytes, start)
    }

    /// Puts a verified blob into a pack of the target.
    fn send(&mut self, transfer: &Transfer<'_>, location: &Location, sealed: &[u8]) -> Result<()> {
        let target = transfer.target;
        if location.blob.blob_type == BlobType::Tree {
            return target.with_tree_pack(|pack| self.add(pack, transfer, &location.blob, sealed));
        }
        let mut pack = match self.pack.take() {
            Some(pack) => pack,
            None => PackBuilder::new(target.pack_buffer()),
        };
        self.add(&mut pack, transfer, &location.blob, sealed)?;
        match pack.is_full() {
            true => target.send(pack),
            false => {
                self.pack = Some(pack);
                Ok(())
            }
        }
    }

    fn add(
        &mut self,
        pack: &mut PackBuilder,
        transfer: &Transfer<'_>,
        blob: &PackedBlob,
        sealed: &[u8],
    ) -> Result<()> {
        let is_compressed = blob.uncompressed_length.is_some();
        let repository = transfer.target.repository();
        if transfer.is_same_key && (repository.compresses() || !is_compressed) {
            return pack.add_sealed(blob, sealed);
        }
        let from = transfer.reader.repository().key();
        let to = repository.key();
        if is_compressed && !repository.compresses() {
            let plain = self
                .decoder
                .decode_from(from, blob, sealed, blob.offset.into())?;
            Compressed::uncompressed(plain).add_to(pack, to, blob.blob_type, blob.id)?;
            return ensure_proven(Id::of(plain), blob.id);
        }
        from.open_into(sealed, &mut self.opened)?;
        if !is_compressed {
            // A program that did not compress made it, or it cannot be compressed.
            let prepared = self.encoder.prepare(repository, &self.opened)?;
            prepared.add_to(pack, to, blob.blob_type, blob.id)?;
            return ensure_proven(Id::of(&self.opened), blob.id);
        }
        let length = blob.uncompressed_length;
        let sealed = pack.add(to, blob.blob_type, blob.id, &self.opened, length)?;
        // What was opened has been decompressed and hashed. If it comes back, it is still that.
        to.expect_opens_to(sealed, &self.opened)
            .map_err(|error| faulty_machine(error.on(format!("the blob {}", blob.id.short()))))
    }
}

fn give_back(copiers: &Sender<Copier>, copier: Copier) -> Result<()> {
    copiers.send(copier).map_err(|_| no_copier())
}

fn no_copier() -> Error {
    Error::new(ErrorKind::Failed, "a thread of the copy ended too early")
}
