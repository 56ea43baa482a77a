//! What a restore replays: stored files of the log come in, one stream goes out that holds, in the order of the log, what happened to some databases
//! since their dumps, and ends with the last transaction that was committed in time.
//!
//! Events stay as they are but for the names of databases, and the format events of all files stay among them, so that the server's own program
//! reads the stream as one file.

use std::collections::BTreeSet;
use std::io::Read;

use strongroom_plugin::{Error, ErrorKind, Result};

use super::event::{Kind, MAGIC};
use super::position::Position;
use super::rows::{Tables, in_database, marked_as_last, table};
use super::scope::{Scope, Verdict};
use super::stored::{Begun, Stored};
use crate::config::Kind as Family;
use crate::name::shown;

/// No statement and no description of a table that is replayed is longer.
pub(super) const STATEMENT_BYTES: usize = 8 << 20;

/// Which part of the log is wanted.
pub(crate) struct Wanted {
    pub(crate) scope: Scope,
    /// No transaction that was committed later, in seconds since 1970.
    pub(crate) until: Option<u64>,
    /// Whose program and client run it.
    pub(crate) family: Family,
}

/// The stream.
pub(crate) struct Pick<O, R> {
    wanted: Wanted,
    /// The files' names, those to come last.
    names: std::vec::IntoIter<String>,
    open: O,
    file: Option<Stored<R>>,
    has_begun: bool,
    tables: Tables,
    /// Rows of the statement in hand that may be its last ones.
    held: Option<Vec<u8>>,
    passed_over: BTreeSet<String>,
}

impl<O, R> Pick<O, R>
where
    O: FnMut(&str) -> Result<R>,
    R: Read,
{
    /// `names` are the stored files in the order of the log, and `open` opens one.
    pub(crate) fn new(wanted: Wanted, mut names: Vec<String>, open: O) -> Result<Self> {
        let from = wanted.scope.from().map(|from| from.file.clone());
        let place = match &from {
            Some(from) => names.iter().position(|name| name == from),
            None => Some(names.len()),
        };
        let Some(place) = place else {
            let file = from.unwrap_or_default();
            let problem = format!("the backup lacks the log file {file}");
            return Err(Error::new(ErrorKind::Corrupted, problem));
        };
        Ok(Self {
            wanted,
            names: names.split_off(place).into_iter(),
            open,
            file: None,
            has_begun: false,
            tables: Tables::default(),
            held: None,
            passed_over: BTreeSet::new(),
        })
    }

    /// Tables whose changes are left out, because the log program repeats their names in comments, and these have ends of lines in them.
    pub(crate) fn passed_over(&self) -> impl Iterator<Item = &String> {
        self.passed_over.iter()
    }

    /// Appends the next part to `to`; false at the end.
    pub(crate) fn next(&mut self, to: &mut Vec<u8>) -> Result<bool> {
        if !self.has_begun {
            to.extend(MAGIC);
            self.has_begun = true;
        }
        let Some(mut file) = self.file.take() else {
            let Some(name) = self.names.next() else {
                return Ok(false);
            };
            self.file = Some(Stored::open(name, &mut self.open)?);
            return Ok(true);
        };
        if !file.is_done() {
            file.copy(to)?;
        } else if let Some(begun) = file.next_event()? {
            let is_late = |until| u64::from(begun.event.timestamp) > until;
            if begun.event.kind == Kind::Transaction && self.wanted.until.is_some_and(is_late) {
                self.names = Vec::new().into_iter();
                return Ok(false);
            }
            self.event(&begun, &mut file, to)?;
        } else {
            return Ok(true);
        }
        self.file = Some(file);
        Ok(true)
    }

    fn event(&mut self, begun: &Begun, file: &mut Stored<R>, to: &mut Vec<u8>) -> Result<()> {
        let Begun { event, header, at } = begun;
        if event.kind == Kind::Format {
            to.extend(file.format(header)?);
            return Ok(());
        }
        if self.wanted.scope.from().is_none_or(|from| at < from) {
            return Ok(());
        }
        match event.kind {
            // In a stream that begins in the midst of a file it would be taken for a sign that transactions are missing.
            Kind::TransactionsBefore | Kind::Annotation => {}
            Kind::Statement => {
                let bytes = file.rest(header, STATEMENT_BYTES)?;
                let bytes = bytes.ok_or_else(|| impossible(at, TOO_LONG))?;
                match (self.wanted.scope).judge(&bytes, file.checksum, at, self.wanted.family) {
                    Verdict::Keep { event, .. } => to.extend(event),
                    Verdict::Skip => {}
                    Verdict::Impossible(why) => return Err(impossible(at, &why)),
                }
            }
            Kind::Table => {
                let bytes = file.rest(header, STATEMENT_BYTES)?;
                let bytes = bytes.ok_or_else(|| file.damaged())?;
                let (number, database, table) = table(&bytes).ok_or_else(|| file.damaged())?;
                let mut name = self.wanted.scope.name_at(database, at);
                if table.contains(char::is_control) && name.take().is_some() {
                    let table = format!("{}.{}", shown(database), shown(&table));
                    self.passed_over.insert(table);
                }
                self.tables.add(number, name.is_some());
                if let Some(name) = name {
                    let moved = in_database(&bytes, file.checksum, name);
                    to.extend(moved.ok_or_else(|| file.damaged())?);
                }
            }
            Kind::Rows => self.rows(begun, file, to)?,
            Kind::Unreplayable(what) => return Err(impossible(at, what)),
            Kind::Encryption => return Err(impossible(at, "encrypted events")),
            Kind::Rotate | Kind::Format | Kind::Transaction | Kind::Heartbeat | Kind::Aside => {
                file.is_wanted = true;
                to.extend(header);
            }
        }
        Ok(())
    }

    fn rows(&mut self, begun: &Begun, file: &mut Stored<R>, to: &mut Vec<u8>) -> Result<()> {
        let head = file.take()?;
        let length = begun.event.length as usize;
        let step = self.tables.rows(head, length);
        let step = step.map_err(|why| impossible(&begun.at, &why))?;
        let before = [&begun.header[..], &head].concat();
        if !step.is_held {
            file.is_wanted = step.is_wanted;
            if step.is_wanted {
                to.extend(before);
            }
            return Ok(());
        }
        if step.is_wanted {
            to.extend(self.held.take().unwrap_or_default());
            self.held = file.rest(&before, length)?;
        }
        if step.is_last
            && let Some(held) = self.held.take()
        {
            let marked = marked_as_last(&held, file.checksum);
            to.extend(marked.ok_or_else(|| file.damaged())?);
        }
        Ok(())
    }
}

pub(super) const TOO_LONG: &str = "a statement that is too long to be looked into";

fn impossible(at: &Position, why: &str) -> Error {
    let problem = format!("the binary log cannot be replayed: at {at} it has {why}");
    Error::new(ErrorKind::Unsupported, problem).hint(
        "restore all databases that it names, under their own names; or up to before it (--until), or a full backup",
    )
}

#[cfg(test)]
mod tests;
