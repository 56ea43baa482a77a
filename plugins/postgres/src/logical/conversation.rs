//! A program that answers while it is still being fed: a dump in, what the program writes out. It is fed no further than it listens.

use std::io::Read;

use strongroom_plugin::command::Command;
use strongroom_plugin::{Context, Error, ErrorKind, Reader, Result, progress};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::programs::finish;

const BUFFER_BYTES: usize = 64 * 1024;

/// Runs a program on a dump, and hands on what it writes as it comes. It may end before it has read all.
pub(super) fn converse(
    program: &str,
    command: Command,
    dump: &mut Reader,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut process = command.spawn()?;
    let streams = process.stdin().zip(process.stdout());
    let (stdin, stdout) = streams.ok_or_else(|| {
        let problem = format!("{program} has no streams");
        Error::new(ErrorKind::Failed, problem)
    })?;
    let mut feed = Some(stdin.into_inner());
    let answer = stdout.into_inner();
    let mut part = Part::default();
    loop {
        progress::check_cancelled()?;
        if feed.is_some() && part.is_sent() && !part.refill(dump)? {
            // Its end of input.
            feed = None;
        }
        match wait(feed.as_ref(), &answer) {
            Ready::Answer => match answer.read(BUFFER_BYTES as u64) {
                Ok(bytes) => take(&bytes)?,
                // That it was all, only its exit can tell.
                Err(_) => break,
            },
            Ready::Feed => {
                if let Some(stream) = &feed
                    && part.send(stream).is_err()
                {
                    feed = None;
                }
            }
        }
    }
    drop((feed, answer));
    finish(program, process)
}

/// What was read of the dump, and how much of it was sent.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    sent: usize,
}

impl Part {
    fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Whether there was more.
    fn refill(&mut self, dump: &mut Reader) -> Result<bool> {
        self.bytes.resize(BUFFER_BYTES, 0);
        let count = dump.read(&mut self.bytes).on("the dump")?;
        self.bytes.truncate(count);
        self.sent = 0;
        Ok(count > 0)
    }

    fn send(&mut self, to: &OutputStream) -> Result<(), StreamError> {
        let room = usize::try_from(to.check_write()?).unwrap_or(usize::MAX);
        let rest = self.bytes.get(self.sent..).unwrap_or_default();
        let part = rest.get(..room).unwrap_or(rest);
        if !part.is_empty() {
            to.write(part)?;
            self.sent += part.len();
        }
        Ok(())
    }
}

enum Ready {
    Feed,
    Answer,
}

/// Waits until the program takes more or has said something. What it says goes first: until that is taken it may take no more.
fn wait(feed: Option<&OutputStream>, answer: &InputStream) -> Ready {
    let said = answer.subscribe();
    let Some(feed) = feed else {
        said.block();
        return Ready::Answer;
    };
    let takes = feed.subscribe();
    poll(&[&said, &takes]);
    match said.ready() {
        true => Ready::Answer,
        false => Ready::Feed,
    }
}
