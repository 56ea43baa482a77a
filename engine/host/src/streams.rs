//! Streams of the engine that a guest can read, write and splice. A splice moves [`Bytes`] inside the engine and never through the guest.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use strongroom_repository::source::{Reader, Writer};
use strongroom_repository::{Error, Result};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::quota::Place;

/// How much one step moves where the other side sets no bound.
const STEP: usize = 1 << 20;

/// A file being written, shared by the guest's `writer` and the stream that it may have taken from it.
#[derive(Clone)]
pub(crate) struct SharedWriter(Arc<Mutex<WriterState>>);

struct WriterState {
    writer: Option<Box<dyn Writer>>,
    /// Why writing failed, for the side that hears of it later.
    failure: Option<Error>,
}

impl SharedWriter {
    pub(crate) fn new(writer: Box<dyn Writer>) -> Self {
        Self(Arc::new(Mutex::new(WriterState {
            writer: Some(writer),
            failure: None,
        })))
    }

    /// Appends, or returns the error of the engine. `None` after an earlier failure or after the end.
    pub(crate) fn write(&self, bytes: &[u8]) -> Option<Result<()>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = state.writer.as_mut()?.write(bytes);
        if written.is_err() {
            state.writer = None;
        }
        Some(written)
    }

    /// CRC-32C of what was written. `None` after a failure.
    pub(crate) fn crc32c(&self) -> Option<u32> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.writer.as_ref().map(|writer| writer.crc32c())
    }

    /// Takes the writer for its end. `None` after a failure.
    pub(crate) fn take(&self) -> Option<Box<dyn Writer>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .writer
            .take()
    }

    /// The failure of a write through the stream, once.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failure
            .take()
    }

    /// Whether the stream is still in the guest's hands.
    pub(crate) fn is_streaming(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn keep_failure(&self, error: Error) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failure
            .get_or_insert(error);
    }
}

/// Bytes in memory. Pieces are slices: nothing is copied on the way to another stream.
pub(crate) struct BytesInput(Bytes);

impl BytesInput {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl InputStream for BytesInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.0.is_empty() {
            return Err(StreamError::Closed);
        }
        Ok(self.0.split_to(size.min(self.0.len())))
    }
}

/// A file of a backup being restored, and its place among those that are.
pub(crate) struct OpenReader {
    reader: Box<dyn Reader>,
    _place: Place,
}

impl OpenReader {
    pub(crate) fn new(reader: Box<dyn Reader>, place: Place) -> Self {
        Self {
            reader,
            _place: place,
        }
    }

    /// At most `max` bytes; empty at the end.
    pub(crate) fn read(&mut self, max: usize) -> Result<Bytes> {
        self.reader.read(max)
    }
}

/// The same as a stream.
pub(crate) struct ReaderInput(OpenReader);

impl ReaderInput {
    pub(crate) fn new(reader: OpenReader) -> Self {
        Self(reader)
    }
}

impl InputStream for ReaderInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        match self.0.read(size.min(STEP)) {
            Ok(bytes) if bytes.is_empty() => Err(StreamError::Closed),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// The content of a file being backed up. A write blocks while the pipeline is full.
pub(crate) struct WriterOutput(SharedWriter);

impl WriterOutput {
    pub(crate) fn new(writer: SharedWriter) -> Self {
        Self(writer)
    }
}

impl OutputStream for WriterOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.0.write(&bytes) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let for_guest = failed(&error);
                self.0.keep_failure(error);
                Err(for_guest)
            }
            None => Err(StreamError::Closed),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STEP)
    }
}

fn failed(error: &Error) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::msg(error.to_string()))
}

/// These streams never wait: their reads and writes block instead, on the instance's own thread.
macro_rules! always_ready {
    ($($stream:ty),+) => {$(
        #[wasmtime_wasi::async_trait]
        impl Pollable for $stream {
            async fn ready(&mut self) {}
        }
    )+};
}

always_ready!(
    BytesInput,
    ReaderInput,
    WriterOutput,
    crate::stderr::LastWords
);
