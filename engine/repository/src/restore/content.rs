//! The content of many files at once: ranges of packs in, bytes at offsets of files out.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use super::sparse::write_with_holes;
use super::window::{PendingFile, Piece, Window, reads, same_blob};
use crate::blobs::BlobReader;
use crate::decode::Decoding;
use crate::guard::lock;
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

/// A file whose content is damaged.
pub(super) struct DamagedFile {
    pub(super) path: Vec<u8>,
    /// How many it should have.
    pub(super) bytes: u64,
    /// What is wrong.
    pub(super) message: String,
}

/// Fetches and writes everything in `window` but files whose content is damaged, which it returns.
pub(super) fn restore(
    mut window: Window,
    reader: &BlobReader,
    sink: &dyn FileSink,
    progress: &Progress,
) -> Result<Vec<DamagedFile>> {
    window.sort();
    let reads = reads(&window.pieces);
    let writer = ContentWriter {
        window: &window,
        reader,
        sink,
        progress,
        open: AtomicUsize::new(0),
    };
    parallel::share(thread_count(reader), &reads, |reads| {
        writer.fetch_all(reads)
    })?;
    let damaged = window.files.into_iter().filter_map(|file| {
        let state = file
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        state.damage.map(|message| DamagedFile {
            path: file.path,
            bytes: file.node.size,
            message,
        })
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
    /// Reads ranges of packs and writes each of their blobs wherever it belongs.
    fn fetch_all(&self, reads: &mut dyn Iterator<Item = &&[Piece]>) -> Result<()> {
        let mut decoding = Decoding::new()?;
        for read in reads {
            self.fetch(read, &mut decoding)?;
        }
        decoding.finish(|same, content| self.place(same, content))
    }

    /// Reads a range of a pack, and writes what is decoded meanwhile.
    fn fetch<'w>(&self, pieces: &'w [Piece], decoding: &mut Decoding<&'w [Piece]>) -> Result<()> {
        self.progress.check_cancelled()?;
        let Some((pack, range)) = self.window.range(pieces) else {
            return Ok(());
        };
        let mut blobs = pieces.chunk_by(same_blob);
        match self.reader.get(pack, range.start, range.end - range.start) {
            Ok(bytes) => blobs.try_for_each(|same| {
                let Some(piece) = same.first() else {
                    return Ok(());
                };
                let key = self.reader.repository().key();
                decoding.add(
                    key,
                    &piece.blob,
                    (&bytes, range.start),
                    same,
                    |same, content| self.place(same, content),
                )
            }),
            Err(error) if !error.is_damage() => Err(error),
            Err(error) if blobs.nth(1).is_none() => self.fetch_elsewhere(pieces, pack, error),
            // Damage of one blob is no reason to lose its neighbours.
            Err(_) => pieces
                .chunk_by(same_blob)
                .try_for_each(|same| self.fetch(same, decoding)),
        }
    }

    /// Writes what was decoded, or what another pack holds of it.
    fn place(&self, same: &[Piece], content: Result<&[u8]>) -> Result<()> {
        let error = match content {
            Ok(content) => return self.write_all(same, content),
            Err(error) => error,
        };
        match same.first().zip(self.window.range(same)) {
            Some((piece, (pack, _))) => {
                let error = self.reader.damaged_blob(pack, &piece.blob.id, &error);
                self.fetch_elsewhere(same, pack, error)
            }
            None => self.give_up(same, &error),
        }
    }

    /// Writes a blob wherever it belongs.
    fn write_all(&self, same: &[Piece], content: &[u8]) -> Result<()> {
        same.iter().try_for_each(|piece| self.write(piece, content))
    }

    /// Writes a blob that cannot be read in `pack` wherever it belongs, from another pack.
    fn fetch_elsewhere(&self, same: &[Piece], pack: &Id, error: Error) -> Result<()> {
        let Some(first) = same.first() else {
            return Ok(());
        };
        match self.reader.read_elsewhere(pack, &first.blob, error) {
            Ok(content) => self.write_all(same, &content),
            Err(error) if error.is_damage() => self.give_up(same, &error),
            Err(error) => Err(error),
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
