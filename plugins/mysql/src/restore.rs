//! A restore: a backup comes in, databases and accounts of a server go out. What is in the way is known before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use strongroom_plugin::{
    Attributes, Error, ErrorKind, Feed, OnConflict, RestoreRequest, Result, log, progress,
};

use crate::check::HISTORY;
use crate::client::{Session, connect};
use crate::config::{Config, RestoreOptions};
use crate::load::{Loader, Order};
use crate::name::{USERS_FILE, literal};
use crate::replay::Replay;
use crate::selection::is_system;
use crate::series::Series;
use crate::server;
use crate::settings::Settings;
use crate::users;
use crate::version::Version;

/// Nothing but a broken backup has more to say about accounts.
const USERS_BYTES: u64 = 32 << 20;

/// The first release of MariaDB whose time ends in 2106.
const LONG_TIME: (u16, u16) = (11, 5);

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
    let until = request.until.map(seconds);
    let gone = series.take_gone(until);
    let all = series.databases();
    series.dumps.retain(|(file, _)| files.contains(file));
    let others: Vec<String> = all.iter().chain(&gone).cloned().collect();
    tell_gone(&gone, series.dumps.is_empty())?;
    let log = Replay::plan(&series, until)?;
    let mut session = connect(config)?;
    let version = server::version(&mut session, config)?;
    let folds = server::habits(&mut session)?.folds;
    check_family(&feed.attributes(), version)?;
    check_history(&series, version)?;
    let mut orders: Vec<Order> = series
        .dumps
        .iter()
        .map(|(file, dump)| Order::new(file, dump))
        .collect();
    if let Some(log) = &log {
        log.check_target(&mut session, version, folds)?;
        let young = log.make_or_leave_out(&mut orders, feed)?;
        if !young.is_empty() {
            log::info(format!(
                "left out, because they were made after that time: {}",
                young.join(", ")
            ));
        }
    }
    check_free(&mut session, &mut orders, &request.options, folds)?;
    if let Some(log) = &log {
        let is_all = orders.len() == all.len();
        log.check(&orders, &others, is_all, config.server, feed)?;
    }
    let settings = Settings::for_restore(config, log.is_some())?;
    let mut attributes = Vec::new();
    let mut accounts = None;
    if request.options.users && files.contains(USERS_FILE) {
        progress::step("accounts");
        let made = users::restore(&mut session, version.kind, &users_file(feed)?)?;
        attributes.push(("accounts made".into(), made.made.to_string()));
        accounts = Some(made);
    }
    let mut loader = Loader::new(&mut session, config, feed, folds)?;
    for order in &orders {
        loader.database(&mut session, order)?;
    }
    for (name, error) in loader.views(request.options.go_on)? {
        if !request.options.go_on {
            return Err(error
                .on(format!("views of {name}"))
                .hint("restore what they are of with them, or leave them out with --go-on"));
        }
        feed.missing(format!("views of {name}"), error.to_string());
    }
    if let Some(log) = &log {
        log.run(&mut session, config, &orders, &others, feed)?;
        attributes.push(("binary log".into(), log.describe()));
    }
    if let Some(accounts) = accounts {
        for (account, error) in accounts.give_rest(&mut session)? {
            feed.missing(format!("rights of {account}"), error.to_string());
        }
    }
    drop(settings);
    let names: Vec<&str> = orders.iter().map(|order| order.name.as_str()).collect();
    attributes.push(("databases".into(), names.join(", ")));
    Ok(attributes)
}

/// Tells of dumps that are there for earlier moments only.
fn tell_gone(gone: &[String], is_nothing_left: bool) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "by then these databases had been dropped: {}",
        gone.join(", ")
    );
    if is_nothing_left {
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

/// Says what each is called and what goes for it, after everything was found free to be.
fn check_free(
    session: &mut Session,
    orders: &mut Vec<Order>,
    options: &RestoreOptions,
    folds: bool,
) -> Result<()> {
    for order in orders.iter_mut() {
        if let Some(name) = options.rename.get(&order.dump.database) {
            order.name.clone_from(name);
        }
    }
    check_names(orders, &options.rename, folds)?;
    let mut kept = BTreeSet::new();
    for order in orders.iter_mut() {
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
    Ok(())
}

fn check_names(orders: &[Order], rename: &BTreeMap<String, String>, folds: bool) -> Result<()> {
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
        let key = match folds {
            true => order.name.to_lowercase(),
            false => order.name.clone(),
        };
        if !names.insert(key) {
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

/// The accounts of the backup, as SQL.
pub(crate) fn users_file(feed: &Feed) -> Result<String> {
    let mut text = String::new();
    feed.open(USERS_FILE)?
        .take(USERS_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn seconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Dump;

    fn order(database: &str, name: &str) -> Order {
        Order {
            file: Some(format!("{database}.sql")),
            from: None,
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
            let problem = check_names(orders, &rename, false).err();
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
        let alike = [order("a", "a"), order("A", "A")];
        assert!(check_names(&alike, &BTreeMap::new(), false).is_ok());
        assert!(check_names(&alike, &BTreeMap::new(), true).is_err());
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
