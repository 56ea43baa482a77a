//! How many rows the tables of a dump have: a server comes in, counts that a verification can rely on go out.
//!
//! They are counted in a transaction of our own, begun just before the dump. It sees what the dump sees if both stand at the same place in the log:
//! then nothing was committed between them. Where that cannot be shown, no count is noted, because a wrong one would call a good backup a bad one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_plugin::{Error, ErrorKind, Result, progress};

use crate::binlog::Position;
use crate::client::{Session, connect};
use crate::config::{Config, Kind};
use crate::name::{identifier, literal};
use crate::server::{self, VERSIONED};
use crate::version::Version;

/// The one engine whose tables a transaction is known to hold still, together with the log.
const ENGINE: &str = "InnoDB";

/// How long MySQL may take to hold still, in seconds: whoever writes has to wait for as long.
const LOCK_SECONDS: u32 = 3;

/// What is known of the tables of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rows {
    /// Rows of each table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tables: BTreeMap<String, u64>,
    /// Rows of each table that keeps its history, with those of its past, where the dump has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) history: BTreeMap<String, u64>,
    /// Why there is no count, by table; `*` is all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unknown: BTreeMap<String, String>,
}

impl Rows {
    /// No count of any table.
    pub(crate) fn unknown(why: impl Into<String>) -> Self {
        Self {
            unknown: [("*".to_owned(), why.into())].into(),
            ..Self::default()
        }
    }

    fn count(
        &mut self,
        session: &mut Session,
        database: &str,
        table: &Table,
        has_history: bool,
    ) -> Result<()> {
        let current = count(session, database, &table.name, Past::Without)?;
        if has_history && table.is_versioned {
            let all = count(session, database, &table.name, Past::With)?;
            self.history.insert(table.name.clone(), all);
        }
        self.tables.insert(table.name.clone(), current);
        Ok(())
    }
}

/// A transaction that sees the server as it was at a place in its log.
pub(crate) struct Still {
    session: Session,
    position: Position,
}

impl Still {
    /// Begins it. An error is the reason why nothing can be counted.
    pub(crate) fn begin(config: &Config, version: Version) -> Result<Self> {
        let mut session = connect(config)?;
        let position = match version.kind {
            Kind::Mariadb => begin_mariadb(&mut session)?,
            Kind::Mysql => begin_mysql(&mut session, version)?,
        };
        Ok(Self { session, position })
    }

    /// What a dump of `database` holds that stands at `dump`, with its history or without.
    pub(crate) fn count(
        mut self,
        database: &str,
        dump: &Position,
        has_history: bool,
    ) -> Result<Rows> {
        if self.position != *dump {
            return Ok(Rows::unknown("the server was written to just then"));
        }
        let mut rows = Rows::default();
        for table in tables(&mut self.session, database)? {
            progress::check_cancelled()?;
            if table.engine != ENGINE {
                let engine = table.engine;
                let why = format!("its engine is {engine}, which no transaction holds still");
                rows.unknown.insert(table.name, why);
                continue;
            }
            if let Err(error) = rows.count(&mut self.session, database, &table, has_history) {
                // It was changed since, so that the transaction no longer sees it.
                rows.unknown.insert(table.name, error.to_string());
            }
        }
        Ok(rows)
    }
}

/// A table that holds rows.
pub(crate) struct Table {
    pub(crate) name: String,
    engine: String,
    /// Whether it keeps what its rows were before, as MariaDB can.
    is_versioned: bool,
}

/// The tables of a database that hold rows. Views, sequences and the like are no tables.
pub(crate) fn tables(session: &mut Session, database: &str) -> Result<Vec<Table>> {
    let rows = session.query(&format!(
        "SELECT TABLE_NAME AS name, ENGINE AS engine, TABLE_TYPE AS type FROM information_schema.TABLES \
         WHERE TABLE_TYPE IN ('BASE TABLE', '{VERSIONED}') AND TABLE_SCHEMA = {} ORDER BY 1",
        literal(database)
    ))?;
    rows.iter()
        .map(|row| {
            Ok(Table {
                name: row.expect("name")?.to_owned(),
                engine: row.get("engine").unwrap_or("unknown").to_owned(),
                is_versioned: row.get("type") == Some(VERSIONED),
            })
        })
        .collect()
}

/// Whether rows count that a table no longer has, but remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    With,
    Without,
}

/// The rows of a table.
pub(crate) fn count(session: &mut Session, database: &str, table: &str, past: Past) -> Result<u64> {
    let past = match past {
        Past::With => " FOR SYSTEM_TIME ALL",
        Past::Without => "",
    };
    let row = session.query_row(&format!(
        "SELECT COUNT(*) AS number FROM {}.{}{past}",
        identifier(database),
        identifier(table)
    ))?;
    let number = row.as_ref().and_then(|row| row.get("number"));
    number.and_then(|it| it.parse().ok()).ok_or_else(|| {
        let problem = format!("the server does not say how many rows {table} has");
        Error::new(ErrorKind::Failed, problem)
    })
}

/// MariaDB tells where in the log a transaction stands.
fn begin_mariadb(session: &mut Session) -> Result<Position> {
    begin(session)?;
    let rows = session.query("SHOW STATUS LIKE 'binlog_snapshot_%'")?;
    let value = |name: &str| {
        let row = rows.iter().find(|row| {
            let found = row.get("Variable_name");
            found.is_some_and(|found| found.eq_ignore_ascii_case(name))
        });
        row.and_then(|row| row.get("Value"))
    };
    position(
        value("binlog_snapshot_file"),
        value("binlog_snapshot_position"),
    )
}

/// MySQL has to be held still for a moment, as its dump program does.
fn begin_mysql(session: &mut Session, version: Version) -> Result<Position> {
    session.query(&format!("SET SESSION lock_wait_timeout = {LOCK_SECONDS}"))?;
    session.query("FLUSH TABLES WITH READ LOCK")?;
    begin(session)?;
    let status = session.query_row(server::log_status(version))?;
    session.query("UNLOCK TABLES")?;
    let value = |name| status.as_ref().and_then(|row| row.get(name));
    position(value("File"), value("Position"))
}

fn begin(session: &mut Session) -> Result<()> {
    session.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    session.query("START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */")?;
    Ok(())
}

fn position(file: Option<&str>, offset: Option<&str>) -> Result<Position> {
    let offset = offset.and_then(|offset| offset.parse().ok());
    match (file, offset) {
        (Some(file), Some(offset)) if !file.is_empty() => Ok(Position::new(file, offset)),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            "the server does not say where in the log a transaction stands",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_only_if_the_server_says_both_file_and_offset() {
        let check = |file, offset, expected: Option<&str>| {
            let found = position(file, offset).ok().map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected);
        };
        check(Some("log.000001"), Some("328"), Some("log.000001:328"));
        check(Some(""), Some("0"), None);
        check(None, Some("328"), None);
        check(Some("log.000001"), None, None);
    }

    #[test]
    fn rows_are_noted_as_json_without_what_is_not_there() {
        let noted = |rows: &Rows| serde_json::to_string(rows).expect("JSON");
        let counted = Rows {
            tables: [("orders".to_owned(), 12)].into(),
            ..Rows::default()
        };
        assert_eq!(noted(&counted), r#"{"tables":{"orders":12}}"#);
        assert_eq!(noted(&Rows::unknown("why")), r#"{"unknown":{"*":"why"}}"#);
    }
}
