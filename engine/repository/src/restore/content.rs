//! The content of many files at once: ranges of packs in, bytes at offsets of files out.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::sparse::write_with_holes;
use super::window::{PendingFile, Piece, Window, batches, reads, same_blob};
use crate::backup::Problem;
use crate::blob::PackedBlob;
use crate::blobs::BlobReader;
use crate::id::Id;
use crate::progress::Progress;
use crate::tree::Node;
use crate::{Error, Result, parallel};

/// Files with several pieces that are kept open between them; a process may have 1024 files open.
const MAX_OPEN: usize = 256;

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

/// Fetches and writes everything in `window` but files whose content is damaged, which it returns.
pub(super) fn restore(
    mut window: Window,
    reader: &BlobReader,
    sink: &dyn FileSink,
    progress: &Progress,
) -> Result<Vec<Problem>> {
    window.sort();
    let reads = reads(&window.pieces);
    let writer = ContentWriter {
        window: &window,
        reader,
        sink,
        progress,
        open: AtomicUsize::new(0),
    };
    parallel::for_each(thread_count(reader), &reads, |read| writer.fetch(read))?;
    let damaged = window.files.into_iter().filter_map(|file| {
        let state = file
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let path = String::from_utf8_lossy(&file.path).into_owned();
        state.damage.map(|message| Problem { path, message })
    });
    Ok(damaged.collect())
}

/// Decoding keeps the cores busy; a few more threads hide the time that reading takes.
fn thread_count(reader: &BlobReader) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (cores + 1).min(reader.repository().destination().parallelism().max(1))
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
        let Some((pack, range)) = self.window.range(pieces) else {
            return Ok(());
        };
        let is_one_blob = pieces.chunk_by(same_blob).nth(1).is_none();
        match self.reader.get(pack, range.start, range.end - range.start) {
            Ok(bytes) => batches(pieces)
                .into_iter()
                .try_for_each(|batch| self.decode(batch, pack, &bytes, range.start)),
            Err(error) if !error.is_damage() => Err(error),
            Err(error) if is_one_blob => self.give_up(pieces, &error),
            // Damage of one blob is no reason to lose its neighbours.
            Err(_) => pieces
                .chunk_by(same_blob)
                .try_for_each(|same| self.fetch(same)),
        }
    }

    /// Writes each blob of a batch wherever it belongs.
    fn decode(&self, batch: &[Piece], pack: &Id, bytes: &[u8], start: u64) -> Result<()> {
        let mut groups = batch.chunk_by(same_blob);
        let blobs: Vec<PackedBlob> = groups
            .clone()
            .filter_map(|same| same.first())
            .map(|piece| piece.blob)
            .collect();
        self.reader
            .decode_all_with(pack, &blobs, bytes, start, |content| {
                let same = groups.next().unwrap_or_default();
                match content {
                    Ok(content) => same.iter().try_for_each(|piece| self.write(piece, content)),
                    Err(error) => self.give_up(same, &error),
                }
            })
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
