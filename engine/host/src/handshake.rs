//! The TLS handshake over the streams of a guest, and how records go in and out of a connection.

use bytes::{Buf, Bytes};
use rustls::ClientConnection;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

/// How much is encrypted or decrypted at a time.
pub(crate) const STEP: usize = 256 << 10;

/// Why a handshake failed.
pub(crate) enum Broken {
    /// The server, or we, did not like what came.
    Protocol(rustls::Error),
    /// The server closed.
    Closed,
    /// The stream underneath failed.
    Stream(String),
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Self::Closed,
            StreamError::LastOperationFailed(error) | StreamError::Trap(error) => {
                Self::Stream(error.to_string())
            }
        }
    }
}

/// Goes on until both sides can send. Returns what came beyond the handshake.
pub(crate) async fn shake_hands(
    connection: &mut ClientConnection,
    input: &mut DynInputStream,
    output: &mut DynOutputStream,
) -> Result<Bytes, Broken> {
    let mut received = Bytes::new();
    loop {
        send(connection, output).await?;
        if !connection.is_handshaking() {
            return Ok(received);
        }
        received = input.blocking_read(STEP).await?;
        while !received.is_empty() && connection.is_handshaking() {
            if let Err(error) = receive(connection, &mut received) {
                // The server is told why. That it may have gone is no better reason.
                let _ = send(connection, output).await;
                return Err(Broken::Protocol(error));
            }
        }
    }
}

async fn send(
    connection: &mut ClientConnection,
    output: &mut DynOutputStream,
) -> Result<(), Broken> {
    match sealed(connection) {
        bytes if bytes.is_empty() => Ok(()),
        bytes => Ok(output.blocking_write_and_flush(bytes).await?),
    }
}

/// What the connection has to send.
pub(crate) fn sealed(connection: &mut ClientConnection) -> Bytes {
    let mut sealed = Vec::new();
    while connection.wants_write() {
        match connection.write_tls(&mut sealed) {
            Ok(1..) => {}
            // Memory takes everything.
            Ok(0) | Err(_) => break,
        }
    }
    sealed.into()
}

/// Feeds the connection some of what was received.
pub(crate) fn receive(
    connection: &mut ClientConnection,
    received: &mut Bytes,
) -> Result<(), rustls::Error> {
    let mut rest: &[u8] = received;
    let before = rest.len();
    match connection.read_tls(&mut rest) {
        Ok(1..) => {}
        Ok(0) => return Err(rustls::Error::General("nothing was taken".into())),
        Err(error) => return Err(rustls::Error::General(error.to_string())),
    }
    let taken = before - rest.len();
    received.advance(taken);
    connection.process_new_packets().map(drop)
}
