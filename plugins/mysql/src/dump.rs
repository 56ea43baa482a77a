//! The dump of one database: a name comes in, a file of the backup goes out, with where in the binary log it stands.

use std::io::{Read, Write};

use strongroom_plugin::command::Command;
use strongroom_plugin::stream::{Input, splice};
use strongroom_plugin::{Context, Entry, Error, ErrorKind, Result, Sink};

use crate::binlog::Position;
use crate::config::Kind;
use crate::contents::Contents;
use crate::name::{dump_file, shown};

/// The position stands before the first table, which is in the first few hundred bytes.
const HEAD_BYTES: usize = 64 * 1024;

/// What is known of a dump that was made.
pub(crate) struct Made {
    pub(crate) position: Option<Position>,
    /// What `clock` said when the dump stood: nothing in it is of later.
    pub(crate) stood: u64,
    /// What the program said though it was content.
    pub(crate) warnings: Vec<String>,
}

/// Runs `command`, which dumps `database`, and makes a file of what it prints and of what it could not. Where it was asked to note its position,
/// it must.
pub(crate) fn dump(
    sink: &Sink,
    (kind, database, contents): (Kind, &str, &Contents),
    command: Command,
    with_position: bool,
    clock: impl FnOnce() -> Result<u64>,
) -> Result<Made> {
    let mut writer = sink.write(&Entry::at(dump_file(database)))?;
    let mut process = command.spawn()?;
    let mut stdout = process.stdout();
    let position = match &mut stdout {
        Some(stdout) => copy_head(stdout, &mut writer)?,
        None => None,
    };
    let position = position.filter(|_| with_position);
    // The program prints its position, and content, from within the transaction that it reads in.
    let stood = clock()?;
    if let Some(stdout) = &mut stdout {
        splice(stdout, &mut writer.body()?)?;
    }
    let exit = process.wait()?;
    // Whatever it printed: it is a dump only if the program says that it is done.
    let program = kind.dump_program();
    exit.success_or(|how| Error::new(ErrorKind::Failed, format!("{program} {how}")))
        .on(format!("database {}", shown(database)))?;
    writer.write_all(contents.views.as_bytes())?;
    writer.finish()?;
    let said = exit
        .stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let said = said.map(|line| format!("{program} says of database {}: {line}", shown(database)));
    if with_position && position.is_none() {
        let problem = format!("the dump of {database} does not say where in the log it stands");
        return Err(Error::new(ErrorKind::Failed, problem));
    }
    Ok(Made {
        position,
        stood,
        warnings: said.collect(),
    })
}

/// Copies the begin of a dump, until it was seen where that stands.
fn copy_head(from: &mut Input, to: &mut impl Write) -> Result<Option<Position>> {
    let mut head = Vec::new();
    let mut part = [0; 4096];
    while head.len() < HEAD_BYTES {
        let count = match from.read(&mut part) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let bytes = part.get(..count).unwrap_or_default();
        head.extend_from_slice(bytes);
        to.write_all(bytes)?;
        if let Some(position) = find_position(&String::from_utf8_lossy(&head)) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

/// From `-- CHANGE MASTER TO MASTER_LOG_FILE='log.000001', MASTER_LOG_POS=4;`, or with `SOURCE` for each `MASTER`.
fn find_position(head: &str) -> Option<Position> {
    let line = head
        .split_inclusive('\n')
        .find(|line| line.contains("_LOG_FILE='") && line.ends_with('\n'))?;
    let (_, rest) = line.split_once("_LOG_FILE='")?;
    let (file, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once("_LOG_POS=")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some(Position::new(file, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_read_once_its_line_is_whole() {
        let check = |head: &str, expected: Option<&str>| {
            let found = find_position(head).map(|position| position.to_string());
            assert_eq!(found.as_deref(), expected, "{head}");
        };
        let master =
            "--\n-- CHANGE MASTER TO MASTER_LOG_FILE='mariadb-bin.000012', MASTER_LOG_POS=3301;\n";
        check(master, Some("mariadb-bin.000012:3301"));
        check(&master[..master.len() - 4], None);
        check(
            "-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.000003', SOURCE_LOG_POS=157;\n",
            Some("binlog.000003:157"),
        );
        check("-- Table structure for table `a`\n", None);
    }
}
