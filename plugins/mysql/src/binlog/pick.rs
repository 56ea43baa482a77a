//! What a restore replays: stored files of the log come in, one stream goes out that begins after a dump and ends with the last transaction that
//! was committed in time.
//!
//! Events stay as they are, and the format events of all files stay among them, so that the server's own program reads the stream as one file.

use std::io::{self, Read};

use strongroom_plugin::{Error, ErrorKind, Result};

use super::event::{Checksum, Event, Format, HEADER_BYTES, Kind, MAGIC};
use super::position::Position;
use super::statement::{Statement, Verdict, moved_to};

const PART_BYTES: usize = 64 * 1024;

/// Statements that are longer are not looked into.
const STATEMENT_BYTES: usize = 8 << 20;

/// Which part of the log is wanted.
pub(crate) struct Wanted {
    /// For which database.
    pub(crate) database: String,
    /// Whether it is called otherwise now.
    pub(crate) is_renamed: bool,
    /// What comes before it is in the dump.
    pub(crate) from: Position,
    /// No transaction that was committed later, in seconds since 1970.
    pub(crate) until: Option<u64>,
}

/// The stream.
pub(crate) struct Pick<O, R> {
    wanted: Wanted,
    /// The files' names, those to come last.
    names: std::vec::IntoIter<String>,
    open: O,
    file: Option<File<R>>,
    has_begun: bool,
    /// Statements that changed other databases too, or may have, and that are left out.
    pub(crate) doubtful: Vec<String>,
}

struct File<R> {
    name: String,
    content: R,
    offset: u64,
    checksum: Checksum,
    /// Of the event in hand.
    left: usize,
    is_wanted: bool,
}

impl<O, R> Pick<O, R>
where
    O: FnMut(&str) -> Result<R>,
    R: Read,
{
    /// `names` are the stored files in the order of the log, and `open` opens one.
    pub(crate) fn new(wanted: Wanted, mut names: Vec<String>, open: O) -> Result<Self> {
        let Some(place) = names.iter().position(|name| *name == wanted.from.file) else {
            let problem = format!("the backup lacks the log file {}", wanted.from.file);
            return Err(Error::new(ErrorKind::Corrupted, problem));
        };
        Ok(Self {
            wanted,
            names: names.split_off(place).into_iter(),
            open,
            file: None,
            has_begun: false,
            doubtful: Vec::new(),
        })
    }

    /// Appends the next part to `to`; false at the end.
    pub(crate) fn next(&mut self, to: &mut Vec<u8>) -> Result<bool> {
        if !self.has_begun {
            to.extend(MAGIC);
            self.has_begun = true;
        }
        let Some(file) = &mut self.file else {
            let Some(name) = self.names.next() else {
                return Ok(false);
            };
            self.file = Some(File::open(name, &mut self.open)?);
            return Ok(true);
        };
        if file.left > 0 {
            file.copy(to)?;
            return Ok(true);
        }
        let Some((event, header)) = file.next_event()? else {
            self.file = None;
            return Ok(true);
        };
        let is_late = |until| u64::from(event.timestamp) > until;
        if event.kind == Kind::Transaction && self.wanted.until.is_some_and(is_late) {
            self.names = Vec::new().into_iter();
            self.file = None;
            return Ok(false);
        }
        let begin = file.offset - HEADER_BYTES as u64;
        file.is_wanted = file.name != self.wanted.from.file || begin >= self.wanted.from.offset;
        match event.kind {
            Kind::Format => to.extend(file.format(&header)?),
            // In a stream that begins in the midst of a file it would be taken for a sign that transactions are missing.
            Kind::TransactionsBefore => file.is_wanted = false,
            Kind::Statement if file.is_wanted && file.left <= STATEMENT_BYTES => {
                let bytes = file.rest(&header)?;
                let checksum = file.checksum;
                self.statement(bytes, checksum, to)?;
            }
            _ if file.is_wanted => to.extend(header),
            _ => {}
        }
        Ok(true)
    }

    fn statement(&mut self, event: Vec<u8>, checksum: Checksum, to: &mut Vec<u8>) -> Result<()> {
        let damaged = || {
            Error::new(
                ErrorKind::Corrupted,
                "a statement of the log cannot be read",
            )
        };
        let statement = Statement::parse(&event, checksum).ok_or_else(damaged)?;
        let Wanted {
            database,
            is_renamed,
            ..
        } = &self.wanted;
        match statement.judge(database, *is_renamed) {
            Verdict::AsIs => to.extend(event),
            Verdict::Ours => to.extend(moved_to(&event, checksum, database).ok_or_else(damaged)?),
            Verdict::Skip => {}
            Verdict::Doubtful => self.doubtful.push(statement.shown()),
            Verdict::Impossible => {
                let problem = format!(
                    "the log has a statement that names {database}: {}",
                    statement.shown()
                );
                return Err(Error::new(ErrorKind::Unsupported, problem).hint(
                    "restore under the old name, on another server if need be, or up to before that statement",
                ));
            }
        }
        Ok(())
    }
}

impl<R: Read> File<R> {
    fn open(name: String, open: &mut impl FnMut(&str) -> Result<R>) -> Result<Self> {
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

    fn next_event(&mut self) -> Result<Option<(Event, [u8; HEADER_BYTES])>> {
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
        Ok(Some((event, header)))
    }

    /// All of the event in hand.
    fn rest(&mut self, header: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = header.to_vec();
        self.is_wanted = true;
        while self.left > 0 {
            self.copy(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// The format event, which says how the others are to be read.
    fn format(&mut self, header: &[u8]) -> Result<Vec<u8>> {
        if self.left > PART_BYTES {
            return Err(self.damaged());
        }
        let bytes = self.rest(header)?;
        let format = Format::parse(&bytes).ok_or_else(|| self.damaged())?;
        self.checksum = format.checksum;
        Ok(bytes)
    }

    /// A part of the event in hand.
    fn copy(&mut self, to: &mut Vec<u8>) -> Result<()> {
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

    fn damaged(&self) -> Error {
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

#[cfg(test)]
mod tests;
