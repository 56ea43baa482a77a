//! The pipes of a program as streams of a guest: reads and writes that wait for the program without blocking the thread, and move up to a mebibyte at
//! a time. A read pauses for a millisecond where that brings more.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustix::io::ioctl_fionread;
use tokio::net::unix::pipe::{Receiver, Sender};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// How much a pipe holds and one step moves.
const STEP: usize = 1 << 20;
/// With so many bytes in a pipe nobody waits for more.
const ENOUGH: u64 = 256 << 10;
/// How long more may take to come. Even at 700 MB a second the pipe is not full by then.
const PAUSE: Duration = Duration::from_millis(1);

/// What a program writes.
pub(crate) struct PipeInput {
    pipe: Receiver,
    /// Used again for every read, once the bytes of the last one are gone.
    buffer: BytesMut,
    read: Bytes,
    end: Option<io::Result<()>>,
}

impl PipeInput {
    /// Must be called on the instance's runtime.
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Self> {
        widen(&pipe);
        Ok(Self {
            pipe: Receiver::from_owned_fd(pipe)?,
            buffer: BytesMut::new(),
            read: Bytes::new(),
            end: None,
        })
    }

    /// Takes what lies in the pipe now.
    fn fill(&mut self) {
        self.buffer.reserve(STEP);
        match self.pipe.try_read_buf(&mut self.buffer) {
            Ok(0) => self.end = Some(Ok(())),
            Ok(_) => self.read = self.buffer.split().freeze(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.end = Some(Err(error)),
        }
    }

    fn is_ready(&self) -> bool {
        !self.read.is_empty() || self.end.is_some()
    }

    /// Lets more come where little lies there. Programs write a page at a time, and to be woken for each page costs both sides, and whoever else
    /// wants the processor, more than the page does. The thread itself sleeps: the runtime's timers would be interrupted by each page.
    fn gather(&self) {
        let lies_there = ioctl_fionread(&self.pipe).unwrap_or(ENOUGH);
        if (1..ENOUGH).contains(&lies_there) {
            std::thread::sleep(PAUSE);
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for PipeInput {
    async fn ready(&mut self) {
        while !self.is_ready() {
            match self.pipe.readable().await {
                Ok(()) => {
                    self.gather();
                    self.fill();
                }
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for PipeInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if !self.is_ready() {
            self.fill();
        }
        if !self.read.is_empty() {
            return Ok(self.read.split_to(size.min(self.read.len())));
        }
        match self.end.replace(Ok(())) {
            None => {
                self.end = None;
                Ok(Bytes::new())
            }
            Some(Ok(())) => Err(StreamError::Closed),
            Some(Err(error)) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

/// What a program reads.
pub(crate) struct PipeOutput {
    pipe: Sender,
    /// What the guest wrote and the pipe has not taken yet: at most [`STEP`].
    pending: Bytes,
    closed: bool,
}

impl PipeOutput {
    /// Must be called on the instance's runtime.
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Self> {
        widen(&pipe);
        Ok(Self {
            pipe: Sender::from_owned_fd(pipe)?,
            pending: Bytes::new(),
            closed: false,
        })
    }

    /// Hands over what the pipe takes now. A program that closed its input, or ended, takes nothing any more.
    fn push(&mut self) {
        while !self.pending.is_empty() {
            match self.pipe.try_write(&self.pending) {
                Ok(written) => self.pending.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.close(),
            }
        }
    }

    fn close(&mut self) {
        self.pending.clear();
        self.closed = true;
    }

    fn open(&self) -> StreamResult<()> {
        match self.closed {
            true => Err(StreamError::Closed),
            false => Ok(()),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for PipeOutput {
    async fn ready(&mut self) {
        self.push();
        while !self.pending.is_empty() {
            match self.pipe.writable().await {
                Ok(()) => self.push(),
                Err(_) => self.close(),
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for PipeOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.open()?;
        if !self.pending.is_empty() || bytes.len() > STEP {
            return Err(StreamError::trap("wrote more than check-write permitted"));
        }
        self.pending = bytes;
        self.push();
        self.open()
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.open()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.push();
        self.open()?;
        Ok(if self.pending.is_empty() { STEP } else { 0 })
    }

    /// The guest lets go of it: what it wrote before still goes out.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

/// Fewer switches between the program and the engine. A system that refuses leaves the pipe as it is.
fn widen(pipe: &OwnedFd) {
    // SAFETY: an open descriptor and a number.
    let _ = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, STEP) };
}
