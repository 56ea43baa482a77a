//! What a backup must know of the server: a session comes in, facts go out.

use std::collections::BTreeSet;

use strongroom_plugin::{Error, ErrorKind, Result};

use crate::binlog::Position;
use crate::client::Session;
use crate::config::{Config, Kind};
use crate::name::literal;
use crate::selection::{Selection, is_system};
use crate::version::Version;
use crate::wire::Row;

/// The oldest releases that are supported.
const OLDEST: [(Kind, (u16, u16)); 2] = [(Kind::Mysql, (8, 0)), (Kind::Mariadb, (10, 6))];

/// A database of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) character_set: String,
    pub(crate) collation: String,
    /// Of its tables, as the server estimates.
    pub(crate) bytes: u64,
}

/// What the server is. Refuses one of the other family, or one that is too old.
pub(crate) fn version(session: &mut Session, config: &Config) -> Result<Version> {
    let row = session.query_row("SELECT @@version AS version")?;
    let text = row.as_ref().and_then(|row| row.get("version"));
    let text = text.unwrap_or(session.greeting()).to_owned();
    let version = Version::find(&text).ok_or_else(|| {
        let problem = format!("the server says that it is `{text}`, which is no known version");
        Error::new(ErrorKind::Unsupported, problem)
    })?;
    if version.kind != config.server {
        let problem = format!(
            "the server at {} is {version}, and not what the configuration says",
            config.address()
        );
        return Err(Error::new(ErrorKind::InvalidConfig, problem)
            .hint(format!("set `server = \"{}\"`", version.kind.key())));
    }
    let oldest = OLDEST.iter().find(|(kind, _)| *kind == version.kind);
    match oldest {
        Some((kind, (major, minor))) if version.release() < (*major, *minor) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the server is {version}; {kind} {major}.{minor} is the oldest supported"),
        )),
        _ => Ok(version),
    }
}

/// The databases that the configuration chooses, by name, and those that it names and that are not there.
pub(crate) fn databases(
    session: &mut Session,
    config: &Config,
) -> Result<(Vec<Database>, Vec<String>)> {
    let rows = session.query(
        "SELECT s.SCHEMA_NAME AS name, s.DEFAULT_CHARACTER_SET_NAME AS character_set, \
         s.DEFAULT_COLLATION_NAME AS collation, \
         CAST(COALESCE(SUM(t.DATA_LENGTH), 0) AS CHAR) AS bytes \
         FROM information_schema.SCHEMATA s \
         LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = s.SCHEMA_NAME \
         GROUP BY 1, 2, 3 ORDER BY 1",
    )?;
    let mut all = rows.iter().map(database).collect::<Result<Vec<_>>>()?;
    all.retain(|database| !is_system(&database.name));
    let selection = Selection::of(config);
    let names: Vec<String> = all.iter().map(|database| database.name.clone()).collect();
    let missing = selection.missing(&names).map(str::to_owned).collect();
    all.retain(|database| selection.contains(&database.name));
    Ok((all, missing))
}

fn database(row: &Row) -> Result<Database> {
    Ok(Database {
        name: row.expect("name")?.into(),
        character_set: row.expect("character_set")?.into(),
        collation: row.expect("collation")?.into(),
        bytes: row
            .get("bytes")
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(0),
    })
}

/// The tables of these databases that no transaction holds still, as `DATABASE.TABLE (ENGINE)`: what is written to them during a dump may be in
/// it by half.
pub(crate) fn tables_without_transactions(
    session: &mut Session,
    databases: &[Database],
) -> Result<Vec<String>> {
    if databases.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = databases.iter().map(|one| literal(&one.name)).collect();
    let rows = session.query(&format!(
        "SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME, ' (', t.ENGINE, ')') AS name \
         FROM information_schema.TABLES t \
         JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
         WHERE t.TABLE_TYPE = 'BASE TABLE' AND e.TRANSACTIONS <> 'YES' AND t.TABLE_SCHEMA IN ({}) ORDER BY 1",
        names.join(", ")
    ))?;
    rows.iter()
        .map(|row| row.expect("name").map(str::to_owned))
        .collect()
}

/// What the server calls a table that keeps what its rows were before.
pub(crate) const VERSIONED: &str = "SYSTEM VERSIONED";

/// Which of these databases have tables that keep their history: by time, and by transaction.
pub(crate) fn with_history(
    session: &mut Session,
    databases: &[Database],
) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let mut named = |sql: &str| -> Result<BTreeSet<String>> {
        let chosen = databases.iter().map(|database| &database.name);
        let chosen: BTreeSet<&String> = chosen.collect();
        let rows = session.query(sql)?;
        let names = rows.iter().filter_map(|row| row.at(0).map(str::to_owned));
        Ok(names.filter(|name| chosen.contains(name)).collect())
    };
    let all = named(&format!(
        "SELECT DISTINCT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_TYPE = '{VERSIONED}'"
    ))?;
    let by_transaction = match all.is_empty() {
        true => BTreeSet::new(),
        false => named(
            "SELECT DISTINCT TABLE_SCHEMA FROM information_schema.COLUMNS \
             WHERE GENERATION_EXPRESSION = 'ROW START' AND DATA_TYPE = 'bigint'",
        )?,
    };
    Ok((
        all.difference(&by_transaction).cloned().collect(),
        by_transaction,
    ))
}

/// The server's binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// `ROW`, `MIXED` or `STATEMENT`.
    pub(crate) format: String,
    /// Whether single events are compressed, as MariaDB can.
    pub(crate) is_compressed: bool,
    /// Where it ends now.
    pub(crate) end: Position,
    /// What was executed so far, where the server counts transactions.
    pub(crate) gtid: Option<String>,
}

/// The statement that tells where the log ends. MySQL has renamed it, and forgotten the old name in 8.4.
pub(crate) fn log_status(version: Version) -> &'static str {
    match version.kind {
        Kind::Mysql if version.release() >= (8, 2) => "SHOW BINARY LOG STATUS",
        _ => "SHOW MASTER STATUS",
    }
}

/// The server's binary log; the inner error says why there is nothing to work with.
pub(crate) fn log(session: &mut Session, version: Version) -> Result<Result<Log, String>> {
    let variables = session.query_row("SELECT @@log_bin AS log_bin, @@binlog_format AS format")?;
    let variable = |name| variables.as_ref().and_then(|row| row.get(name));
    if variable("log_bin") != Some("1") {
        return Ok(Err("the server keeps no binary log (log_bin is off)".into()));
    }
    let format = variable("format").unwrap_or_default().to_owned();
    if leaves_out_replicated(session, version.kind)? {
        let why = "the server does not log what it replicates (log_slave_updates is off)";
        return Ok(Err(why.into()));
    }
    let status = match session.query_row(log_status(version)) {
        Ok(Some(status)) => status,
        Ok(None) => return Ok(Err("the server keeps no binary log".into())),
        Err(error) if error.kind() == ErrorKind::Denied => {
            return Ok(Err(match version.kind {
                Kind::Mysql => "the user lacks the privilege REPLICATION CLIENT".into(),
                Kind::Mariadb => "the user lacks the privilege BINLOG MONITOR".into(),
            }));
        }
        Err(error) => return Err(error),
    };
    let is_filtered = ["Binlog_Do_DB", "Binlog_Ignore_DB"]
        .iter()
        .any(|column| status.get(column).is_some_and(|names| !names.is_empty()));
    if is_filtered {
        let why = "the server's log leaves out databases (binlog_do_db, binlog_ignore_db)";
        return Ok(Err(why.into()));
    }
    let offset = status
        .expect("Position")?
        .parse()
        .map_err(|_| Error::new(ErrorKind::Failed, "the server's log position is no number"))?;
    let end = Position::new(status.expect("File")?, offset);
    let gtid = match version.kind {
        Kind::Mysql => status.get("Executed_Gtid_Set").map(str::to_owned),
        Kind::Mariadb => session
            .query_row("SELECT @@gtid_binlog_pos AS gtid")?
            .and_then(|row| row.get("gtid").map(str::to_owned)),
    };
    let compressed = match version.kind {
        Kind::Mysql => None,
        Kind::Mariadb => session.query_row("SELECT @@log_bin_compress AS compressed")?,
    };
    let compressed = compressed.as_ref().and_then(|row| row.get("compressed"));
    Ok(Ok(Log {
        format,
        is_compressed: compressed == Some("1"),
        end,
        gtid: gtid
            .map(|gtid| gtid.replace('\n', ""))
            .filter(|gtid| !gtid.is_empty()),
    }))
}

/// What statements mean that leave it open, by the server's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Habits {
    /// Whether names that differ in capitals only are the same (`lower_case_table_names`).
    pub(crate) folds: bool,
    /// The engine of tables that name none.
    pub(crate) engine: Option<String>,
}

pub(crate) fn habits(session: &mut Session) -> Result<Habits> {
    let row = session.query_row(
        "SELECT @@lower_case_table_names AS folds, @@global.default_storage_engine AS engine",
    )?;
    let value = |name| row.as_ref().and_then(|row| row.get(name));
    Ok(Habits {
        folds: value("folds").is_some_and(|folds| folds != "0"),
        engine: value("engine").map(str::to_owned),
    })
}

/// All databases but the server's own.
pub(crate) fn database_names(session: &mut Session) -> Result<Vec<String>> {
    let rows = session.query("SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA")?;
    let mut names = Vec::new();
    for row in &rows {
        let name = row.expect("name")?;
        if !is_system(name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The files of the binary log that the server still has, oldest first.
pub(crate) fn log_files(session: &mut Session) -> Result<Vec<String>> {
    let rows = session.query("SHOW BINARY LOGS")?;
    rows.iter()
        .map(|row| row.expect("Log_name").map(str::to_owned))
        .collect()
}

/// Whether changes that come from another server are not in the log. MariaDB's default is to leave them out, which matters to replicas only.
fn leaves_out_replicated(session: &mut Session, kind: Kind) -> Result<bool> {
    let settings = session.query(
        "SHOW VARIABLES WHERE Variable_name IN ('log_slave_updates', 'log_replica_updates')",
    )?;
    if settings.iter().all(|row| row.get("Value") == Some("ON")) {
        return Ok(false);
    }
    Ok(kind == Kind::Mysql || is_replica(session)?)
}

/// Whether a MariaDB is a replica or was one. One that stands still now may have run since the last backup.
fn is_replica(session: &mut Session) -> Result<bool> {
    let position = session.query_row("SELECT @@global.gtid_slave_pos AS position")?;
    if position.is_none_or(|row| row.get("position") != Some("")) {
        return Ok(true);
    }
    match session.query_row("SHOW ALL SLAVES STATUS") {
        Ok(source) => Ok(source.is_some()),
        // Without the privilege SLAVE MONITOR only this is told.
        Err(error) if error.kind() == ErrorKind::Denied => {
            let running = session.query_row("SHOW GLOBAL STATUS LIKE 'Slaves_running'")?;
            Ok(running.is_none_or(|row| row.get("Value") != Some("0")))
        }
        Err(error) => Err(error),
    }
}

/// The server's clock, in seconds since 1970. The events of its log go by it.
pub(crate) fn clock(session: &mut Session) -> Result<u64> {
    let row = session.query_row("SELECT UNIX_TIMESTAMP() AS now")?;
    let now = row.as_ref().and_then(|row| row.get("now"));
    now.and_then(|now| now.parse().ok())
        .ok_or_else(|| Error::new(ErrorKind::Failed, "the server does not say what time it is"))
}
