//! A restore: a backup comes in, databases and accounts of a server go out. What is in the way is known before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use strongroom_plugin::{
    Attributes, Context, Error, ErrorKind, Feed, OnConflict, RestoreRequest, Result, log, progress,
};

use crate::check::HISTORY;
use crate::client::{Session, connect};
use crate::config::{Config, Kind, RestoreOptions};
use crate::load::load;
use crate::name::{USERS_FILE, identifier, literal};
use crate::programs;
use crate::replay::{self, Replay};
use crate::selection::is_system;
use crate::series::{Dump, Series};
use crate::server;
use crate::settings::Settings;
use crate::users;
use crate::version::Version;

/// Nothing but a broken backup has more to say about accounts.
const USERS_BYTES: u64 = 32 << 20;

/// The first release of MariaDB whose time ends in 2106.
const LONG_TIME: (u16, u16) = (11, 5);

/// A database that will be restored.
#[derive(Debug)]
pub(crate) struct Order {
    file: String,
    dump: Dump,
    /// What it will be called.
    name: String,
    /// What is there goes first.
    replace: bool,
}

impl Order {
    /// The database under its own name, where nothing is in its way.
    pub(crate) fn new(file: &str, dump: &Dump) -> Self {
        Self {
            file: file.into(),
            dump: dump.clone(),
            name: dump.database.clone(),
            replace: false,
        }
    }
}

/// Restores what was asked for into the configured server.
pub(crate) fn restore(
    config: &Config,
    request: &RestoreRequest<RestoreOptions>,
    feed: &Feed,
) -> Result<Attributes> {
    if !config.writable {
        let problem = format!(
            "the server at {} is configured for reading only",
            config.address()
        );
        return Err(Error::new(ErrorKind::Denied, problem)
            .hint("set writable = true in the source's config, or restore into a directory"));
    }
    let mut series = Series::parse(&feed.attributes())?;
    let files: BTreeSet<String> = feed
        .entries()
        .map(|entry| entry.map(|entry| entry.path))
        .collect::<Result<_>>()?;
    series.dumps.retain(|(file, _)| files.contains(file));
    let until = request.until.map(seconds);
    leave_out_gone(&mut series, until)?;
    let log = Replay::plan(&series, until)?;
    let mut session = connect(config)?;
    let version = server::version(&mut session, config)?;
    check_family(&feed.attributes(), version)?;
    check_history(&series, version)?;
    if log.is_some() {
        replay::check_target(&mut session, version)?;
    }
    let orders = orders(&mut session, &series, &request.options)?;
    let settings = Settings::for_restore(&mut session, config, log.is_some())?;
    let mut attributes = Vec::new();
    if request.options.users && files.contains(USERS_FILE) {
        progress::step("accounts");
        let made = restore_users(&mut session, version.kind, feed)?;
        attributes.push(("accounts made".into(), made.to_string()));
    }
    for order in &orders {
        restore_database(&mut session, config, order, feed)?;
    }
    if let Some(log) = &log {
        for order in &orders {
            replay::replay(config, &order.dump, &order.name, log, feed)
                .on(format!("database {}", order.name))?;
        }
        attributes.push(("binary log".into(), log.describe()));
    }
    drop(settings);
    let names: Vec<&str> = orders.iter().map(|order| order.name.as_str()).collect();
    attributes.push(("databases".into(), names.join(", ")));
    Ok(attributes)
}

/// Leaves out the dumps that are there for earlier moments only.
fn leave_out_gone(series: &mut Series, until: Option<u64>) -> Result<()> {
    let gone = series.take_gone(until).join(", ");
    if gone.is_empty() {
        return Ok(());
    }
    let problem = format!("by then these databases had been dropped: {gone}");
    if series.dumps.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, problem)
            .hint("give --until a time at which they were there"));
    }
    log::info(problem);
    Ok(())
}

/// SQL of one family is only by chance SQL of the other.
pub(crate) fn check_family(attributes: &Attributes, version: Version) -> Result<()> {
    let noted = attributes.iter().find(|(key, _)| key == "server");
    let Some((_, from)) = noted else {
        return Ok(());
    };
    match Version::find(from) {
        Some(from) if from.kind != version.kind => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the backup is of {from}, and the server is {version}"),
        )
        .hint("restore into a directory, and adapt the SQL to the other server")),
        _ => Ok(()),
    }
}

/// A server that is too old does not take the history of tables back. One that counts time beyond 2038 takes all rows of an older one for history,
/// because for that one they end in 2038.
pub(crate) fn check_history(series: &Series, version: Version) -> Result<()> {
    let is_long = |version: Version| version.release() >= LONG_TIME;
    for (_, dump) in &series.dumps {
        let Some(from) = &dump.history_of else {
            continue;
        };
        let hint = if version.release() < HISTORY {
            "restore into MariaDB 10.11 or newer"
        } else if is_long(version) && !Version::find(from).is_some_and(is_long) {
            "restore into a MariaDB older than 11.5, and upgrade that one"
        } else {
            continue;
        };
        let problem = format!(
            "the dump of {} has the history of its tables, of {from}, which {version} would not read as it was",
            dump.database
        );
        return Err(Error::new(ErrorKind::Unsupported, problem).hint(hint));
    }
    Ok(())
}

/// What will be done, after everything was found free to be.
fn orders(session: &mut Session, series: &Series, options: &RestoreOptions) -> Result<Vec<Order>> {
    let mut orders = Vec::new();
    for (file, dump) in &series.dumps {
        let mut order = Order::new(file, dump);
        if let Some(name) = options.rename.get(&dump.database) {
            order.name.clone_from(name);
        }
        orders.push(order);
    }
    check_names(&orders, &options.rename)?;
    let mut kept = BTreeSet::new();
    for order in &mut orders {
        if !holds_something(session, &order.name)? {
            continue;
        }
        match options.conflict {
            OnConflict::Overwrite => order.replace = true,
            OnConflict::KeepExisting => {
                log::info(format!("database {} is left as it is", order.name));
                kept.insert(order.name.clone());
            }
            OnConflict::Fail => {
                let problem = format!("database {} exists, and is not empty", order.name);
                return Err(Error::new(ErrorKind::AlreadyExists, problem).hint(format!(
                    "replace it with --overwrite, or restore under another name: --option rename.{}=NAME",
                    order.dump.database
                )));
            }
        }
    }
    orders.retain(|order| !kept.contains(&order.name));
    Ok(orders)
}

fn check_names(orders: &[Order], rename: &BTreeMap<String, String>) -> Result<()> {
    let wrong = |problem: String| Err(Error::invalid_config("rename", problem));
    for old in rename.keys() {
        if !orders.iter().any(|order| order.dump.database == *old) {
            return wrong(format!("database {old} is not among those to restore"));
        }
    }
    let mut names = BTreeSet::new();
    for order in orders {
        if order.name.is_empty() || is_system(&order.name) {
            return wrong(format!(
                "`{}` is no name for a database of yours",
                order.name
            ));
        }
        if !names.insert(&order.name) {
            return wrong(format!("two databases would be called {}", order.name));
        }
    }
    Ok(())
}

/// Whether there are tables, views, routines or events in a database.
fn holds_something(session: &mut Session, database: &str) -> Result<bool> {
    let name = literal(database);
    let row = session.query_row(&format!(
        "SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name}) \
         OR EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name}) \
         OR EXISTS (SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {name}) AS found"
    ))?;
    Ok(row.as_ref().and_then(|row| row.get("found")) == Some("1"))
}

pub(crate) fn restore_users(session: &mut Session, kind: Kind, feed: &Feed) -> Result<usize> {
    let mut text = String::new();
    feed.open(USERS_FILE)?
        .take(USERS_BYTES)
        .read_to_string(&mut text)?;
    users::restore(session, kind, &text)
}

pub(crate) fn restore_database(
    session: &mut Session,
    config: &Config,
    order: &Order,
    feed: &Feed,
) -> Result<()> {
    let name = &order.name;
    progress::step(format!("database {name}"));
    let quoted = identifier(name);
    if order.replace {
        session
            .query(&format!("DROP DATABASE {quoted}"))
            .on(format!("database {name}"))?;
    }
    session
        .query(&format!(
            "CREATE DATABASE IF NOT EXISTS {quoted} CHARACTER SET {} COLLATE {}",
            literal(&order.dump.character_set),
            literal(&order.dump.collation)
        ))
        .on(format!("database {name}"))?;
    let reader = feed.open(&order.file)?;
    let client = programs::client(config, name).spawn()?;
    load(client, reader, config.server, &order.dump.database, name).on(format!("database {name}"))
}

fn seconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(database: &str, name: &str) -> Order {
        Order {
            file: format!("{database}.sql"),
            dump: Dump {
                database: database.into(),
                character_set: "utf8mb4".into(),
                collation: "utf8mb4_general_ci".into(),
                stood: 0,
                position: None,
                gone: None,
                history_of: None,
                rows: None,
                lacks: crate::series::Lacks::default(),
            },
            name: name.into(),
            replace: false,
        }
    }

    #[test]
    fn new_names_must_make_sense() {
        let rename: BTreeMap<String, String> = [("a".to_owned(), "b".to_owned())].into();
        let check = |orders: &[Order], expected: Option<&str>| {
            let problem = check_names(orders, &rename).err();
            let message = problem.as_ref().map(Error::message);
            assert_eq!(message, expected);
        };
        check(&[order("a", "b"), order("c", "c")], None);
        check(
            &[order("a", "b"), order("b", "b")],
            Some("rename: two databases would be called b"),
        );
        check(
            &[order("c", "c")],
            Some("rename: database a is not among those to restore"),
        );
        check(
            &[order("a", "mysql")],
            Some("rename: `mysql` is no name for a database of yours"),
        );
    }

    #[test]
    fn a_backup_of_one_family_is_not_restored_into_the_other() {
        let version = |text| Version::find(text).expect("a version");
        let noted = vec![("server".to_owned(), "MariaDB 10.11.2".to_owned())];
        assert!(check_family(&noted, version("10.6.1-MariaDB")).is_ok());
        assert!(check_family(&noted, version("8.0.36")).is_err());
    }

    #[test]
    fn history_is_restored_only_where_it_is_read_as_it_was() {
        let check = |from: &str, to: &str, expected: bool| {
            let version = Version::find(to).expect("a version");
            let plain = order("a", "a").dump;
            let mut dump = order("b", "b").dump;
            dump.history_of = Some(from.to_owned());
            let series = Series {
                dumps: vec![("a.sql".into(), plain), ("b.sql".into(), dump)],
                log: None,
            };
            let found = check_history(&series, version);
            assert_eq!(found.is_ok(), expected, "{from} to {to}");
        };
        check("MariaDB 10.11.2", "10.11.2-MariaDB", true);
        check("MariaDB 10.11.2", "11.4.2-MariaDB", true);
        check("MariaDB 10.11.2", "10.6.2-MariaDB", false);
        check("MariaDB 10.11.2", "11.8.2-MariaDB", false);
        check("MariaDB 11.8.2", "11.8.2-MariaDB", true);
    }
}
