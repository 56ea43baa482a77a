//! WASI streams as `std::io` knows them, and the splice that moves bytes from one to another inside the engine.

use std::io::{self, Read, Write};

use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::{Error, ErrorKind, Result};

/// How much one splice may move.
const SPLICE_BYTES: u64 = 1024 * 1024;

/// A stream to read from: a program's output, a socket, a file of a backup. Reads block until there is something.
pub struct Input(InputStream);

impl Input {
    /// Wraps a WASI stream.
    pub fn new(stream: InputStream) -> Self {
        Self(stream)
    }

    /// The WASI stream, for handing it on.
    pub fn into_inner(self) -> InputStream {
        self.0
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.0.blocking_read(buffer.len() as u64) {
            Ok(bytes) => {
                let part = buffer
                    .get_mut(..bytes.len())
                    .ok_or_else(|| io::Error::other("the stream gave more than was asked for"))?;
                part.copy_from_slice(&bytes);
                // Nothing read is no end here, but it would be taken for one.
                if bytes.is_empty() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok(bytes.len())
            }
            Err(StreamError::Closed) => Ok(0),
            Err(error) => Err(failure(error)),
        }
    }
}

/// A stream to write to: a program's input, a socket, a file of a backup. Writes block until there is room.
pub struct Output(OutputStream);

impl Output {
    /// Wraps a WASI stream.
    pub fn new(stream: OutputStream) -> Self {
        Self(stream)
    }

    /// The WASI stream, for handing it on.
    pub fn into_inner(self) -> OutputStream {
        self.0
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let room =
                usize::try_from(self.0.check_write().map_err(failure)?).unwrap_or(usize::MAX);
            let part = bytes.get(..room).unwrap_or(bytes);
            if part.is_empty() {
                self.0.subscribe().block();
                continue;
            }
            self.0.write(part).map_err(failure)?;
            return Ok(part.len());
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.blocking_flush().map_err(failure)
    }
}

/// Moves everything from `from` into `to`, and flushes. Returns how many bytes that were.
///
/// The end of `from` is no proof that all of it came: ask whoever wrote it, for a program
/// [`Process::success`](crate::command::Process::success).
pub fn splice(from: &mut Input, to: &mut Output) -> Result<u64> {
    splice_at_most(from, to, u64::MAX)
}

/// As [`splice`], but leaves what comes after `most` bytes in `from`.
pub fn splice_at_most(from: &mut Input, to: &mut Output, most: u64) -> Result<u64> {
    let mut moved = 0;
    while moved < most {
        let step = SPLICE_BYTES.min(most - moved);
        match to.0.blocking_splice(&from.0, step) {
            Ok(bytes) => moved += bytes,
            // Either end may have closed. A receiver that closed has lost bytes.
            Err(StreamError::Closed) => match to.0.check_write() {
                Ok(_) => break,
                Err(_) => {
                    return Err(Error::new(
                        ErrorKind::Failed,
                        "the receiving stream closed before the end",
                    ));
                }
            },
            Err(error) => return Err(failure(error).into()),
        }
    }
    to.flush()?;
    Ok(moved)
}

fn failure(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::Error::new(io::ErrorKind::BrokenPipe, "the stream is closed"),
        StreamError::LastOperationFailed(reason) => {
            io::Error::other(words(&reason.to_debug_string()))
        }
    }
}

/// A socket's errors are the names of its error codes: `ConnectionReset` is to be read as `connection reset`.
fn words(reason: &str) -> String {
    if !reason.chars().all(|letter| letter.is_ascii_alphabetic()) {
        return reason.to_owned();
    }
    let mut words = String::new();
    for letter in reason.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_error_code_is_read_as_words() {
        assert_eq!(words("ConnectionReset"), "connection reset");
        assert_eq!(words("source shop: No space"), "source shop: No space");
    }
}
