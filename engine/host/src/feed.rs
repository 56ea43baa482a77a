//! A backup being restored, as the guest sees it: `strongroom:plugin/feed` over the repository's [`Feed`].

use strongroom_repository::source::Feed;
use strongroom_repository::{Error, ErrorKind};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynInputStream;

use crate::bindings::imports::{feed, sink, types};
use crate::convert;
use crate::lent::Lent;
use crate::sandbox::Sandbox;
use crate::streams::{OpenReader, ReaderInput};

/// Behind the guest's `feed`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct FeedHandle(Lent<dyn Feed>);

/// Behind the guest's `reader`: `None` once its body was taken.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ReaderHandle(Option<OpenReader>);

/// Entries that are told at once, whatever a guest asks for: they lie in the engine's memory before they lie in the guest's.
const MAX_ENTRIES: u32 = 10_000;

type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

impl FeedHandle {
    pub(crate) fn new(feed: Lent<dyn Feed>) -> Self {
        Self(feed)
    }

    fn with<R>(&self, use_it: impl FnOnce(&(dyn Feed + 'static)) -> R) -> wasmtime::Result<R> {
        self.0
            .with(use_it)
            .ok_or_else(|| wasmtime::Error::msg("the restore of this feed is over"))
    }
}

impl feed::Host for Sandbox {}

impl feed::HostFeed for Sandbox {
    fn attributes(&mut self, this: Resource<FeedHandle>) -> wasmtime::Result<types::Attributes> {
        self.table.get(&this)?.with(|feed| feed.attributes())
    }

    fn next(&mut self, this: Resource<FeedHandle>, max: u32) -> Answer<Vec<sink::Entry>> {
        let max = max.min(MAX_ENTRIES);
        let entries = self.table.get(&this)?.with(|feed| feed.next(max))?;
        Ok(entries
            .map(|entries| entries.into_iter().map(convert::entry_to_guest).collect())
            .map_err(|error| self.fail(error)))
    }

    fn open(&mut self, this: Resource<FeedHandle>, path: String) -> Answer<Resource<ReaderHandle>> {
        let place = match self.readers.take() {
            Ok(place) => place,
            Err(error) => {
                let error = error.on(convert::tidy(&path));
                return Ok(Err(convert::error_to_guest(&error)));
            }
        };
        match self.table.get(&this)?.with(|feed| feed.open(&path))? {
            Ok(reader) => {
                let reader = OpenReader::new(reader, place);
                Ok(Ok(self.table.push(ReaderHandle(Some(reader)))?))
            }
            // To look for a file that may not be there is no fault.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Err(convert::error_to_guest(&error)))
            }
            Err(error) => Ok(Err(self.fail(error))),
        }
    }

    fn extract(
        &mut self,
        this: Resource<FeedHandle>,
        path: String,
        extraction: feed::Extraction,
    ) -> Answer<sink::Summary> {
        let target = match self.grants.writable(&extraction.target, &self.writable) {
            Ok(target) => target,
            Err(error) => return Ok(Err(self.fail(error))),
        };
        let extraction = convert::extraction(&extraction, target);
        let extracted = self
            .table
            .get(&this)?
            .with(|feed| feed.extract(&path, &extraction))?;
        Ok(extracted
            .map(convert::summary)
            .map_err(|error| self.fail(error)))
    }

    fn sample(
        &mut self,
        this: Resource<FeedHandle>,
        target: String,
        percent: f64,
    ) -> Answer<feed::Sampled> {
        let target = match self.grants.writable(&target, &self.writable) {
            Ok(target) => target,
            Err(error) => return Ok(Err(self.fail(error))),
        };
        let feed = self.table.get(&this)?;
        let sampled = feed.with(|feed| feed.sample(&target, percent))?;
        Ok(sampled
            .map(convert::sampled)
            .map_err(|error| self.fail(error)))
    }

    fn missing(
        &mut self,
        this: Resource<FeedHandle>,
        subject: String,
        reason: String,
    ) -> wasmtime::Result<()> {
        // Each is kept until the end, and shown.
        const MAX_MISSING: usize = 10_000;
        self.missing += 1;
        if self.missing > MAX_MISSING {
            return Err(wasmtime::Error::msg("more than 10000 things are missing"));
        }
        let (subject, reason) = (convert::tidy(&subject), convert::tidy(&reason));
        self.table
            .get(&this)?
            .with(|feed| feed.missing(&subject, &reason))
    }

    fn drop(&mut self, this: Resource<FeedHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl feed::HostReader for Sandbox {
    fn read(&mut self, this: Resource<ReaderHandle>, max: u64) -> Answer<Vec<u8>> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        match self.table.get_mut(&this)?.0.as_mut() {
            Some(reader) => match reader.read(max) {
                Ok(bytes) => Ok(Ok(bytes.into())),
                Err(error) => Ok(Err(self.fail(error))),
            },
            None => Ok(Err(body_taken())),
        }
    }

    fn body(&mut self, this: Resource<ReaderHandle>) -> Answer<Resource<DynInputStream>> {
        match self.table.get_mut(&this)?.0.take() {
            Some(reader) => {
                let stream: DynInputStream = Box::new(ReaderInput::new(reader));
                Ok(Ok(self.table.push(stream)?))
            }
            None => Ok(Err(body_taken())),
        }
    }

    fn drop(&mut self, this: Resource<ReaderHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

fn body_taken() -> types::Error {
    convert::error_to_guest(&Error::new(
        ErrorKind::Failed,
        "the body of this reader was taken already",
    ))
}
