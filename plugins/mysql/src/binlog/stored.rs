//! A stored file of the log: its bytes come in, one event after the other goes out, each to be read piece by piece.

use std::io::{self, Read};

use strongroom_plugin::{Error, ErrorKind, Result};

use super::event::{Checksum, Event, Format, HEADER_BYTES, MAGIC};
use super::position::Position;

const PART_BYTES: usize = 64 * 1024;

/// A file that is being read.
pub(super) struct Stored<R> {
    name: String,
    content: R,
    offset: u64,
    pub(super) checksum: Checksum,
    /// Of the event in hand.
    left: usize,
    /// Whether what is left of it is copied.
    pub(super) is_wanted: bool,
}

/// An event, with what comes before its body, and where it begins.
pub(super) struct Begun {
    pub(super) event: Event,
    pub(super) header: [u8; HEADER_BYTES],
    pub(super) at: Position,
}

impl<R: Read> Stored<R> {
    pub(super) fn open(name: String, open: &mut impl FnMut(&str) -> Result<R>) -> Result<Self> {
        let mut file = Self {
            content: open(&name)?,
            name,
            offset: 0,
            checksum: Checksum::None,
            left: 0,
            is_wanted: false,
        };
        let mut magic = [0; MAGIC.len()];
        if fill(&mut file.content, &mut magic)? != MAGIC.len() || magic != MAGIC {
            return Err(file.damaged());
        }
        file.offset = MAGIC.len() as u64;
        Ok(file)
    }

    /// Whether the event in hand was read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The next event, after what is left of the one in hand.
    pub(super) fn next_event(&mut self) -> Result<Option<Begun>> {
        self.is_wanted = false;
        while self.left > 0 {
            self.copy(&mut Vec::new())?;
        }
        let at = Position::new(&*self.name, self.offset);
        let mut header = [0; HEADER_BYTES];
        match fill(&mut self.content, &mut header)? {
            0 => return Ok(None),
            HEADER_BYTES => {}
            _ => return Err(self.damaged()),
        }
        let event = Event::parse(&header);
        self.left = (event.length as usize)
            .checked_sub(HEADER_BYTES)
            .ok_or_else(|| self.damaged())?;
        self.offset += HEADER_BYTES as u64;
        Ok(Some(Begun { event, header, at }))
    }

    /// All of the event in hand, after `before`; none where what is left of it is longer than that.
    pub(super) fn rest(&mut self, before: &[u8], at_most: usize) -> Result<Option<Vec<u8>>> {
        if self.left > at_most {
            return Ok(None);
        }
        let mut bytes = before.to_vec();
        self.is_wanted = true;
        while self.left > 0 {
            self.copy(&mut bytes)?;
        }
        Ok(Some(bytes))
    }

    /// The next bytes of the event in hand.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        if self.left < N || fill(&mut self.content, &mut bytes)? != N {
            return Err(self.damaged());
        }
        self.left -= N;
        self.offset += N as u64;
        Ok(bytes)
    }

    /// The format event, which says how the others are to be read.
    pub(super) fn format(&mut self, header: &[u8]) -> Result<Vec<u8>> {
        let bytes = self.rest(header, PART_BYTES)?;
        let bytes = bytes.ok_or_else(|| self.damaged())?;
        let format = Format::parse(&bytes).ok_or_else(|| self.damaged())?;
        self.checksum = format.checksum;
        Ok(bytes)
    }

    /// A part of the event in hand.
    pub(super) fn copy(&mut self, to: &mut Vec<u8>) -> Result<()> {
        let mut part = vec![0; self.left.min(PART_BYTES)];
        if fill(&mut self.content, &mut part)? != part.len() {
            return Err(self.damaged());
        }
        self.left -= part.len();
        self.offset += part.len() as u64;
        if self.is_wanted {
            to.append(&mut part);
        }
        Ok(())
    }

    pub(super) fn damaged(&self) -> Error {
        let at = Position::new(&*self.name, self.offset);
        Error::new(
            ErrorKind::Corrupted,
            format!("the stored binary log is not whole at {at}"),
        )
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}
