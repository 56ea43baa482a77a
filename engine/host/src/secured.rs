//! The two streams inside of a TLS connection. They share its keys and nothing else, so that one can wait without the other.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use rustls::ClientConnection;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use crate::handshake::{STEP, receive, sealed};

/// The streams of what is inside. `received` came with the end of the handshake.
pub(crate) fn split(
    mut connection: ClientConnection,
    received: Bytes,
    input: DynInputStream,
    output: DynOutputStream,
) -> (DynInputStream, DynOutputStream) {
    // The bound is that of the stream: nothing is taken before the last was sent.
    connection.set_buffer_limit(None);
    let connection = Shared(Arc::new(Mutex::new(connection)));
    let opened = Opened {
        connection: connection.clone(),
        input,
        sealed: received,
        plain: BytesMut::new(),
        end: None,
    };
    let sealing = Sealing {
        connection,
        output,
        sealed: Bytes::new(),
    };
    (Box::new(opened), Box::new(sealing))
}

#[derive(Clone)]
struct Shared(Arc<Mutex<ClientConnection>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server sends.
struct Opened {
    connection: Shared,
    input: DynInputStream,
    /// Received and not decrypted yet.
    sealed: Bytes,
    plain: BytesMut,
    end: Option<StreamError>,
}

impl Opened {
    fn is_ready(&self) -> bool {
        !self.plain.is_empty() || self.end.is_some()
    }

    /// Receives what is there now, and decrypts it.
    fn pull(&mut self) {
        if self.sealed.is_empty() {
            match self.input.read(STEP) {
                Ok(received) => self.sealed = received,
                Err(StreamError::Closed) => return self.close(),
                Err(error) => return self.end = Some(error),
            }
        }
        self.open();
    }

    fn open(&mut self) {
        if self.is_ready() {
            return;
        }
        let mut connection = self.connection.lock();
        loop {
            match drain(&mut connection, &mut self.plain) {
                Ok(true) => return self.end = Some(StreamError::Closed),
                Ok(false) => {}
                Err(error) => return self.end = Some(failed(error)),
            }
            if self.sealed.is_empty() {
                return;
            }
            if let Err(error) = receive(&mut connection, &mut self.sealed) {
                return self.end = Some(failed(error));
            }
        }
    }

    /// A server that ends properly says so before it closes. Anything else may have been cut off by somebody in between.
    fn close(&mut self) {
        self.end = Some(failed(io::Error::other(
            "the server closed without ending TLS: something may be missing",
        )));
    }
}

/// Moves what was decrypted into `plain`. True at the proper end.
fn drain(connection: &mut ClientConnection, plain: &mut BytesMut) -> io::Result<bool> {
    let mut reader = connection.reader();
    loop {
        let length = match reader.fill_buf() {
            Ok([]) => return Ok(true),
            Ok(piece) => {
                plain.extend_from_slice(piece);
                piece.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        reader.consume(length);
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Opened {
    async fn ready(&mut self) {
        // Something may have come with the handshake.
        self.open();
        while !self.is_ready() {
            self.input.ready().await;
            self.pull();
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Opened {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.open();
        if !self.is_ready() {
            self.pull();
        }
        if !self.plain.is_empty() {
            let length = size.min(self.plain.len());
            return Ok(self.plain.split_to(length).freeze());
        }
        match self.end.replace(StreamError::Closed) {
            Some(end) => Err(end),
            None => {
                self.end = None;
                Ok(Bytes::new())
            }
        }
    }

    async fn cancel(&mut self) {
        self.input.cancel().await;
    }
}

/// What the guest sends.
struct Sealing {
    connection: Shared,
    output: DynOutputStream,
    /// Encrypted, and not taken by the stream yet.
    sealed: Bytes,
}

impl Sealing {
    /// Hands over what the stream takes now. True when that was all.
    fn push(&mut self) -> StreamResult<bool> {
        while !self.sealed.is_empty() {
            match self.output.check_write()? {
                0 => return Ok(false),
                room => {
                    let length = room.min(self.sealed.len());
                    self.output.write(self.sealed.split_to(length))?;
                }
            }
        }
        Ok(true)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sealing {
    async fn ready(&mut self) {
        while let Ok(0) = self.check_write() {
            self.output.ready().await;
        }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Sealing {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.push()? || bytes.len() > STEP {
            return Err(StreamError::trap("wrote more than check-write permitted"));
        }
        let mut connection = self.connection.lock();
        connection.writer().write_all(&bytes).map_err(failed)?;
        self.sealed = sealed(&mut connection);
        drop(connection);
        self.push().map(drop)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.push()?;
        self.output.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.push()? && self.output.check_write()? > 0 {
            true => Ok(STEP),
            false => Ok(0),
        }
    }

    /// The guest lets go of it: what it wrote before still goes out, and the server hears that this was the end.
    async fn cancel(&mut self) {
        self.ready().await;
        let ending = {
            let mut connection = self.connection.lock();
            connection.send_close_notify();
            sealed(&mut connection)
        };
        self.sealed = ending;
        self.ready().await;
        self.output.cancel().await;
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StreamError {
    StreamError::LastOperationFailed(error.into())
}
