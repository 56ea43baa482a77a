//! The content of many files at once: ranges of packs in, bytes at offsets of files out.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use rustix::io::Errno;

use super::refused::{FULL, is_fatal, is_no_room};
use super::sparse::write_with_holes;
use super::target::close;
use super::window::{FileState, Lost, PendingFile, Piece, Window, reads, same_blob};
use crate::blobs::BlobReader;
use crate::decode::Decoding;
use crate::guard::lock;
use crate::id::Id;
use crate::progress::Progress;
use crate::tree::Node;
use crate::{Error, Result, descriptors, parallel};

/// Files with several pieces that are kept open between them, where as many may be.
const MAX_OPEN: usize = 256;

/// Makes and finishes the files themselves. What it does not take is no reason to end.
pub(super) trait FileSink: Sync {
    /// Makes an empty file, and says where it is until it is whole.
    fn create(&self, path: &[u8]) -> Result<(Vec<u8>, File)>;

    /// Opens a file that was made before and is not whole, for writing.
    fn reopen(&self, beside: &[u8]) -> Result<File>;

    /// All content is written: it gets its place.
    fn complete(&self, path: &[u8], beside: &[u8], file: File, node: &Node) -> Result<()>;

    /// What was made of a file that will not be whole goes.
    fn abandon(&self, beside: &[u8]);
}

/// A file that was left out.
pub(super) struct LostFile {
    pub(super) path: Vec<u8>,
    pub(super) node: Node,
    pub(super) why: Lost,
}

/// Fetches and writes everything in `window` but files that are damaged, or that the target does not take, which it returns.
pub(super) fn restore(
    mut window: Window,
    reader: &BlobReader,
    sink: &dyn FileSink,
    progress: &Progress,
) -> Result<Vec<LostFile>> {
    window.sort();
    let reads = reads(&window.pieces);
    let writer = ContentWriter {
        window: &window,
        reader,
        sink,
        progress,
        open: AtomicUsize::new(0),
        without_room: AtomicUsize::new(0),
        most_open: descriptors::share(MAX_OPEN, 4),
    };
    let done = parallel::share(thread_count(reader), &reads, |reads| {
        writer.fetch_all(reads)
    });
    let mut lost = Vec::new();
    for file in window.files {
        let state = file
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(beside) = state.beside {
            // Something ended it in the middle of this file.
            sink.abandon(&beside);
        }
        let (path, node) = (file.path, file.node);
        lost.extend(state.lost.map(|why| LostFile { path, node, why }));
    }
    done.map(|()| lost)
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
    /// Files since the last one that found room.
    without_room: AtomicUsize,
    most_open: usize,
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
        if self.is_in_vain(pieces) {
            return pieces.iter().try_for_each(|piece| self.pass_over(piece));
        }
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
                self.lose(&mut lock(&pending.state), Lost::Damaged(error.to_string()))?;
                self.piece_done(pending, None)?;
            }
        }
        Ok(())
    }

    /// Whether no file needs these pieces any more.
    fn is_in_vain(&self, pieces: &[Piece]) -> bool {
        let is_full = self.is_full();
        pieces.iter().all(|piece| {
            self.window.files.get(piece.file).is_none_or(|pending| {
                let state = lock(&pending.state);
                state.lost.is_some() || (is_full && state.beside.is_none())
            })
        })
    }

    fn pass_over(&self, piece: &Piece) -> Result<()> {
        let Some(pending) = self.window.files.get(piece.file) else {
            return Ok(());
        };
        self.lose(&mut lock(&pending.state), Lost::Refused(no_room()))?;
        self.piece_done(pending, None)
    }

    /// Nothing is begun any more: it would find no room either.
    fn is_full(&self) -> bool {
        self.without_room.load(Ordering::Relaxed) >= FULL
    }

    fn write(&self, piece: &Piece, content: &[u8]) -> Result<()> {
        let Some(pending) = self.window.files.get(piece.file) else {
            return Ok(());
        };
        let written = match self.file(pending) {
            Ok(None) => return self.piece_done(pending, None),
            Ok(Some(file)) => write_piece(&file, piece, content, pending).map(|()| file),
            Err(error) => Err(error),
        };
        match written {
            Ok(file) => {
                self.progress.advance(content.len() as u64, 0);
                self.piece_done(pending, Some(file))
            }
            Err(error) => {
                self.lose(&mut lock(&pending.state), Lost::Refused(error))?;
                self.piece_done(pending, None)
            }
        }
    }

    /// Leaves a file out, for the first reason that there is. What was made of it goes at once, for the room that it takes.
    fn lose(&self, state: &mut FileState, why: Lost) -> Result<()> {
        if state.open.take().is_some() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(beside) = state.beside.take() {
            self.sink.abandon(&beside);
        }
        if state.lost.is_some() {
            return Ok(());
        }
        if let Lost::Refused(error) = &why {
            if is_fatal(error) {
                return Err(error.clone());
            }
            if is_no_room(error) {
                self.without_room.fetch_add(1, Ordering::Relaxed);
            }
        }
        state.lost = Some(why);
        Ok(())
    }

    /// After a file's last piece it is complete.
    fn piece_done(&self, pending: &PendingFile, file: Option<Arc<File>>) -> Result<()> {
        let mut state = lock(&pending.state);
        state.remaining = state.remaining.saturating_sub(1);
        // Given back while the state is held, so that who comes last has the only one.
        let is_last = state.remaining == 0;
        if is_last && state.open.take().is_some() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        let file = file.and_then(Arc::into_inner);
        if !is_last {
            return match file.map_or(Ok(()), close) {
                Err(error) => self.lose(&mut state, Lost::Refused(error)),
                Ok(()) => Ok(()),
            };
        }
        self.progress.advance(0, 1);
        let Some(beside) = state.beside.take() else {
            return Ok(());
        };
        let file = file.map_or_else(|| self.sink.reopen(&beside), Ok);
        let completed = file.and_then(|file| {
            self.sink
                .complete(&pending.path, &beside, file, &pending.node)
        });
        match completed {
            Ok(()) => {
                self.without_room.store(0, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                state.beside = Some(beside);
                self.lose(&mut state, Lost::Refused(error))
            }
        }
    }

    /// The file, made by whoever comes first and kept open where there is room. None where it is lost.
    fn file(&self, pending: &PendingFile) -> Result<Option<Arc<File>>> {
        let mut state = lock(&pending.state);
        if state.lost.is_some() {
            return Ok(None);
        }
        if let Some(file) = &state.open {
            return Ok(Some(Arc::clone(file)));
        }
        let file = match &state.beside {
            Some(beside) => self.sink.reopen(beside)?,
            None if self.is_full() => return Err(no_room()),
            None => {
                let (beside, file) = self.sink.create(&pending.path)?;
                state.beside = Some(beside);
                if !pending.is_one_piece() {
                    file.set_len(pending.node.size).map_err(not_written)?;
                }
                file
            }
        };
        let file = Arc::new(file);
        let more_to_come = state.remaining > 1;
        if more_to_come && self.open.fetch_add(1, Ordering::Relaxed) < self.most_open {
            state.open = Some(Arc::clone(&file));
        } else if more_to_come {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(Some(file))
    }
}

/// A file of one piece has no length before.
fn write_piece(file: &File, piece: &Piece, content: &[u8], pending: &PendingFile) -> Result<()> {
    let end = write_with_holes(file, content, piece.position).map_err(not_written)?;
    match pending.is_one_piece() && end < pending.node.size {
        true => file.set_len(pending.node.size).map_err(not_written),
        false => Ok(()),
    }
}

fn not_written(error: std::io::Error) -> Error {
    Error::io("cannot be written", error)
}

fn no_room() -> Error {
    not_written(Errno::NOSPC.into())
}
