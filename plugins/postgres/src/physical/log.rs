//! START_REPLICATION: the write-ahead log from one position to another, as whole segments, each a file of the backup.

use std::io::{Read, Write};

use bytes::{Buf, Bytes};
use strongroom_plugin::{Entry, Error, ErrorKind, Result, Sink, Writer, progress};

use super::segment_path;
use crate::wire::{Client, Event, Failure, Lsn};

/// What to take: whole segments of one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) timeline: u32,
    pub(super) segment_bytes: u64,
    pub(super) start: Lsn,
    pub(super) end: Lsn,
}

/// A stream of the log whose first bytes have come, so that the server is known to have them.
pub(super) struct LogStream<'c, S> {
    client: &'c mut Client<S>,
    range: Range,
    first: Option<(Lsn, Bytes)>,
}

impl<'c, S: Read + Write> LogStream<'c, S> {
    /// Has the server begin. SQLSTATE 58P01 says that the log is no longer there.
    pub(super) fn begin(client: &'c mut Client<S>, range: Range) -> Result<Self, Failure> {
        let mut stream = Self {
            client,
            range,
            first: None,
        };
        if range.start < range.end {
            stream.client.ask(&format!(
                "START_REPLICATION PHYSICAL {} TIMELINE {}",
                range.start, range.timeline
            ))?;
            match stream.client.next()? {
                Event::CopyBoth => {}
                _ => return Err(unexpected("no log").into()),
            }
            stream.first = Some(stream.data()?);
        }
        Ok(stream)
    }

    /// Writes every segment, and returns how many there were.
    pub(super) fn write(mut self, sink: &Sink) -> Result<u64> {
        let Range {
            timeline,
            segment_bytes,
            end,
            ..
        } = self.range;
        let mut position = self.range.start;
        let mut segment: Option<Writer> = None;
        let mut segments = 0;
        while position < end {
            let (start, mut bytes) = match self.first.take() {
                Some(first) => first,
                None => self.data()?,
            };
            if start != position {
                return Err(unexpected(&format!(
                    "the log from {start} where {position} was to come"
                )));
            }
            while !bytes.is_empty() && position < end {
                let mut writer = match segment.take() {
                    Some(writer) => writer,
                    None => begin(
                        sink,
                        &position.segment_name(timeline, segment_bytes),
                        segment_bytes,
                    )?,
                };
                let room = segment_bytes - position.0 % segment_bytes;
                let count = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                writer.write_all(&bytes.split_to(count))?;
                position = Lsn(position.0 + count as u64);
                if position.0.is_multiple_of(segment_bytes) {
                    writer.finish()?;
                    segments += 1;
                } else {
                    segment = Some(writer);
                }
            }
        }
        self.end()?;
        Ok(segments)
    }

    fn data(&mut self) -> Result<(Lsn, Bytes), Failure> {
        loop {
            progress::check_cancelled()?;
            let mut bytes = match self.client.next()? {
                Event::CopyData(bytes) => bytes,
                _ => return Err(unexpected("the end of its log before it was reached").into()),
            };
            match bytes.first() {
                // A letter, where the bytes begin, where the log ends now, and when that was.
                Some(b'w') if bytes.len() >= 25 => {
                    bytes.advance(1);
                    let start = Lsn(bytes.get_u64());
                    bytes.advance(16);
                    return Ok((start, bytes));
                }
                // It asks whether we live; nobody waits for the answer, as the login turned the time limit off.
                Some(b'k') => {}
                _ => return Err(unexpected("a message of an unknown kind").into()),
            }
        }
    }

    fn end(self) -> Result<()> {
        if self.range.start == self.range.end {
            return Ok(());
        }
        self.client.end_copy()?;
        loop {
            if let Event::Ready = self.client.next()? {
                return Ok(());
            }
        }
    }
}

fn begin(sink: &Sink, name: &str, bytes: u64) -> Result<Writer> {
    sink.write(&Entry {
        size: Some(bytes),
        ..Entry::at(segment_path(name))
    })
}

fn unexpected(what: &str) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("START_REPLICATION: the server sent {what}"),
    )
}
