//! Queries of a session: SQL text comes in, rows of text go out.

use std::io::{BufRead, Write};

use mysql_common::io::ParseBuf;
use strongroom_plugin::{Error, ErrorKind, Result};

use super::error::{ERROR, server_error};
use super::packets::{Packets, protocol};

const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;
const OK: u8 = 0x00;
const NULL: u8 = 0xfb;
const END: u8 = 0xfe;

/// A connection that is logged in.
pub(crate) struct Session<S: BufRead + Write> {
    packets: Packets<S>,
    version: String,
}

impl<S: BufRead + Write> Session<S> {
    pub(super) fn new(packets: Packets<S>, version: String) -> Self {
        Self { packets, version }
    }

    /// As the server greets, such as `5.5.5-10.11.6-MariaDB`.
    pub(crate) fn greeting(&self) -> &str {
        &self.version
    }

    /// Runs a statement and returns its rows, all of them.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        let packets = self.send(&[&[COM_QUERY], sql.as_bytes()].concat())?;
        let head = packets.read()?;
        let count = match head.first() {
            Some(&OK) => return Ok(Vec::new()),
            Some(&ERROR) => return Err(server_error(&head)),
            // The server asks for a file of ours, which no statement here gives it a reason to.
            Some(&NULL) | None => return Err(unreadable()),
            Some(_) => ParseBuf(&head)
                .checked_eat_lenenc_int()
                .ok_or_else(unreadable)?,
        };
        let columns = (0..count)
            .map(|_| column_name(&packets.read()?))
            .collect::<Result<Vec<_>>>()?;
        packets.read()?;
        let mut rows = Vec::new();
        loop {
            let payload = packets.read()?;
            match payload.first() {
                Some(&END) if payload.len() < 9 => return Ok(rows),
                Some(&ERROR) => return Err(server_error(&payload)),
                _ => rows.push(Row::read(&columns, &payload)?),
            }
        }
    }

    /// The first row of a statement, where it has one.
    pub(crate) fn query_row(&mut self, sql: &str) -> Result<Option<Row>> {
        Ok(self.query(sql)?.into_iter().next())
    }

    /// Sends a command. The answer is to be read from what is returned, to its end.
    pub(crate) fn send(&mut self, command: &[u8]) -> Result<&mut Packets<S>> {
        self.packets.begin();
        self.packets.write(command)?;
        Ok(&mut self.packets)
    }
}

impl<S: BufRead + Write> Drop for Session<S> {
    fn drop(&mut self) {
        // The server logs a connection that just ends as an aborted one. If it cannot be told, it will see.
        self.packets.begin();
        let _ = self.packets.write(&[COM_QUIT]);
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row(Vec<(String, Option<String>)>);

impl Row {
    /// A row of these values, in columns without names.
    #[cfg(test)]
    pub(crate) fn of(values: &[Option<&str>]) -> Self {
        let fields = values
            .iter()
            .map(|it| (String::new(), it.map(str::to_owned)));
        Self(fields.collect())
    }

    fn read(columns: &[String], payload: &[u8]) -> Result<Self> {
        let mut rest = ParseBuf(payload);
        let fields = columns.iter().map(|column| {
            let value = if rest.0.first() == Some(&NULL) {
                rest.skip(1);
                None
            } else {
                let bytes = rest.checked_eat_lenenc_str().ok_or_else(unreadable)?;
                Some(text(bytes)?)
            };
            Ok((column.clone(), value))
        });
        Ok(Self(fields.collect::<Result<_>>()?))
    }

    /// The value of a column, by its name in any case: servers differ there. NULL is `None`.
    pub(crate) fn get(&self, column: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(column))
            .and_then(|(_, value)| value.as_deref())
    }

    /// How many columns it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a column that must be there.
    pub(crate) fn expect(&self, column: &str) -> Result<&str> {
        self.get(column).ok_or_else(|| {
            Error::new(
                ErrorKind::Failed,
                format!("the server left out `{column}` of what it was asked for"),
            )
        })
    }

    /// The value of the column at this place, counted from 0.
    pub(crate) fn at(&self, place: usize) -> Option<&str> {
        self.0.get(place).and_then(|(_, value)| value.as_deref())
    }
}

/// The name in a column's definition, which comes after catalogue, schema, table and original table.
fn column_name(payload: &[u8]) -> Result<String> {
    let mut rest = ParseBuf(payload);
    for _ in 0..4 {
        rest.checked_eat_lenenc_str().ok_or_else(unreadable)?;
    }
    text(rest.checked_eat_lenenc_str().ok_or_else(unreadable)?)
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| protocol("the server sent text that is no UTF-8"))
}

fn unreadable() -> Error {
    protocol("the server's answer cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_by_column_name_in_any_case() {
        let columns = ["File".to_owned(), "Position".to_owned(), "Gtid".to_owned()];
        let row = Row::read(&columns, b"\x03log\x0242\xfb").expect("a row");
        assert_eq!(row.get("file"), Some("log"));
        assert_eq!(row.at(1), Some("42"));
        assert_eq!(row.get("gtid"), None);
        assert!(row.expect("executed").is_err());
    }

    #[test]
    fn a_row_that_is_cut_off_is_no_row() {
        let columns = ["a".to_owned(), "b".to_owned()];
        for payload in [&b""[..], b"\x01x", b"\x01x\x05y"] {
            assert!(Row::read(&columns, payload).is_err(), "{payload:?}");
        }
    }
}
