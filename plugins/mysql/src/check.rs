//! Looking before backing up: a configuration comes in, what the server is and what a backup of it would hold goes out.

use std::collections::BTreeSet;

use strongroom_plugin::{Attributes, Error, ErrorKind, Result, log};

use crate::binlog::Position;
use crate::client::{ROWS_BEFORE, Session, connect};
use crate::config::{Config, Kind};
use crate::contents::{Contents, Looking};
use crate::grants::Grants;
use crate::name::shown;
use crate::programs;
use crate::series::Series;
use crate::server::{self, Database};
use crate::version::Version;

/// The one format of the log in which a statement that changes several databases shows in each of them.
const ROW: &str = "ROW";

/// The first release of MariaDB that takes the history of a table back, and whose dump program writes it.
pub(crate) const HISTORY: (u16, u16) = (10, 11);

/// How many names a list shows.
const SHOWN: usize = 10;

/// A server that was looked at.
pub(crate) struct Look {
    pub(crate) session: Session,
    pub(crate) version: Version,
    pub(crate) databases: Vec<Database>,
    /// Databases that the configuration names and that are not there.
    missing: Vec<String>,
    /// Of the program that dumps.
    pub(crate) dump_program: Version,
    /// The log; the inner error says why a backup cannot be continued by it.
    pub(crate) log: Result<server::Log, String>,
    /// Databases that are dumped with the history of their tables.
    pub(crate) with_history: BTreeSet<String>,
    grants: Grants,
    /// What the dumps will lack.
    lacking: Vec<String>,
}

impl Look {
    /// Connects and looks. What would make a backup fail is an error; what would make it worse is warned of.
    pub(crate) fn take(config: &Config) -> Result<Self> {
        let mut session = connect(config)?;
        let version = server::version(&mut session, config)?;
        let dump_program = programs::version(version.kind.dump_program(), version.kind)?;
        programs::check_dump_program(dump_program, version)?;
        check_whole_answers(&mut session, version.kind)?;
        let (databases, missing) = server::databases(&mut session, config)?;
        let grants = Grants::of(&mut session)?;
        let log = usable_log(&mut session, version, &grants)?;
        let mut lacking = unseen(&grants, version.kind, &databases);
        let (with_history, without) = history(&mut session, version, dump_program, &databases)?;
        lacking.extend(without);
        for what in &lacking {
            log::warn(format!("not in the backup: {what}"));
        }
        Ok(Self {
            session,
            version,
            databases,
            missing,
            dump_program,
            log,
            with_history,
            grants,
            lacking,
        })
    }

    /// What a dump of this database will hold.
    pub(crate) fn contents(&mut self, database: &Database) -> Result<Contents> {
        let mut looking = Looking {
            session: &mut self.session,
            kind: self.version.kind,
            grants: &self.grants,
            database,
        };
        looking.contents()
    }

    /// Fails where the configuration names a database that is not there, and not among those that are known `otherwise`.
    pub(crate) fn require_named(&self, otherwise: &Series) -> Result<()> {
        let mut missing = self.missing.iter();
        match missing.find(|name| otherwise.dump_of(name).is_none()) {
            None => Ok(()),
            Some(missing) => {
                let problem =
                    format!("there is no database `{missing}`, or this user may not see it");
                Err(Error::new(ErrorKind::NotFound, problem)
                    .hint("correct `databases`, or grant the user rights on it"))
            }
        }
    }

    /// Warns of tables that no transaction holds still.
    pub(crate) fn warn_of_tables(&mut self) -> Result<Vec<String>> {
        let tables = server::tables_without_transactions(&mut self.session, &self.databases)?;
        if !tables.is_empty() {
            log::warn(format!(
                "these tables know no transactions, so that the dump may catch them in the midst of a change: {}",
                shortened(&tables)
            ));
        }
        Ok(tables)
    }

    /// Where the log ends by now.
    pub(crate) fn log_end_now(&mut self) -> Result<Position> {
        match server::log(&mut self.session, self.version)? {
            Ok(log) => Ok(log.end),
            Err(why) => Err(Error::new(ErrorKind::Unavailable, why)),
        }
    }
}

/// What `check` answers.
pub(crate) fn check(config: &Config) -> Result<Attributes> {
    let mut look = Look::take(config)?;
    look.require_named(&Series::default())?;
    let tables = look.warn_of_tables()?;
    let mut attributes = vec![
        ("server".to_owned(), look.version.to_string()),
        ("dump program".to_owned(), look.dump_program.to_string()),
    ];
    for database in &look.databases {
        let about = format!("about {}", size(database.bytes));
        attributes.push((format!("database {}", database.name), about));
    }
    if !tables.is_empty() {
        attributes.push(("tables without transactions".into(), shortened(&tables)));
    }
    let (lacking, dumped_anew) = foretell(&mut look)?;
    if !lacking.is_empty() {
        attributes.push(("not in the backup".into(), lacking.join("; ")));
    }
    if !dumped_anew.is_empty() {
        attributes.push(("dumped by every backup".into(), dumped_anew.join("; ")));
    }
    match &look.log {
        Ok(log) => {
            attributes.push(("binary log".into(), format!("{}, {}", log.format, log.end)));
            if let Some(gtid) = &log.gtid {
                attributes.push(("gtid".into(), gtid.clone()));
            }
            attributes.push(("incremental".into(), "by the binary log".into()));
        }
        Err(why) => attributes.push(("incremental".into(), format!("no: {why}"))),
    }
    Ok(attributes)
}

/// What backups will lack, and which databases the log cannot be replayed for.
fn foretell(look: &mut Look) -> Result<(Vec<String>, Vec<String>)> {
    let mut lacking = look.lacking.clone();
    let mut anew = Vec::new();
    for database in look.databases.clone() {
        let name = shown(&database.name);
        let contents = look.contents(&database)?;
        let whole = contents
            .refused
            .map(|why| (format!("database {name}"), why));
        for (subject, why) in whole.into_iter().chain(contents.lacks.missing) {
            log::warn(format!("not in the backup: {subject}: {why}"));
            lacking.push(format!("{subject} ({why})"));
        }
        anew.extend(contents.no_log.map(|why| format!("{name} ({why})")));
    }
    Ok((lacking, anew))
}

/// Refuses a server that cuts answers off: the dump program takes what it gets for all rows of a table, and for those of now.
fn check_whole_answers(session: &mut Session, kind: Kind) -> Result<()> {
    let refuse = |what: &str, hint: &str| {
        let problem =
            format!("the server gives this user's sessions {what}, so that dumps would lack rows");
        Err(Error::new(ErrorKind::Unsupported, problem).hint(hint))
    };
    let row = session.query_row(&format!(
        "SELECT CAST({ROWS_BEFORE} AS CHAR) AS rows_before"
    ))?;
    let rows = row.as_ref().and_then(|row| row.get("rows_before"));
    if let Some(rows) = rows.filter(|rows| rows.parse().is_ok_and(|rows: u64| rows < u64::MAX)) {
        let hint = "SET GLOBAL sql_select_limit = 18446744073709551615, and look whether init_connect sets it";
        return refuse(&format!("a sql_select_limit of {rows}"), hint);
    }
    if kind == Kind::Mysql {
        return Ok(());
    }
    let row = session.query_row("SHOW VARIABLES LIKE 'system_versioning_asof'")?;
    match row.as_ref().and_then(|row| row.get("Value")) {
        None | Some("" | "DEFAULT") => Ok(()),
        Some(moment) => refuse(
            &format!("tables as of {moment} (system_versioning_asof)"),
            "SET GLOBAL system_versioning_asof = DEFAULT, and look whether init_connect sets it",
        ),
    }
}

/// What the server hides from this user, so that the dump program passes over it without a word.
fn unseen(grants: &Grants, kind: Kind, databases: &[Database]) -> Vec<String> {
    let sees_routines = |database: &str| match kind {
        Kind::Mysql => grants.everywhere("SHOW_ROUTINE") || grants.everywhere("SELECT"),
        Kind::Mariadb => {
            grants.on_table("SELECT", "mysql", "proc") || grants.on("SHOW CREATE ROUTINE", database)
        }
    };
    let without = |what: &str, privilege: &str, sees: &dyn Fn(&str) -> bool| {
        let names = databases.iter().map(|database| database.name.clone());
        let names: Vec<String> = names.filter(|name| !sees(name)).collect();
        let told = format!(
            "{what} of {}, if there are any ({privilege})",
            shortened(&names)
        );
        (!names.is_empty()).then_some(told)
    };
    let events = without("events", "the user lacks the privilege EVENT", &|name| {
        grants.on("EVENT", name)
    });
    let triggers = without(
        "triggers",
        "the user lacks the privilege TRIGGER",
        &|name| grants.on("TRIGGER", name),
    );
    let privilege = match kind {
        Kind::Mysql => "the user lacks the privilege SHOW_ROUTINE",
        Kind::Mariadb => "the user lacks the privilege SELECT on mysql.proc",
    };
    let routines = without("routines", privilege, &sees_routines);
    triggers.into_iter().chain(routines).chain(events).collect()
}

/// Which databases are dumped with the history of their tables, and of which it is left out, as dump programs do by themselves.
fn history(
    session: &mut Session,
    version: Version,
    program: Version,
    databases: &[Database],
) -> Result<(BTreeSet<String>, Option<String>)> {
    if version.kind == Kind::Mysql {
        return Ok((BTreeSet::new(), None));
    }
    let (dumped, by_transaction) = server::with_history(session, databases)?;
    let told = |databases: &BTreeSet<String>, why: &str| {
        let names: Vec<String> = databases.iter().cloned().collect();
        let told = format!("the history of tables of {} ({why})", shortened(&names));
        (!names.is_empty()).then_some(told)
    };
    if version.release() < HISTORY || program.release() < HISTORY {
        let all = dumped.union(&by_transaction).cloned().collect();
        let why = "MariaDB and mariadb-dump 10.11 or newer are needed for it";
        return Ok((BTreeSet::new(), told(&all, why)));
    }
    let why = "mariadb-dump does not take what is kept by transaction";
    Ok((dumped, told(&by_transaction, why)))
}

/// The log, if backups can be continued by it with what this user may do.
fn usable_log(
    session: &mut Session,
    version: Version,
    grants: &Grants,
) -> Result<Result<server::Log, String>> {
    let log = match server::log(session, version)? {
        Ok(log) => log,
        Err(why) => return Ok(Err(why)),
    };
    if log.format != ROW {
        return Ok(Err(format!(
            "the binary log's format is {}, and only {ROW} tells for sure which database a change belongs to",
            log.format
        )));
    }
    if log.is_compressed {
        return Ok(Err(
            "the binary log is compressed (log_bin_compress), so that its statements cannot be looked into".into(),
        ));
    }
    // MariaDB's dump program learns its position from the transaction that it reads in. MySQL's has to lock all tables for a moment.
    let mut needs = vec!["REPLICATION SLAVE"];
    if version.kind == Kind::Mysql {
        needs.push("RELOAD");
    }
    for privilege in needs {
        if !grants.everywhere(privilege) {
            return Ok(Err(format!("the user lacks the privilege {privilege}")));
        }
    }
    Ok(Ok(log))
}

fn shortened(names: &[String]) -> String {
    match names.get(..SHOWN) {
        Some(first) if names.len() > SHOWN => {
            format!("{} and {} more", first.join(", "), names.len() - SHOWN)
        }
        _ => names.join(", "),
    }
}

fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes, 0);
    while amount >= 10 * 1024 && unit + 1 < units.len() {
        amount /= 1024;
        unit += 1;
    }
    format!("{amount} {}", units.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_short() {
        let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        assert_eq!(shortened(&names[..2]), "0, 1");
        assert_eq!(shortened(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }

    #[test]
    fn a_size_is_shown_in_a_unit_that_fits() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(16384), "16 KiB");
        assert_eq!(size(5 << 30), "5120 MiB");
        assert_eq!(size(50 << 30), "50 GiB");
    }
}
