//! What a backup notes for the one that continues it: which dumps it holds, where in the binary log each stands, and how far the log was read.
//!
//! It goes through the backup's attributes: `dump NAME.sql` for each dump, and `log` for the log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strongroom_plugin::{Attributes, Error, ErrorKind, Result};

use crate::binlog::Position;
use crate::rows::Rows;
use crate::server::Database;

const DUMP: &str = "dump ";
const LOG: &str = "log";

/// A dump that a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dump {
    pub(crate) database: String,
    pub(crate) character_set: String,
    pub(crate) collation: String,
    /// A second, by the server's clock since 1970, in which it stood already: it holds nothing of later. Older backups note when it was begun.
    #[serde(alias = "begun")]
    pub(crate) stood: u64,
    /// Where in the log it stands; none where the server keeps no log, or not for us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<String>,
    /// A second, by the server's clock since 1970, in which its database was no longer there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<u64>,
    /// The server that it was made of, where it has what the tables there remember of their rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) history_of: Option<String>,
    /// How many rows its tables have, where they were to be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<Rows>,
    /// What is not in it, and what is not in it as it was.
    #[serde(default, skip_serializing_if = "Lacks::is_nothing")]
    pub(crate) lacks: Lacks,
}

/// What a dump lacks of its database. Every backup that keeps the dump says so again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lacks {
    /// Each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<(String, String)>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl Lacks {
    pub(crate) fn missing(&mut self, subject: impl Into<String>, why: impl Into<String>) {
        self.missing.push((subject.into(), why.into()));
    }

    fn is_nothing(&self) -> bool {
        self.missing.is_empty() && self.warnings.is_empty()
    }
}

/// How far the log was read, and by what it is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Log {
    /// The files that the backup holds whole, oldest first, and at last the one in which it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<String>,
    /// Where it ends.
    pub(crate) end: String,
    /// A second, by the server's clock since 1970, of which it may hold a part only. Of those before it holds all.
    pub(crate) read: u64,
    /// The file by which the next backup sees that it is the same log: the last one.
    pub(crate) anchor: String,
    /// What is different for every file of that name.
    pub(crate) identity: u32,
    /// Whether all of it was looked through, and a restore of all databases can replay it.
    #[serde(default)]
    pub(crate) reviewed: bool,
    /// Whether names that differ in capitals only are the same to the server that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) folds: Option<bool>,
    /// The engine of tables that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Series {
    /// By file name.
    pub(crate) dumps: Vec<(String, Dump)>,
    pub(crate) log: Option<Log>,
}

impl Dump {
    pub(crate) fn new(database: &Database, stood: u64, position: Option<&Position>) -> Self {
        Self {
            database: database.name.clone(),
            character_set: database.character_set.clone(),
            collation: database.collation.clone(),
            stood,
            position: position.map(Position::to_string),
            gone: None,
            history_of: None,
            rows: None,
            lacks: Lacks::default(),
        }
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.position.as_ref()?.parse().ok()
    }
}

impl Series {
    /// From what a backup noted.
    pub(crate) fn parse(attributes: &Attributes) -> Result<Self> {
        let mut series = Self::default();
        for (key, value) in attributes {
            if let Some(file) = key.strip_prefix(DUMP) {
                series.dumps.push((file.into(), read(key, value)?));
            } else if key == LOG {
                series.log = Some(read(key, value)?);
            }
        }
        series.dumps.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(series)
    }

    /// For what a backup notes.
    pub(crate) fn attributes(&self) -> Attributes {
        let dumps = self.dumps.iter().map(|(file, dump)| {
            let value = serde_json::to_value(dump).unwrap_or(Value::Null);
            (format!("{DUMP}{file}"), value.to_string())
        });
        let log = self.log.iter().map(|log| {
            let value = serde_json::to_value(log).unwrap_or(Value::Null);
            (LOG.to_owned(), value.to_string())
        });
        dumps.chain(log).collect()
    }

    /// The place from which on the log is needed: that of the earliest dump.
    pub(crate) fn first_position(&self) -> Option<Position> {
        let positions = self.dumps.iter().filter_map(|(_, dump)| dump.position());
        positions.min()
    }

    /// The first and the last second that all of it can be restored to; none where it holds no log.
    pub(crate) fn moments(&self) -> Option<(u64, u64)> {
        let log = self.log.as_ref().filter(|log| !log.files.is_empty())?;
        let stood = self.dumps.iter().map(|(_, dump)| dump.stood);
        let (since, reaches) = (stood.max()?, log.read.checked_sub(1)?);
        (since <= reaches).then_some((since, reaches))
    }

    /// Takes out the dumps of databases that were gone at that time, or at the end if there is none, and returns their names.
    pub(crate) fn take_gone(&mut self, until: Option<u64>) -> Vec<String> {
        let is_gone = |dump: &Dump| {
            dump.gone
                .is_some_and(|gone| until.is_none_or(|until| until >= gone))
        };
        let gone = self.dumps.extract_if(.., |(_, dump)| is_gone(dump));
        gone.map(|(_, dump)| dump.database).collect()
    }

    /// Dumps of databases that are not gone.
    pub(crate) fn there(&self) -> impl Iterator<Item = &Dump> {
        let dumps = self.dumps.iter().map(|(_, dump)| dump);
        dumps.filter(|dump| dump.gone.is_none())
    }

    /// The databases that have a dump.
    pub(crate) fn databases(&self) -> Vec<String> {
        let names = self.dumps.iter().map(|(_, dump)| dump.database.clone());
        names.collect()
    }

    pub(crate) fn dump_of(&self, database: &str) -> Option<&(String, Dump)> {
        self.dumps
            .iter()
            .find(|(_, dump)| dump.database == database)
    }
}

fn read<'a, T: Deserialize<'a>>(key: &str, value: &'a str) -> Result<T> {
    serde_json::from_str(value).map_err(|error| {
        Error::new(
            ErrorKind::Corrupted,
            format!("what the backup notes as `{key}` cannot be read: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_backup_notes_the_next_one_reads() {
        let database = Database {
            name: "Größe".into(),
            character_set: "latin1".into(),
            collation: "latin1_swedish_ci".into(),
            bytes: 1,
        };
        let position = Position::new("log.000001", 328);
        let series = Series {
            dumps: vec![
                ("Größe.sql".into(), Dump::new(&database, 5, Some(&position))),
                ("b.sql".into(), Dump::new(&database, 5, None)),
            ],
            log: Some(Log {
                files: vec!["log.000001".into()],
                end: "log.000001:400".into(),
                read: 6,
                anchor: "log.000001".into(),
                identity: 7,
                reviewed: true,
                folds: Some(false),
                engine: Some("InnoDB".into()),
            }),
        };
        let mut attributes = series.attributes();
        attributes.push(("server".into(), "MariaDB 10.11.2".into()));
        let mut expected = series.clone();
        expected.dumps.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(Series::parse(&attributes), Ok(expected));
        assert_eq!(series.dumps[0].1.position(), Some(position));
    }

    #[test]
    fn notes_of_older_backups_are_read() {
        let dump =
            r#"{"database":"a","character_set":"utf8mb4","collation":"utf8mb4_bin","begun":5}"#;
        let series = Series::parse(&vec![("dump a.sql".to_owned(), dump.to_owned())]);
        assert_eq!(series.map(|it| it.dumps[0].1.stood), Ok(5));
    }

    #[test]
    fn a_note_that_cannot_be_read_is_named() {
        let attributes = vec![("dump a.sql".to_owned(), "{}".to_owned())];
        let error = Series::parse(&attributes).expect_err("no database");
        assert!(error.message().contains("`dump a.sql`"), "{error}");
    }
}
