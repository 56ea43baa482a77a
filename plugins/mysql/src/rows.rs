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
use crate::server;
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

    /// What a dump of `database` holds that stands at `dump`.
    pub(crate) fn count(mut self, database: &str, dump: &Position) -> Result<Rows> {
        if self.position != *dump {
            return Ok(Rows::unknown("the server was written to just then"));
        }
        let mut rows = Rows::default();
        for (table, engine) in tables(&mut self.session, database)? {
            progress::check_cancelled()?;
            if engine != ENGINE {
                let why = format!("its engine is {engine}, which no transaction holds still");
                rows.unknown.insert(table, why);
                continue;
            }
            match count(&mut self.session, database, &table) {
                Ok(count) => drop(rows.tables.insert(table, count)),
                // It was changed since, so that the transaction no longer sees it.
                Err(error) => drop(rows.unknown.insert(table, error.to_string())),
            }
        }
        Ok(rows)
    }
}

/// The tables of a database that hold rows, and the engine of each. Views, sequences and the like are no tables.
pub(crate) fn tables(session: &mut Session, database: &str) -> Result<Vec<(String, String)>> {
    let rows = session.query(&format!(
        "SELECT TABLE_NAME AS name, ENGINE AS engine FROM information_schema.TABLES \
         WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA = {} ORDER BY 1",
        literal(database)
    ))?;
    rows.iter()
        .map(|row| {
            let engine = row.get("engine").unwrap_or("unknown");
            Ok((row.expect("name")?.to_owned(), engine.to_owned()))
        })
        .collect()
}

/// The rows of a table.
pub(crate) fn count(session: &mut Session, database: &str, table: &str) -> Result<u64> {
    let row = session.query_row(&format!(
        "SELECT COUNT(*) AS number FROM {}.{}",
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
