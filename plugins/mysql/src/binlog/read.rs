//! Reading the log from the server: where to begin and to end comes in, files as they lie on the server's disk go out.
//!
//! Reading begins with a whole file, because it is the begin of a file that says how to read the rest.

use std::io::{BufRead, Write};

use strongroom_plugin::{Error, ErrorKind, Result};

use super::event::{Checksum, Event, Format, Kind, MAGIC, rotate_target};
use super::position::Position;
use super::stream::{Incoming, ask, unreadable};
use crate::wire::Session;

/// Where the files go.
pub(crate) trait LogFiles {
    /// Being written.
    type File: Write;

    /// Asked before every event: an error ends the reading.
    fn go_on(&mut self) -> Result<()>;
    fn begin(&mut self, name: &str) -> Result<Self::File>;
    fn finish(&mut self, name: &str, file: Self::File) -> Result<()>;
}

/// Reads from the begin of the file `first` up to `end`, where the log must reach. Consumes the session: a server does not listen any more
/// while it sends its log.
pub(crate) fn read_log<S: BufRead + Write, F: LogFiles>(
    mut session: Session<S>,
    first: &str,
    end: &Position,
    files: &mut F,
) -> Result<()> {
    let packets = ask(&mut session, first, MAGIC.len() as u32)?;
    let mut reading: Option<Reading<F::File>> = None;
    while let Some(incoming) = Incoming::next(packets)?? {
        files.go_on()?;
        let event = incoming.event;
        match (event.kind, &mut reading) {
            (Kind::Rotate, _) if event.is_artificial() => {
                let name = rotate_target(&incoming.whole()?).ok_or_else(unreadable)?;
                if let Some(Reading { name, file, .. }) = reading.take() {
                    files.finish(&name, file)?;
                }
                reading = Some(Reading::begin(name, files)?);
            }
            (Kind::Encryption, _) => return Err(encrypted()),
            (Kind::Format, Some(file)) => file.format(&event, &incoming.whole()?)?,
            _ if event.is_artificial() => incoming.skip()?,
            (_, Some(file)) => file.event(incoming)?,
            (_, None) => return Err(unreadable()),
        }
        if reading.as_ref().is_some_and(|file| file.reaches(end)) {
            break;
        }
    }
    match reading {
        Some(Reading {
            name, file, offset, ..
        }) if Position::new(&*name, offset) >= *end => files.finish(&name, file),
        _ => Err(Error::new(
            ErrorKind::Unavailable,
            format!("the server's log ended before {end}"),
        )),
    }
}

/// What is different for every file of the log that ever was, whatever it was called. None where the server has no file of this name any more.
pub(crate) fn identify<S: BufRead + Write>(
    mut session: Session<S>,
    name: &str,
) -> Result<Option<u32>> {
    let packets = ask(&mut session, name, MAGIC.len() as u32)?;
    while let Ok(Some(incoming)) = Incoming::next(packets)? {
        if incoming.event.kind == Kind::Format {
            let format = Format::parse(&incoming.whole()?).ok_or_else(unreadable)?;
            return Ok(Some(format.identity));
        }
        incoming.skip()?;
    }
    Ok(None)
}

/// A file of the log that is being read.
struct Reading<F> {
    name: String,
    file: F,
    offset: u64,
    checksum: Checksum,
}

impl<F: Write> Reading<F> {
    fn begin(name: String, files: &mut impl LogFiles<File = F>) -> Result<Self> {
        let mut file = files.begin(&name)?;
        file.write_all(&MAGIC)?;
        Ok(Self {
            name,
            file,
            offset: MAGIC.len() as u64,
            checksum: Checksum::None,
        })
    }

    fn reaches(&self, end: &Position) -> bool {
        Position::new(&*self.name, self.offset) >= *end
    }

    fn format(&mut self, event: &Event, bytes: &[u8]) -> Result<()> {
        self.checksum = Format::parse(bytes)
            .ok_or_else(|| self.damaged("its format event cannot be read"))?
            .checksum;
        self.advance(event)?;
        self.file.write_all(bytes)?;
        Ok(())
    }

    fn event<S: BufRead + Write>(&mut self, incoming: Incoming<'_, S>) -> Result<()> {
        self.advance(&incoming.event)?;
        match incoming.copy(&mut self.file, self.checksum.bytes())? {
            Some((found, expected)) if found != expected => {
                Err(self.damaged("an event's checksum is wrong"))
            }
            _ => Ok(()),
        }
    }

    /// The file is stored as it lies on the server's disk, so every event must end where the server says that it does. Where it does not say, the
    /// next event of which it does vouches for both.
    fn advance(&mut self, event: &Event) -> Result<()> {
        self.offset += u64::from(event.length);
        if event.end == 0 || self.offset & 0xffff_ffff == u64::from(event.end) {
            return Ok(());
        }
        Err(self.damaged("an event is not where it says that it is"))
    }

    fn damaged(&self, what: &str) -> Error {
        let at = Position::new(&*self.name, self.offset);
        Error::new(ErrorKind::Corrupted, format!("binary log {at}: {what}"))
            .hint("look at the file with mysqlbinlog or mariadb-binlog, and make a full backup")
    }
}

fn encrypted() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the server's binary log is encrypted",
    )
    .hint("make full backups, or turn encrypt_binlog off")
}
