//! The log as the server sends it: a session comes in, events go out, one after the other, each to be read piece by piece.

use std::io::{self, BufRead, Read, Write};

use mysql_common::packets::{BinlogDumpFlags, ComBinlogDump};
use mysql_common::proto::MySerialize;
use strongroom_plugin::{Error, ErrorKind, Result};

use super::event::{Event, HEADER_BYTES};
use crate::wire::{Packets, Payload, Session, connection, server_error};

const EVENT: u8 = 0x00;
const ERROR: u8 = 0xff;
const END: u8 = 0xfe;

/// No event that we look into is longer.
const SMALL_BYTES: usize = 64 * 1024;

/// Asks for everything from a place in a file on, where an event begins.
///
/// The server thinks that it talks to a replica which wants what there is and no more (`BINLOG_DUMP_NON_BLOCK`, with the server id 0 that no
/// replica has).
pub(crate) fn ask<'a, S: BufRead + Write>(
    session: &'a mut Session<S>,
    file: &str,
    offset: u32,
) -> Result<&'a mut Packets<S>> {
    // A replica that does not say that it knows checksums gets an error or events without them. MySQL has renamed the variable, and MariaDB
    // sends events of its own only to those who know them.
    session.query(
        "SET @master_binlog_checksum = @@global.binlog_checksum, \
         @source_binlog_checksum = @@global.binlog_checksum, @mariadb_slave_capability = 4",
    )?;
    let mut flags = BinlogDumpFlags::BINLOG_DUMP_NON_BLOCK;
    if session.greeting().contains("MariaDB") {
        // There it means: with the statements that made the rows, which a replica is spared otherwise. A copy of the file needs them.
        flags |= BinlogDumpFlags::BINLOG_THROUGH_POSITION;
    }
    let request = ComBinlogDump::new(0)
        .with_pos(offset)
        .with_flags(flags)
        .with_filename(file.as_bytes());
    let mut bytes = Vec::new();
    request.serialize(&mut bytes);
    session.send(&bytes)
}

/// An event that is being received.
pub(crate) struct Incoming<'a, S> {
    pub(crate) event: Event,
    header: [u8; HEADER_BYTES],
    payload: Payload<'a, S>,
}

impl<'a, S: BufRead + Write> Incoming<'a, S> {
    /// The next event; none at the end of the log. What the server refuses is in the inner result.
    pub(crate) fn next(packets: &'a mut Packets<S>) -> Result<Result<Option<Self>>> {
        let mut payload = packets.open()?;
        let first = payload.fill_buf().map_err(connection)?.first().copied();
        match first {
            Some(EVENT) => payload.consume(1),
            Some(END) => return Ok(Ok(None)),
            Some(ERROR) => {
                let mut bytes = Vec::new();
                payload.read_to_end(&mut bytes).map_err(connection)?;
                return Ok(Err(server_error(&bytes)));
            }
            _ => return Err(unreadable()),
        }
        let mut header = [0; HEADER_BYTES];
        payload.read_exact(&mut header).map_err(connection)?;
        Ok(Ok(Some(Self {
            event: Event::parse(&header),
            header,
            payload,
        })))
    }

    /// All of it, where it is small.
    pub(crate) fn whole(self) -> Result<Vec<u8>> {
        self.at_most(SMALL_BYTES)
    }

    /// All of it, where it is no longer than that.
    pub(crate) fn at_most(mut self, bytes: usize) -> Result<Vec<u8>> {
        let limit = bytes as u64;
        let mut bytes = self.header.to_vec();
        (&mut self.payload)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(connection)?;
        if bytes.len() == self.event.length as usize {
            Ok(bytes)
        } else {
            Err(unreadable())
        }
    }

    /// The begin of its body. Goes past the rest.
    pub(crate) fn head<const N: usize>(mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.payload.read_exact(&mut bytes).map_err(connection)?;
        self.skip()?;
        Ok(bytes)
    }

    /// Goes past it.
    pub(crate) fn skip(mut self) -> Result<()> {
        io::copy(&mut self.payload, &mut io::sink())
            .map(drop)
            .map_err(connection)
    }

    /// Copies it. Out comes what its checksum is, and what it should be, where it has one.
    pub(crate) fn copy(
        mut self,
        to: &mut impl Write,
        checksum_bytes: usize,
    ) -> Result<Option<(u32, u32)>> {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.header);
        to.write_all(&self.header)?;
        let mut left = (self.event.length as usize)
            .checked_sub(HEADER_BYTES + checksum_bytes)
            .ok_or_else(unreadable)?;
        while left > 0 {
            let part = self.payload.fill_buf().map_err(connection)?;
            let part = part.get(..left).unwrap_or(part);
            if part.is_empty() {
                return Err(unreadable());
            }
            sum.update(part);
            to.write_all(part)?;
            let count = part.len();
            self.payload.consume(count);
            left -= count;
        }
        let mut tail = Vec::new();
        self.payload.read_to_end(&mut tail).map_err(connection)?;
        to.write_all(&tail)?;
        match <[u8; 4]>::try_from(tail.as_slice()) {
            Ok(expected) if checksum_bytes == expected.len() => {
                Ok(Some((sum.finalize(), u32::from_le_bytes(expected))))
            }
            _ if checksum_bytes == 0 && tail.is_empty() => Ok(None),
            _ => Err(unreadable()),
        }
    }
}

/// The log is not what we know.
pub(crate) fn unreadable() -> Error {
    Error::new(
        ErrorKind::Failed,
        "the server's binary log does not have the shape that is known",
    )
}
