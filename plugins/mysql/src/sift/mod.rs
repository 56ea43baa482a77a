//! A dump on its way into a server: its lines come in, those that make tables, routines and events go out, and by themselves those that make views.
//!
//! Views may be of tables in other databases, so that they are made once all of these are there. What names the dump's own database is changed where
//! that has another name now: `ALTER DATABASE` around what was made while it had another character set. All is decided where a statement begins, as
//! the client sees it: texts and the bodies of routines hold whatever their owners liked.

mod lexer;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use strongroom_plugin::{Error, ErrorKind, Result};

use crate::binlog::{Reading, read};
use crate::name::identifier;

use lexer::Lexer;

const BUFFER_BYTES: usize = 256 * 1024;

/// A line is read in pieces of this length.
const PIECE_BYTES: u64 = 64 * 1024;

/// Any other line is looked at as a whole.
const LINE_BYTES: u64 = 64 << 20;

/// Views of all dumps wait in memory. Where they are more than this, they are made at once.
pub(crate) const VIEWS_BYTES: usize = 16 << 20;

/// What a dump's head sets, and its end puts back. A newer MariaDB has one more, of which older servers and MySQL know nothing.
const HEAD: &str = "SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT, @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS, \
    @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION, @OLD_TIME_ZONE=@@TIME_ZONE, @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, \
    @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, @OLD_SQL_MODE=@@SQL_MODE, @OLD_SQL_NOTES=@@SQL_NOTES;\n\
    SET NAMES utf8mb4;\nSET TIME_ZONE='+00:00', UNIQUE_CHECKS=0, FOREIGN_KEY_CHECKS=0, SQL_MODE='NO_AUTO_VALUE_ON_ZERO', SQL_NOTES=0;\n\
    /*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n";

/// The dump of one database, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// What it was called.
    pub(crate) old: &'a str,
    /// What it is called now.
    pub(crate) new: &'a str,
    /// Whether names of tables that differ in capitals only are the same there.
    pub(crate) folds: bool,
    /// How many bytes of views may wait.
    pub(crate) room: usize,
}

/// Copies a dump, and returns what makes its views, which is a dump by itself; empty where there are none.
pub(crate) fn sift(from: impl Read, to: &mut impl Write, target: Target<'_>) -> Result<Vec<u8>> {
    let mut sieve = Sieve {
        from: BufReader::with_capacity(BUFFER_BYTES, from),
        to: BufWriter::with_capacity(BUFFER_BYTES, to),
        target,
        lexer: Lexer::new(),
        tables: BTreeMap::new(),
        place: Place::Elsewhere,
        draws: false,
        sandbox: Vec::new(),
        held: Vec::new(),
        views: None,
    };
    while sieve.line()? {}
    let held = std::mem::take(&mut sieve.held);
    sieve.write(&held)?;
    sieve.to.flush()?;
    Ok(sieve.views.unwrap_or_default())
}

/// What kind of statement the line is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Rows,
    Table,
    Elsewhere,
}

struct Sieve<'a, R, W: Write> {
    from: BufReader<R>,
    to: BufWriter<W>,
    target: Target<'a>,
    lexer: Lexer,
    /// Tables by their names in small letters.
    tables: BTreeMap<String, String>,
    place: Place,
    /// Whether the table that was made last draws from a sequence.
    draws: bool,
    /// The first line of a dump, by which a client runs no programs.
    sandbox: Vec<u8>,
    /// Statements that drop what stands in for a view: they are of the views if these follow.
    held: Vec<u8>,
    /// None before the first view.
    views: Option<Vec<u8>>,
}

impl<R: Read, W: Write> Sieve<'_, R, W> {
    /// Copies the next line; false at the end.
    fn line(&mut self) -> Result<bool> {
        let mut line = Vec::new();
        self.read(&mut line, PIECE_BYTES)?;
        if line.is_empty() {
            return Ok(false);
        }
        let is_start = self.lexer.is_at_start();
        if is_start && line.starts_with(b"INSERT INTO `") {
            self.release(b"")?;
            self.place = Place::Rows;
            self.row(line)?;
            return Ok(true);
        }
        // A row has no line break in it: the programs write those of texts as `\n`.
        if !is_start && self.place == Place::Rows && line.starts_with(b"(") {
            self.row(line)?;
            return Ok(true);
        }
        if !line.ends_with(b"\n") {
            self.read(&mut line, LINE_BYTES)?;
        }
        if line.len() as u64 > LINE_BYTES {
            let problem = "the dump has a statement of more than 64 MiB that is no row";
            return Err(Error::new(ErrorKind::Unsupported, problem));
        }
        self.lexer.line(&line);
        if is_start {
            self.begin(line)?;
        } else {
            self.draws |= self.place == Place::Table && contains(&line, b"nextval(");
            match self.held.is_empty() {
                true => self.write(&line)?,
                false => self.held.extend(line),
            }
        }
        Ok(true)
    }

    /// Copies a line of rows piece by piece, of which this is the first.
    fn row(&mut self, mut piece: Vec<u8>) -> Result<()> {
        if piece.ends_with(b"\n") {
            match piece.starts_with(b"(") {
                true => self.lexer.set_at_start(piece.ends_with(b";\n")),
                // The name of the table may be anything.
                false => self.lexer.line(&piece),
            }
            return self.write(&piece);
        }
        loop {
            self.write(&piece)?;
            let is_last = piece.ends_with(b"\n") || piece.is_empty();
            if is_last {
                self.lexer.set_at_start(piece.ends_with(b";\n"));
                return Ok(());
            }
            piece.clear();
            self.read(&mut piece, PIECE_BYTES)?;
        }
    }

    /// Appends up to the end of the line, and so many bytes at most.
    fn read(&mut self, to: &mut Vec<u8>, at_most: u64) -> Result<()> {
        Read::take(&mut self.from, at_most).read_until(b'\n', to)?;
        Ok(())
    }

    /// A statement, a comment or an empty line begins.
    fn begin(&mut self, line: Vec<u8>) -> Result<()> {
        let is = |start: &[u8]| line.starts_with(start);
        if is(b"/*M!999999") && self.sandbox.is_empty() {
            self.sandbox.clone_from(&line);
        }
        if is(b"/*!50001 DROP VIEW IF EXISTS `") || is(b"/*!50001 DROP TABLE IF EXISTS `") {
            self.held.extend(line);
            return Ok(());
        }
        if line.trim_ascii().is_empty() || is(b"--") {
            match self.held.is_empty() {
                true => self.write(&line)?,
                false => self.held.extend(line),
            }
            return Ok(());
        }
        self.release(&line)?;
        // As the plugin itself adds those that the dump program could not read.
        if is(b"DROP VIEW IF EXISTS `") {
            self.begin_views();
        }
        self.place = Place::Elsewhere;
        if is(b"CREATE TABLE `") {
            self.place = Place::Table;
            self.draws = false;
        } else if is(b"LOCK TABLES `") && self.draws && self.lexer.is_at_start() {
            // Under a lock on the table alone it could not draw from its sequence.
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix(b"DROP TABLE IF EXISTS `") {
            self.note_table(rest)?;
        }
        let Target { old, new, .. } = self.target;
        if old == new {
            return self.write(&line);
        }
        if is_trigger_of(&line, old, new) {
            let problem = format!("the dump has a trigger that was made with the name {old}");
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .hint("restore under the old name, on another server if need be"));
        }
        let altering = |name: &str| format!("ALTER DATABASE {} ", identifier(name)).into_bytes();
        match line.strip_prefix(altering(old).as_slice()) {
            Some(rest) => self.write(&[&altering(new), rest].concat()),
            None => self.write(&line),
        }
    }

    /// Lets go of what was held, now that it is known what follows.
    fn release(&mut self, next: &[u8]) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let are_views = next.starts_with(b"/*!50001 SET @saved_cs_client ");
        if !held.is_empty() && are_views {
            self.begin_views();
        }
        self.write(&held)
    }

    fn begin_views(&mut self) {
        if self.views.is_none() {
            self.views = Some([&self.sandbox, HEAD.as_bytes()].concat());
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.views {
            Some(views) if views.len() + bytes.len() <= self.target.room => views.extend(bytes),
            Some(views) => {
                self.to.write_all(views)?;
                self.to.write_all(bytes)?;
                *views = Vec::new();
                self.target.room = 0;
            }
            None => self.to.write_all(bytes)?,
        }
        Ok(())
    }

    /// A table is dropped before it is made. To some servers that would be another one, which was made already.
    fn note_table(&mut self, rest: &[u8]) -> Result<()> {
        let rest = String::from_utf8_lossy(rest);
        let Some((name, _)) = rest.split_once("`;").filter(|_| self.target.folds) else {
            return Ok(());
        };
        let other = self.tables.insert(name.to_lowercase(), name.to_owned());
        match other.filter(|other| *other != *name) {
            None => Ok(()),
            Some(other) => {
                let problem = format!(
                    "the tables {other} and {name} are the same to this server (lower_case_table_names is on)"
                );
                Err(Error::new(ErrorKind::Unsupported, problem)
                    .hint("restore into a server that tells capitals from small letters"))
            }
        }
    }
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    let mut parts = line.windows(wanted.len());
    parts.any(|part| part.eq_ignore_ascii_case(wanted))
}

/// Whether the line makes a trigger in `old`, if `new` is the current database.
fn is_trigger_of(line: &[u8], old: &str, new: &str) -> bool {
    if !line.starts_with(b"/*!50003 CREATE") && !line.starts_with(b"CREATE ") {
        return false;
    }
    let sql = String::from_utf8_lossy(line);
    let mut words = sql.split_whitespace();
    words.any(|word| word.eq_ignore_ascii_case("trigger"))
        && matches!(read(&sql, new, true), Some(Reading::Change(change)) if change.is_of(old))
}

#[cfg(test)]
mod tests;
