//! Bytes of files in, batches of chunks out. Large files span several batches; many small files share one.

use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read};

use super::file::FileInProgress;
use super::pipeline::Shared;
use crate::Result;
use crate::buffer::Buffer;
use crate::chunker::{MAX_SIZE, MIN_SIZE};

/// A slab holds the longest chunk.
pub(crate) const SLAB_SIZE: usize = MAX_SIZE;
/// A batch of tiny files is sent at the latest with this many.
const MAX_CHUNKS: usize = 1024;

/// Chunks that lie in one slab: the unit of work of the pipeline.
pub(crate) struct Batch {
    pub(crate) slab: Buffer,
    pub(crate) chunks: Vec<Chunk>,
}

/// A chunk, `slab[range]`.
pub(crate) struct Chunk {
    pub(crate) range: Range<usize>,
    pub(crate) file: Arc<FileInProgress>,
    pub(crate) number: usize,
}

/// Fills slabs, cuts them into chunks and sends them on. One for each stream.
pub(crate) struct Filler {
    shared: Arc<Shared>,
    slab: Option<Buffer>,
    chunks: Vec<Chunk>,
    /// Where the chunk in hand begins.
    start: usize,
}

impl Filler {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            slab: None,
            chunks: Vec::new(),
            start: 0,
        }
    }

    /// Begins a file of about `size` bytes: a small one is not split over two slabs.
    pub(crate) fn begin(&mut self, size: u64) -> Result<()> {
        let wanted = usize::try_from(size)
            .unwrap_or(SLAB_SIZE)
            .clamp(1, MIN_SIZE);
        if self.room() < wanted || self.chunks.len() >= MAX_CHUNKS {
            self.flush()?;
        }
        self.start = self.slab.as_ref().map_or(0, |slab| slab.len());
        Ok(())
    }

    fn room(&self) -> usize {
        self.slab
            .as_ref()
            .map_or(SLAB_SIZE, |slab| SLAB_SIZE - slab.len())
    }

    /// Reads from `source` as much as fits. Returns 0 at its end.
    pub(crate) fn read(
        &mut self,
        source: impl AsFd,
        limit: u64,
        file: &Arc<FileInProgress>,
    ) -> Result<usize, Errno> {
        let slab = self.make_room(file).map_err(|_| Errno::CANCELED)?;
        let length = slab.len();
        slab.reserve(SLAB_SIZE - length);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // Up to the next hole less is read than there is room for.
        let bounded = limit < SLAB_SIZE - length;
        if bounded {
            slab.resize(length + limit, 0);
        }
        let result = loop {
            let result = match slab.get_mut(length..) {
                Some(room) if bounded => read(&source, room),
                _ => read(&source, spare_capacity(slab)),
            };
            if result != Err(Errno::INTR) {
                break result;
            }
        };
        if bounded {
            slab.truncate(length + result.unwrap_or(0));
        }
        result
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, mut bytes: &[u8], file: &Arc<FileInProgress>) -> Result<()> {
        while !bytes.is_empty() {
            let slab = self.make_room(file)?;
            let (now, later) = bytes.split_at(bytes.len().min(SLAB_SIZE - slab.len()));
            slab.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Appends at most `count` zeros, as many as fit; returns how many. For holes.
    pub(crate) fn zeros(&mut self, count: u64, file: &Arc<FileInProgress>) -> Result<u64> {
        let slab = self.make_room(file)?;
        let length = slab.len();
        let count = count.min((SLAB_SIZE - length) as u64);
        slab.resize(length + count as usize, 0);
        Ok(count)
    }

    /// The slab with room for at least one byte; sends the one in hand on if it is full.
    fn make_room(&mut self, file: &Arc<FileInProgress>) -> Result<&mut Buffer> {
        if self.room() == 0 {
            self.cut(file);
            let unfinished = match &self.slab {
                Some(slab) => slab.get(self.start..).unwrap_or_default(),
                None => &[],
            };
            let mut next = self.shared.slabs.take();
            next.extend_from_slice(unfinished);
            self.send()?;
            self.slab = Some(next);
        }
        self.shared.check()?;
        let slabs = &self.shared.slabs;
        Ok(self.slab.get_or_insert_with(|| slabs.take()))
    }

    /// Cuts off all chunks whose end is certain.
    fn cut(&mut self, file: &Arc<FileInProgress>) {
        while let Some(slab) = &self.slab
            && let Some(rest) = slab.get(self.start..)
            && let Some(length) = self.shared.chunker.cut(rest)
        {
            self.add_chunk(self.start + length, file);
        }
    }

    fn add_chunk(&mut self, end: usize, file: &Arc<FileInProgress>) {
        let number = file.expect_chunk();
        self.chunks.push(Chunk {
            range: self.start..end,
            file: Arc::clone(file),
            number,
        });
        self.start = end;
    }

    /// The file ends here: what is left is its last chunk.
    pub(crate) fn end(&mut self, file: &Arc<FileInProgress>) {
        self.cut(file);
        let end = self.slab.as_ref().map_or(0, |slab| slab.len());
        if end > self.start {
            self.add_chunk(end, file);
        }
    }

    /// Sends on what is there. Only between files.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.send()?;
        self.slab = None;
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.start = 0;
        let chunks = std::mem::take(&mut self.chunks);
        match self.slab.take() {
            Some(slab) if !chunks.is_empty() => self.shared.send(Batch { slab, chunks }),
            _ => Ok(()),
        }
    }
}
