//! Reading single blobs of a repository, verified. Trees come through a small cache of pack ranges, because neighbours are read together. A blob
//! that is damaged in one pack is taken from another one that holds it too, as runs that were killed leave it behind.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::blob::{BlobType, PackedBlob};
use crate::decode::Decoder;
use crate::file::FileType;
use crate::id::Id;
use crate::index::{Index, Location};
use crate::repository::Repository;
use crate::tree::{Node, Tree};
use crate::{Error, ErrorKind, Result};

/// Bytes of a pack that are asked for at once, where many blobs are read.
pub(crate) const READ_SIZE: u64 = 4 * 1024 * 1024;
/// Two blobs with a smaller gap between them come with one read.
pub(crate) const MAX_GAP: u64 = 128 * 1024;

/// Ranges begin at multiples of this and are twice as long, so that no blob of a tree is likely to lie across two.
const WINDOW_STEP: u64 = 1024 * 1024;
/// 16 MiB of ranges at most.
const WINDOWS: usize = 8;

/// Reads blobs. Shared by threads.
pub struct BlobReader {
    repository: Arc<Repository>,
    index: Arc<Index>,
    windows: Mutex<VecDeque<Window>>,
    decoders: Mutex<Vec<Decoder>>,
}

#[derive(Clone)]
struct Window {
    pack: Id,
    start: u64,
    bytes: Bytes,
}

impl BlobReader {
    /// Reads from `repository` what `index` knows.
    pub fn new(repository: Arc<Repository>, index: Arc<Index>) -> Self {
        Self {
            repository,
            index,
            windows: Mutex::default(),
            decoders: Mutex::default(),
        }
    }

    /// The repository.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// What it holds.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Where a blob is, or an error that names it.
    pub fn locate(&self, blob_type: BlobType, id: &Id) -> Result<Location> {
        self.index.get(blob_type, id).ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupted,
                format!(
                    "{} blob {} is missing from the index",
                    blob_type.as_str(),
                    id.short()
                ),
            )
            .on(self.subject())
            .hint(format!("run `strongroom check {}`", self.repository.name()))
        })
    }

    /// Fails where a blob of a file is missing, or where they do not add up to the file's size.
    pub fn check_content(&self, node: &Node) -> Result<()> {
        let mut length = 0;
        for id in node.content.iter().flatten() {
            length += u64::from(self.locate(BlobType::Data, id)?.blob.plain_length());
        }
        if length != node.size {
            return Err(Error::corrupted(format!(
                "has {length} bytes of content where its entry says {}",
                node.size
            )));
        }
        Ok(())
    }

    /// The plain content of a blob.
    pub fn read(&self, blob_type: BlobType, id: &Id) -> Result<Vec<u8>> {
        let location = self.locate(blob_type, id)?;
        self.read_at(&location)
            .or_else(|error| self.read_elsewhere(&location.pack, &location.blob, error))
    }

    fn read_at(&self, location: &Location) -> Result<Vec<u8>> {
        let (sealed, start) = self.sealed_at(location)?;
        self.decode_with(location, &sealed, start, <[u8]>::to_vec)
    }

    /// The encrypted bytes of a blob, after they were found to be right.
    pub(crate) fn read_sealed(&self, location: &Location) -> Result<Bytes> {
        let (sealed, start) = self.sealed_at(location)?;
        self.decode_with(location, &sealed, start, |_| ())?;
        Ok(sealed)
    }

    /// The encrypted bytes of a blob as they are, and where in the pack they begin.
    fn sealed_at(&self, location: &Location) -> Result<(Bytes, u64)> {
        let start = u64::from(location.blob.offset);
        let sealed = self.get(&location.pack, start, location.blob.length.into())?;
        Ok((sealed, start))
    }

    /// The plain content of a blob that could not be read in `pack`, from another pack; `error` where there is no better one.
    pub(crate) fn read_elsewhere(
        &self,
        pack: &Id,
        blob: &PackedBlob,
        error: Error,
    ) -> Result<Vec<u8>> {
        self.try_elsewhere(pack, blob, error, |other| self.read_at(other))
    }

    /// What `read` makes of a blob that could not be read in `pack`, in the first other place where it is not damaged; `error` where there is
    /// none, and where it is none of damage.
    pub(crate) fn try_elsewhere<T>(
        &self,
        pack: &Id,
        blob: &PackedBlob,
        error: Error,
        read: impl Fn(&Location) -> Result<T>,
    ) -> Result<T> {
        if !error.is_damage() {
            return Err(error);
        }
        for other in self.index.elsewhere(blob.blob_type, &blob.id, pack) {
            match read(&other) {
                Err(error) if error.is_damage() => {}
                read => return read,
            }
        }
        Err(error)
    }

    /// The plain content of a tree blob.
    pub fn read_tree(&self, id: &Id) -> Result<Vec<u8>> {
        let location = self.locate(BlobType::Tree, id)?;
        self.with_neighbours(&location, <[u8]>::to_vec)
            .or_else(|error| self.read_elsewhere(&location.pack, &location.blob, error))
    }

    /// Fails where a blob is damaged in this very place.
    pub(crate) fn prove(&self, location: &Location) -> Result<()> {
        self.with_neighbours(location, |_| ())
    }

    fn with_neighbours<T>(&self, location: &Location, take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let (bytes, start) = match self.window(location) {
            Ok(window) => (window.bytes, window.start),
            // What lies beside it may be gone, and it may not.
            Err(error) if error.is_damage() => self.sealed_at(location)?,
            Err(error) => return Err(error),
        };
        self.decode_with(location, &bytes, start, take)
    }

    /// A directory.
    pub fn tree(&self, id: &Id) -> Result<Tree> {
        Tree::decode(&self.read_tree(id)?)
            .map_err(|error| error.on(format!("tree {}", id.short())).on(self.subject()))
    }

    /// A range of a pack.
    pub fn get(&self, pack: &Id, offset: u64, length: u64) -> Result<Bytes> {
        let key = FileType::Pack.key(pack);
        let bytes = self
            .repository
            .destination()
            .get(&key, offset, Some(length))
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::new(
                    ErrorKind::Corrupted,
                    format!("pack {} is missing", pack.short()),
                )
                .on(self.subject())
                .hint(format!("run `strongroom check {}`", self.repository.name())),
                _ => error,
            })?;
        if bytes.len() as u64 != length {
            return Err(self.damaged(pack, "it is shorter than the index says"));
        }
        Ok(bytes)
    }

    /// The plain content of a blob from the bytes of its pack from offset `start` on, or from another pack.
    pub fn decode(&self, location: &Location, pack_bytes: &[u8], start: u64) -> Result<Vec<u8>> {
        self.decode_with(location, pack_bytes, start, <[u8]>::to_vec)
            .or_else(|error| self.read_elsewhere(&location.pack, &location.blob, error))
    }

    /// What `take` makes of a blob in the bytes of its pack from offset `start` on.
    pub fn decode_with<T>(
        &self,
        location: &Location,
        pack_bytes: &[u8],
        start: u64,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        self.with_decoder(|decoder| {
            decoder
                .decode_from(self.repository.key(), &location.blob, pack_bytes, start)
                .map(take)
                .map_err(|error| self.damaged_blob(&location.pack, &location.blob.id, &error))
        })?
    }

    /// Lends out a decoder that some thread used before, or a new one.
    fn with_decoder<T>(&self, work: impl FnOnce(&mut Decoder) -> T) -> Result<T> {
        let lock = || self.decoders.lock().unwrap_or_else(PoisonError::into_inner);
        let used = lock().pop();
        let mut decoder = used.map_or_else(Decoder::new, Ok)?;
        let result = work(&mut decoder);
        lock().push(decoder);
        Ok(result)
    }

    /// The error for a blob of a pack that is not what it was.
    pub(crate) fn damaged_blob(&self, pack: &Id, blob: &Id, error: &Error) -> Error {
        let what = format!("blob {} {}", blob.short(), error.message());
        self.damaged(pack, &what)
    }

    /// The error for a pack whose bytes are not what they were.
    pub fn damaged(&self, pack: &Id, what: &str) -> Error {
        Error::corrupted(format!("pack {} is damaged: {what}", pack.short()))
            .on(self.subject())
            .hint(format!(
                "run `strongroom check --read-data {}`",
                self.repository.name()
            ))
    }

    fn subject(&self) -> String {
        format!("repository {}", self.repository.name())
    }

    fn window(&self, location: &Location) -> Result<Window> {
        let (from, to) = (u64::from(location.blob.offset), location.blob.end());
        let lock = || self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = |window: &&Window| {
            window.pack == location.pack
                && window.start <= from
                && to <= window.start + window.bytes.len() as u64
        };
        if let Some(window) = lock().iter().find(covers) {
            return Ok(window.clone());
        }
        let start = from - from % WINDOW_STEP;
        let end = (start + 2 * WINDOW_STEP)
            .max(to)
            .min(location.blobs_end.max(to));
        let bytes = self.get(&location.pack, start, end - start)?;
        let window = Window {
            pack: location.pack,
            start,
            bytes,
        };
        let mut windows = lock();
        windows.truncate(WINDOWS - 1);
        windows.push_front(window.clone());
        Ok(window)
    }
}
