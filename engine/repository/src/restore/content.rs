//! The content of many files at once: pieces of packs in, bytes at offsets of files out.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::backup::Problem;
use crate::blob::PackedBlob;
use crate::blobs::{BlobReader, MAX_GAP, READ_SIZE};
use crate::id::Id;
use crate::index::Location;
use crate::progress::Progress;
use crate::tree::Node;
use crate::{Error, Result, parallel};

/// Files with several pieces that are kept open between them; a process may have 1024 files open.
const MAX_OPEN: usize = 256;
/// A run of zeros of this length becomes a hole.
const HOLE: usize = 64 * 1024;

/// Makes and finishes the files themselves.
pub(super) trait FileSink: Sync {
    /// Makes an empty file.
    fn create(&self, path: &[u8]) -> Result<File>;

    /// Opens a file that was made before, for writing.
    fn reopen(&self, path: &[u8]) -> Result<File>;

    /// All content is written.
    fn complete(&self, path: &[u8], file: &File, node: &Node) -> Result<()>;

    /// The content is damaged: what was made of the file goes.
    fn abandon(&self, path: &[u8]) -> Result<()>;
}

/// Files whose content is fetched together.
#[derive(Default)]
pub(super) struct Window {
    files: Vec<PendingFile>,
    pieces: Vec<Piece>,
    /// In the order of the first file that needs each.
    packs: Vec<Id>,
    numbers: HashMap<Id, u32>,
}

struct PendingFile {
    path: Vec<u8>,
    node: Node,
    remaining: AtomicUsize,
    state: Mutex<FileState>,
}

#[derive(Default)]
struct FileState {
    made: bool,
    open: Option<Arc<File>>,
    /// Why it cannot be restored.
    damage: Option<String>,
}

/// A blob's place in a pack and in a file.
#[derive(Clone, Copy)]
struct Piece {
    pack: u32,
    blob: PackedBlob,
    blobs_end: u64,
    file: usize,
    position: u64,
}

impl Window {
    /// How many pieces are waiting.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Adds a file with content.
    pub(super) fn add(&mut self, reader: &BlobReader, path: Vec<u8>, mut node: Node) -> Result<()> {
        let content = node.content.take().unwrap_or_default();
        let mut position = 0;
        for id in &content {
            let location = reader
                .locate(crate::BlobType::Data, id)
                .map_err(|error| error.on(String::from_utf8_lossy(&path)))?;
            let packs = &mut self.packs;
            let pack = *self.numbers.entry(location.pack).or_insert_with(|| {
                packs.push(location.pack);
                packs.len() as u32 - 1
            });
            let Location {
                blob, blobs_end, ..
            } = location;
            self.pieces.push(Piece {
                pack,
                blob,
                blobs_end,
                file: self.files.len(),
                position,
            });
            position += u64::from(blob.plain_length());
        }
        let remaining = AtomicUsize::new(content.len());
        self.files.push(PendingFile {
            path,
            node,
            remaining,
            state: Mutex::default(),
        });
        Ok(())
    }

    /// Fetches and writes everything but files whose content is damaged, which it returns.
    pub(super) fn restore(
        mut self,
        reader: &BlobReader,
        sink: &dyn FileSink,
        progress: &Progress,
    ) -> Result<Vec<Problem>> {
        self.pieces
            .sort_unstable_by_key(|piece| (piece.pack, piece.blob.offset, piece.file));
        let reads = reads(&self.pieces);
        let writer = ContentWriter {
            window: &self,
            reader,
            sink,
            progress,
            open: AtomicUsize::new(0),
        };
        parallel::for_each(thread_count(reader), &reads, |read| writer.fetch(read))?;
        let damaged = self.files.into_iter().filter_map(|file| {
            let state = file
                .state
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            let path = String::from_utf8_lossy(&file.path).into_owned();
            state.damage.map(|message| Problem { path, message })
        });
        Ok(damaged.collect())
    }
}

/// Decoding keeps the cores busy; a few more threads hide the time that reading takes.
fn thread_count(reader: &BlobReader) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (cores + 1).min(reader.repository().destination().parallelism().max(1))
}

/// Pieces that lie close together in a pack.
fn reads(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut reads = Vec::new();
    let mut rest = pieces;
    while let Some(first) = rest.first() {
        let start = u64::from(first.blob.offset);
        let mut end = first.blob.end();
        let count = rest
            .iter()
            .take_while(|piece| {
                let near = piece.pack == first.pack
                    && u64::from(piece.blob.offset) <= end + MAX_GAP
                    && (piece.blob.end() - start <= READ_SIZE
                        || piece.blob.offset == first.blob.offset);
                end = if near { end.max(piece.blob.end()) } else { end };
                near
            })
            .count();
        let (read, after) = rest.split_at(count.max(1));
        reads.push(read);
        rest = after;
    }
    reads
}

/// Pieces are sorted, so those of one blob stand together.
fn same_blob(a: &Piece, b: &Piece) -> bool {
    a.pack == b.pack && a.blob == b.blob
}

struct ContentWriter<'a> {
    window: &'a Window,
    reader: &'a BlobReader,
    sink: &'a dyn FileSink,
    progress: &'a Progress,
    open: AtomicUsize,
}

impl ContentWriter<'_> {
    /// Reads a range of a pack and writes each of its blobs wherever it belongs.
    fn fetch(&self, pieces: &[Piece]) -> Result<()> {
        self.progress.check_cancelled()?;
        let Some(first) = pieces.first() else {
            return Ok(());
        };
        let Some(pack) = self.window.packs.get(first.pack as usize) else {
            return Ok(());
        };
        let start = u64::from(first.blob.offset);
        let end = pieces
            .iter()
            .map(|piece| piece.blob.end())
            .max()
            .unwrap_or(start);
        let bytes = match self.reader.get(pack, start, end - start) {
            Ok(bytes) => bytes,
            // Damage of one blob is no reason to lose its neighbours.
            Err(error) if error.is_damage() && pieces.len() > 1 => {
                return pieces
                    .chunk_by(same_blob)
                    .try_for_each(|same| self.fetch_one(same));
            }
            Err(error) if error.is_damage() => return self.give_up(pieces, &error),
            Err(error) => return Err(error),
        };
        pieces
            .chunk_by(same_blob)
            .try_for_each(|same| self.decode(same, pack, &bytes, start))
    }

    /// The places of a single blob.
    fn fetch_one(&self, same: &[Piece]) -> Result<()> {
        let Some(piece) = same.first() else {
            return Ok(());
        };
        let Some(pack) = self.window.packs.get(piece.pack as usize) else {
            return Ok(());
        };
        let start = u64::from(piece.blob.offset);
        match self.reader.get(pack, start, u64::from(piece.blob.length)) {
            Ok(bytes) => self.decode(same, pack, &bytes, start),
            Err(error) if error.is_damage() => self.give_up(same, &error),
            Err(error) => Err(error),
        }
    }

    /// Writes one blob wherever it belongs.
    fn decode(&self, same: &[Piece], pack: &Id, bytes: &[u8], start: u64) -> Result<()> {
        let Some(piece) = same.first() else {
            return Ok(());
        };
        let location = Location {
            pack: *pack,
            blob: piece.blob,
            blobs_end: piece.blobs_end,
        };
        let written = self.reader.decode_with(&location, bytes, start, |content| {
            same.iter().try_for_each(|piece| self.write(piece, content))
        });
        match written {
            Ok(written) => written,
            Err(error) => self.give_up(same, &error),
        }
    }

    /// The files that need this blob cannot be restored.
    fn give_up(&self, same: &[Piece], error: &Error) -> Result<()> {
        for piece in same {
            if let Some(pending) = self.window.files.get(piece.file) {
                lock(&pending.state)
                    .damage
                    .get_or_insert_with(|| error.to_string());
                self.piece_done(pending, None)?;
            }
        }
        Ok(())
    }

    fn write(&self, piece: &Piece, content: &[u8]) -> Result<()> {
        let Some(pending) = self.window.files.get(piece.file) else {
            return Ok(());
        };
        let file = self.file(pending)?;
        write_with_holes(&file, content, piece.position).map_err(|error| {
            Error::io("cannot be written", error).on(String::from_utf8_lossy(&pending.path))
        })?;
        self.progress.advance(content.len() as u64, 0);
        self.piece_done(pending, Some(&file))
    }

    /// After a file's last piece it is complete, or abandoned where one was damaged.
    fn piece_done(&self, pending: &PendingFile, file: Option<&File>) -> Result<()> {
        if pending.remaining.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let mut state = lock(&pending.state);
        if state.open.take().is_some() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.progress.advance(0, 1);
        match file {
            Some(file) if state.damage.is_none() => {
                self.sink.complete(&pending.path, file, &pending.node)
            }
            _ if state.made => self.sink.abandon(&pending.path),
            _ => Ok(()),
        }
    }

    /// The file, made by whoever comes first and kept open where there is room.
    fn file(&self, pending: &PendingFile) -> Result<Arc<File>> {
        let mut state = lock(&pending.state);
        if let Some(file) = &state.open {
            return Ok(Arc::clone(file));
        }
        let file = if state.made {
            self.sink.reopen(&pending.path)?
        } else {
            let file = self.sink.create(&pending.path)?;
            file.set_len(pending.node.size).map_err(|error| {
                Error::io("cannot be written", error).on(String::from_utf8_lossy(&pending.path))
            })?;
            file
        };
        let file = Arc::new(file);
        state.made = true;
        let more_to_come = pending.remaining.load(Ordering::Acquire) > 1;
        if more_to_come && self.open.fetch_add(1, Ordering::Relaxed) < MAX_OPEN {
            state.open = Some(Arc::clone(&file));
        } else if more_to_come {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(file)
    }
}

/// Writes all but long runs of zeros, which a file of the right length has already. They become holes.
fn write_with_holes(file: &File, content: &[u8], position: u64) -> std::io::Result<()> {
    let mut start = 0;
    for run in zero_runs(content) {
        let data = content.get(start..run.start).unwrap_or_default();
        file.write_all_at(data, position + start as u64)?;
        start = run.end;
    }
    file.write_all_at(
        content.get(start..).unwrap_or_default(),
        position + start as u64,
    )
}

/// Runs of zeros of at least [`HOLE`] bytes, found at multiples of it.
fn zero_runs(content: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    content
        .chunks(HOLE)
        .enumerate()
        .filter_map(|(number, block)| {
            let start = number * HOLE;
            (block.len() == HOLE && is_zero(block)).then_some(start..start + HOLE)
        })
}

fn is_zero(block: &[u8]) -> bool {
    // Most blocks end this at the first byte; the rest compares words.
    block.first() == Some(&0)
        && block
            .chunks(16)
            .all(|word| word.iter().fold(0, |sum, byte| sum | byte) == 0)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes_and_read_back_as_zeros() {
        let file = tempfile::tempfile().expect("a file");
        let mut content = vec![7; 4 * HOLE + 100];
        content[HOLE..3 * HOLE].fill(0);
        content[3 * HOLE + 5..].fill(0);
        file.set_len(10 + content.len() as u64).expect("set");
        write_with_holes(&file, &content, 10).expect("written");
        let mut read = vec![1; content.len()];
        file.read_exact_at(&mut read, 10).expect("read");
        assert_eq!(read, content);
        assert_eq!(zero_runs(&content).count(), 2);
    }

    #[test]
    fn pieces_that_lie_together_are_read_at_once() {
        let piece = |pack, offset, length| Piece {
            pack,
            blob: PackedBlob {
                id: Id::of(b""),
                blob_type: crate::BlobType::Data,
                offset,
                length,
                uncompressed_length: None,
            },
            blobs_end: 0,
            file: 0,
            position: 0,
        };
        let mib = 1 << 20;
        let pieces = [
            piece(0, 0, mib),
            piece(0, mib, mib),
            piece(0, mib, mib),
            piece(0, 3 * mib, mib),
            piece(0, 4 * mib, 4 * mib),
            piece(0, 8 * mib, 8 * mib),
            piece(0, 8 * mib, 8 * mib),
            piece(1, 0, 100),
        ];
        let lengths: Vec<usize> = reads(&pieces).iter().map(|read| read.len()).collect();
        assert_eq!(lengths, [3, 1, 1, 2, 1]);
    }
}
