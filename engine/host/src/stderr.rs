//! Standard error of a guest or a program: its end is kept, because that is where a Rust guest's panic message goes and a program's reason.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, StreamResult};

use crate::convert::tidy;

/// How much is kept.
const KEPT_BYTES: usize = 16 << 10;

/// The last [`KEPT_BYTES`] of what was written. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct LastWords(Arc<Mutex<VecDeque<u8>>>);

impl LastWords {
    /// Forgets what was said so far.
    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// `message (file:line:column)` of the last panic of a Rust guest.
    pub(crate) fn panic_message(&self) -> Option<String> {
        panic_message(&self.text())
    }

    /// The last line that says something.
    pub(crate) fn last_line(&self) -> Option<String> {
        let text = self.text();
        let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(tidy(line))
    }

    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (front, back) = kept.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = bytes.len().saturating_sub(KEPT_BYTES);
        kept.extend(bytes.iter().skip(tail));
        let surplus = kept.len().saturating_sub(KEPT_BYTES);
        kept.drain(..surplus);
    }
}

/// Reads `thread '<unnamed>' (1) panicked at src/lib.rs:10:5:`, the message's lines, and `note: run with …`.
fn panic_message(text: &str) -> Option<String> {
    let mut lines = text.lines().skip(
        text.lines().count().checked_sub(
            // From the last such line on.
            1 + text
                .lines()
                .rev()
                .position(|line| line.contains(" panicked at "))?,
        )?,
    );
    let (_, place) = lines.next()?.split_once(" panicked at ")?;
    let message: Vec<&str> = lines
        .take_while(|line| !line.starts_with("note: ") && !line.starts_with("stack backtrace:"))
        .filter(|line| !line.trim().is_empty())
        .collect();
    Some(format!(
        "{} ({})",
        tidy(&message.join(" ")),
        tidy(place.trim_end_matches(':'))
    ))
}

impl IsTerminal for LastWords {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LastWords {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LastWords {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(KEPT_BYTES)
    }
}

impl AsyncWrite for LastWords {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_message_of_a_rust_guest_is_found() {
        let words = LastWords::default();
        words.push(
            b"chatter\n\nthread '<unnamed>' (1) panicked at src/lib.rs:7:5:\nboom\nat last\n",
        );
        words.push(
            b"note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        );
        assert_eq!(
            words.panic_message().as_deref(),
            Some("boom at last (src/lib.rs:7:5)")
        );
    }

    #[test]
    fn a_guest_that_only_chatters_did_not_panic() {
        let words = LastWords::default();
        assert_eq!((words.panic_message(), words.last_line()), (None, None));
        words.push(b"first\nlast\n\n");
        assert_eq!(words.panic_message(), None);
        assert_eq!(words.last_line().as_deref(), Some("last"));
    }

    #[test]
    fn only_the_end_is_kept() {
        let words = LastWords::default();
        words.push(&vec![b'a'; 3 * KEPT_BYTES]);
        words.push(b"\nend");
        assert_eq!(words.text().len(), KEPT_BYTES);
        assert!(words.text().ends_with("aaa\nend"));
    }
}
