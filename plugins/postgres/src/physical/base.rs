//! BASE_BACKUP: the command in; the archives of the cluster and its tablespaces, and the manifest, out, one after another.
//!
//! Until PostgreSQL 14 each part is a copy of its own, in the order of the list of tablespaces; since 15 all parts come in one copy, and a
//! letter says what each message is (PostgreSQL's documentation, "Streaming Replication Protocol").

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use strongroom_plugin::{Error, ErrorKind, Result};

use crate::wire::{Client, Event, Lsn, Row};

/// The first version that sends all parts in one copy.
const ONE_COPY_SINCE: u32 = 15;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The files of the cluster, or those of a tablespace, as tar.
    Archive(Option<Tablespace>),
    /// The server's list of all files with their checksums.
    Manifest,
}

/// A tablespace: what it is called below `pg_tblspc`, and where the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tablespace {
    pub(super) oid: String,
    pub(super) location: String,
}

/// Where a base backup begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) lsn: Lsn,
    pub(super) timeline: u32,
}

/// A base backup under way. Each part's bytes are read from it after [`next_part`](Self::next_part).
pub(super) struct BaseBackup<'c, S> {
    client: &'c mut Client<S>,
    start: Position,
    tablespaces: Vec<Tablespace>,
    bytes: u64,
    order: Order,
    /// What came and was not asked for yet.
    pending: Option<Piece>,
    chunk: Bytes,
    failure: Option<Error>,
}

/// How parts are told apart.
enum Order {
    Announced,
    Listed {
        parts: VecDeque<Part>,
        is_begun: bool,
    },
}

enum Piece {
    Begins(Part),
    Data(Bytes),
    Done,
}

impl<'c, S: Read + Write> BaseBackup<'c, S> {
    /// Has the server begin. The log that the files need comes among them.
    pub(super) fn begin(client: &'c mut Client<S>, major: u32) -> Result<Self> {
        let is_one_copy = major >= ONE_COPY_SINCE;
        client.ask(match is_one_copy {
            true => {
                "BASE_BACKUP (LABEL 'strongroom', PROGRESS, CHECKPOINT 'fast', WAL, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')"
            }
            false => {
                "BASE_BACKUP LABEL 'strongroom' PROGRESS FAST WAL MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
            }
        })?;
        let start = position(result(client)?)?;
        let mut tablespaces = Vec::new();
        let mut parts = VecDeque::new();
        let mut kibibytes = 0;
        for row in result(client)? {
            let mut columns = row.into_iter();
            let mut column = || columns.next().flatten();
            let (oid, location, size) = (column(), column(), column());
            kibibytes += size.and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
            let tablespace = oid.map(|oid| Tablespace {
                oid,
                location: location.unwrap_or_default(),
            });
            tablespaces.extend(tablespace.clone());
            parts.push_back(Part::Archive(tablespace));
        }
        parts.push_back(Part::Manifest);
        expect_copy(client)?;
        Ok(Self {
            client,
            start,
            tablespaces,
            bytes: kibibytes * 1024,
            order: match is_one_copy {
                true => Order::Announced,
                false => Order::Listed {
                    parts,
                    is_begun: false,
                },
            },
            pending: None,
            chunk: Bytes::new(),
            failure: None,
        })
    }

    /// Where it begins.
    pub(super) fn start(&self) -> Position {
        self.start
    }

    /// Those of the server.
    pub(super) fn tablespaces(&self) -> &[Tablespace] {
        &self.tablespaces
    }

    /// The server's estimate of the whole.
    pub(super) fn expected_bytes(&self) -> u64 {
        self.bytes
    }

    /// The next part; none when the server has sent all. What was not read of the one before is left out.
    pub(super) fn next_part(&mut self) -> Result<Option<Part>> {
        self.chunk.clear();
        loop {
            let piece = match self.pending.take() {
                Some(piece) => piece,
                None => self.piece()?,
            };
            match piece {
                Piece::Begins(part) => return Ok(Some(part)),
                Piece::Data(_) => {}
                Piece::Done => {
                    self.pending = Some(Piece::Done);
                    return Ok(None);
                }
            }
        }
    }

    /// The server's last word: where the backup ends. Only this says that all of it was sent and all pages were found whole.
    pub(super) fn finish(self) -> Result<Position> {
        let end = position(result(self.client)?)?;
        loop {
            match self.client.next()? {
                Event::Ready => return Ok(end),
                Event::ResultEnd => {}
                _ => return Err(unexpected("more than the end of the backup")),
            }
        }
    }

    /// Why reading failed, where it did: whoever parses the bytes may have wrapped it.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn piece(&mut self) -> Result<Piece> {
        match &mut self.order {
            Order::Announced => announced(self.client),
            Order::Listed { parts, is_begun } => {
                if !*is_begun && let Some(part) = parts.pop_front() {
                    *is_begun = true;
                    return Ok(Piece::Begins(part));
                }
                match self.client.next()? {
                    Event::CopyData(bytes) => Ok(Piece::Data(bytes)),
                    Event::CopyDone if parts.is_empty() => Ok(Piece::Done),
                    Event::CopyDone => {
                        expect_copy(self.client)?;
                        *is_begun = false;
                        self.piece()
                    }
                    _ => Err(unexpected("no bytes in the midst of a copy")),
                }
            }
        }
    }
}

impl<S: Read + Write> Read for BaseBackup<'_, S> {
    /// The bytes of the part in hand.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            if self.pending.is_some() {
                return Ok(0);
            }
            match self.piece() {
                Ok(Piece::Data(bytes)) => self.chunk = bytes,
                Ok(other) => self.pending = Some(other),
                Err(error) => {
                    self.failure = Some(error.clone());
                    return Err(error.into());
                }
            }
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk
            .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

fn announced<S: Read + Write>(client: &mut Client<S>) -> Result<Piece> {
    loop {
        let mut bytes = match client.next()? {
            Event::CopyData(bytes) => bytes,
            Event::CopyDone => return Ok(Piece::Done),
            _ => return Err(unexpected("no bytes in the midst of a copy")),
        };
        if bytes.is_empty() {
            return Err(unexpected("an empty message"));
        }
        match bytes.get_u8() {
            b'd' => return Ok(Piece::Data(bytes)),
            b'm' => return Ok(Piece::Begins(Part::Manifest)),
            b'n' => return Ok(Piece::Begins(Part::Archive(tablespace(&bytes)?))),
            // How far it is, in the server's own reckoning.
            b'p' => {}
            _ => return Err(unexpected("a message of an unknown kind")),
        }
    }
}

/// From `16400.tar` and a location, or `base.tar` and none, each ended by a zero byte.
fn tablespace(bytes: &[u8]) -> Result<Option<Tablespace>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut texts = bytes.split(|&byte| byte == 0).map(text);
    let mut next = || texts.next().flatten();
    let (name, location) = next()
        .zip(next())
        .ok_or_else(|| unexpected("an archive without a name"))?;
    Ok(match name.as_str() {
        "base.tar" => None,
        name => Some(Tablespace {
            oid: name.trim_end_matches(".tar").to_owned(),
            location,
        }),
    })
}

/// The rows of one result.
fn result<S: Read + Write>(client: &mut Client<S>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    loop {
        match client.next()? {
            Event::Row(row) => rows.push(row),
            Event::ResultEnd => return Ok(rows),
            _ => return Err(unexpected("no rows where a position was to come")),
        }
    }
}

fn position(rows: Vec<Row>) -> Result<Position> {
    let mut columns = rows
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_iter()
        .flatten();
    let lsn = columns.next().map(|lsn| lsn.parse()).transpose()?;
    let timeline = columns.next().and_then(|it| it.parse().ok());
    let position = lsn
        .zip(timeline)
        .map(|(lsn, timeline)| Position { lsn, timeline });
    position.ok_or_else(|| unexpected("no position in the log"))
}

fn expect_copy<S: Read + Write>(client: &mut Client<S>) -> Result<()> {
    match client.next()? {
        Event::CopyOut => Ok(()),
        _ => Err(unexpected("no copy where one was to come")),
    }
}

fn unexpected(what: &str) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("BASE_BACKUP: the server sent {what}"),
    )
}
