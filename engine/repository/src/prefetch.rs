//! Blobs in a given order, read ahead by several threads: ids in, plain contents out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver as Jobs, Sender as JobSender, bounded};

use crate::blob::BlobType;
use crate::blobs::{BlobReader, MAX_GAP, READ_SIZE};
use crate::id::Id;
use crate::index::Location;
use crate::{Error, ErrorKind, Result};

/// Blobs that are asked for at once.
const READ_BLOBS: usize = 256;
/// Plain bytes that a range may become: a range of zeros is tiny, and its content is not.
const READ_CONTENT: u64 = 16 * 1024 * 1024;
const THREADS: usize = 4;

/// A range of a pack with blobs that are wanted in order.
pub(crate) struct Range {
    pub(crate) pack: Id,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) blobs: Vec<Location>,
    /// Plain bytes of the blobs.
    content: u64,
}

impl Range {
    pub(crate) fn new(location: Location) -> Self {
        let (start, end) = (u64::from(location.blob.offset), location.blob.end());
        Self {
            pack: location.pack,
            start,
            end,
            content: u64::from(location.blob.plain_length()),
            blobs: vec![location],
        }
    }

    /// Adds a blob that follows closely; gives it back where it does not.
    pub(crate) fn extend(&mut self, location: Location) -> Option<Location> {
        let (start, end) = (u64::from(location.blob.offset), location.blob.end());
        let fits = location.pack == self.pack
            && start >= self.start
            && start <= self.end + MAX_GAP
            && end.max(self.end) - self.start <= READ_SIZE
            && self.blobs.len() < READ_BLOBS
            && self.content + u64::from(location.blob.plain_length()) <= READ_CONTENT;
        if !fits {
            return Some(location);
        }
        self.end = self.end.max(end);
        self.content += u64::from(location.blob.plain_length());
        self.blobs.push(location);
        None
    }
}

type Contents = Result<VecDeque<Vec<u8>>>;

struct Job {
    range: Range,
    answer: SyncSender<Contents>,
}

/// An iterator over the contents of blobs.
pub(crate) struct Prefetch<I> {
    ids: I,
    reader: Arc<BlobReader>,
    /// The blob that begins the next range.
    held: Option<Location>,
    jobs: Option<JobSender<Job>>,
    under_way: VecDeque<Receiver<Contents>>,
    ready: VecDeque<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
    failed: Option<Error>,
}

impl<I: Iterator<Item = Result<Id>>> Prefetch<I> {
    /// Begins to read the data blobs `ids`.
    pub(crate) fn new(reader: Arc<BlobReader>, ids: I) -> Self {
        let (sender, receiver) = bounded::<Job>(THREADS);
        let start = |_| {
            let (reader, receiver) = (Arc::clone(&reader), receiver.clone());
            let body = move || serve(&reader, &receiver);
            std::thread::Builder::new().name("read".into()).spawn(body)
        };
        let (threads, failed): (Vec<_>, Vec<_>) =
            (0..THREADS).map(start).partition(std::io::Result::is_ok);
        let threads: Vec<_> = threads.into_iter().flatten().collect();
        // With fewer it takes longer; without any nobody would answer.
        let failed = failed.into_iter().find_map(std::io::Result::err);
        let failed = failed.filter(|_| threads.is_empty()).map(Error::no_thread);
        Self {
            ids,
            reader,
            held: None,
            jobs: Some(sender),
            under_way: VecDeque::new(),
            ready: VecDeque::new(),
            threads,
            failed,
        }
    }

    /// The next range, or `None` after the last.
    fn next_range(&mut self) -> Result<Option<Range>> {
        let first = match self.held.take() {
            Some(location) => location,
            None => match self.ids.next() {
                Some(id) => self.reader.locate(BlobType::Data, &id?)?,
                None => return Ok(None),
            },
        };
        let mut range = Range::new(first);
        for id in self.ids.by_ref() {
            let location = self.reader.locate(BlobType::Data, &id?)?;
            self.held = range.extend(location);
            if self.held.is_some() {
                break;
            }
        }
        Ok(Some(range))
    }

    fn next_content(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(content) = self.ready.pop_front() {
                return Ok(Some(content));
            }
            while self.under_way.len() < THREADS + 1
                && let Some(range) = self.next_range()?
            {
                let (answer, receiver) = sync_channel(1);
                let job = Job { range, answer };
                self.jobs
                    .as_ref()
                    .and_then(|jobs| jobs.send(job).ok())
                    .ok_or_else(ended)?;
                self.under_way.push_back(receiver);
            }
            let Some(receiver) = self.under_way.pop_front() else {
                return Ok(None);
            };
            self.ready = receiver.recv().map_err(|_| ended())??;
        }
    }
}

impl<I: Iterator<Item = Result<Id>>> Iterator for Prefetch<I> {
    type Item = Result<Vec<u8>>;

    /// After an error there is nothing but that error: what follows a gap must not pass for the rest.
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = &self.failed {
            return Some(Err(error.clone()));
        }
        let next = self.next_content();
        if let Err(error) = &next {
            self.failed = Some(error.clone());
        }
        next.transpose()
    }
}

impl<I> Drop for Prefetch<I> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(reader: &BlobReader, jobs: &Jobs<Job>) {
    while let Ok(job) = jobs.recv() {
        // Nobody waits any more where the iterator was dropped.
        let _ = job.answer.send(read(reader, &job.range));
    }
}

fn read(reader: &BlobReader, range: &Range) -> Contents {
    let blobs = range.blobs.iter();
    match reader.get(&range.pack, range.start, range.end - range.start) {
        Ok(bytes) => blobs
            .map(|location| reader.decode(location, &bytes, range.start))
            .collect(),
        // One may be in the part that is left, another in another pack.
        Err(error) if error.is_damage() => blobs
            .map(|location| reader.read(location.blob.blob_type, &location.blob.id))
            .collect(),
        Err(error) => Err(error),
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Failed, "a reading thread ended too early")
}
