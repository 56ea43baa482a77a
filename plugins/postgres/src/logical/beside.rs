//! Databases that a restore puts beside those that it is about: the new one until it is whole, the old one until it may go. A comment on each says so, and
//! whoever comes after a restore that was killed knows what they are.

use std::collections::{BTreeMap, BTreeSet};

use postgres_protocol::escape::{escape_identifier, escape_literal};
use strongroom_plugin::{Error, ErrorKind, Result, log};

use super::lobby::{Lobby, remove};
use super::plan::Step;
use crate::config::Config;
use crate::link::{self, Client};
use crate::server::is_true;

/// How long a name may be.
const NAME_BYTES: usize = 63;

/// What is made is called so until it is whole.
const MAKING: &str = ".restoring";
/// What it replaces is called so until it is dropped.
const REPLACED: &str = ".before-restore";

/// Whether somebody has made anything in a database; what comes with every one has lower numbers.
const HOLDS_SOMETHING: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_proc WHERE oid >= 16384) \
    OR EXISTS (SELECT FROM pg_type WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384) \
    OR EXISTS (SELECT FROM pg_largeobject_metadata) OR EXISTS (SELECT FROM pg_extension WHERE oid >= 16384)";

const HALF_MADE: &str =
    "half made by a restore of strongroom, which is under way or was ended; to become database ";
const TO_GO: &str =
    "replaced by a restore of strongroom, which would have dropped it; it was database ";

/// The names that a step uses for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) making: String,
    pub(super) replaced: String,
}

impl Names {
    /// Names that nothing has yet; they are taken from now on.
    pub(super) fn choose(database: &str, taken: &mut BTreeSet<String>) -> Self {
        let mut free = |suffix: &str| {
            let numbered = (2..).map(|number| format!("{suffix}-{number}"));
            let mut suffixes = std::iter::once(suffix.to_owned()).chain(numbered);
            let name = suffixes.find_map(|suffix| {
                let name = clipped(database, NAME_BYTES - suffix.len()).to_owned() + &suffix;
                taken.insert(name.clone()).then_some(name)
            });
            name.expect("there are more numbers than databases")
        };
        Self {
            making: free(MAKING),
            replaced: free(REPLACED),
        }
    }
}

/// The statement by which a database says that it is not whole.
pub(super) fn mark_half_made(name: &str, becomes: &str) -> String {
    mark(name, &format!("{HALF_MADE}{becomes}"))
}

/// The statement by which a database says that it may go.
pub(super) fn mark_to_go(name: &str, was: &str) -> String {
    mark(name, &format!("{TO_GO}{was}"))
}

fn mark(name: &str, text: &str) -> String {
    let (name, text) = (escape_identifier(name), escape_literal(text));
    format!("COMMENT ON DATABASE {name} IS {text}")
}

/// What earlier restores of the same databases left is removed; and the names of all databases that are left, which are taken.
pub(super) fn tidy(
    lobby: &mut Lobby,
    steps: &[Step],
    overwrites: bool,
) -> Result<BTreeSet<String>> {
    for step in steps {
        lobby.lock(&step.name)?;
    }
    // Not before: while it waits for another restore, that one makes and renames some.
    let mut databases = databases(lobby.client()?)?;
    for step in steps {
        let mut found = left(&databases, &step.name);
        for name in unmarked(&databases, &step.name) {
            // It was made, and the restore was ended before it could say so.
            if holds_something(lobby.config, &name) == Some(false) {
                found.push((name, Left::HalfMade));
            }
        }
        for (name, what) in found {
            let what = match what {
                Left::HalfMade => "is what a restore left half made that was ended",
                Left::Replaced if overwrites => "is what a restore that was ended replaced before",
                Left::Replaced => {
                    log::warn(format!(
                        "database {name} is left from an earlier restore of {}, which replaced it: drop it if nobody misses anything in it",
                        step.name
                    ));
                    continue;
                }
            };
            log::warn(format!("database {name} {what}: it is dropped"));
            let is_superuser = lobby.is_superuser;
            let config = lobby.config;
            for told in remove(config, lobby.client()?, &name, is_superuser)? {
                log::warn(told);
            }
            databases.remove(&name);
        }
        if let Some(other) = databases.keys().find(|it| is_like(it, &step.name)) {
            log::info(format!("database {other} is not ours, and is left alone"));
        }
    }
    Ok(databases.into_keys().collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    HalfMade,
    Replaced,
}

/// What is left from restores of `database`, by its own word and by its name.
fn left(databases: &BTreeMap<String, String>, database: &str) -> Vec<(String, Left)> {
    let found = databases.iter().filter_map(|(name, comment)| {
        let says = |mark: &str| comment.strip_prefix(mark) == Some(database);
        let left = match is_like(name, database) {
            true if says(HALF_MADE) => Left::HalfMade,
            true if says(TO_GO) => Left::Replaced,
            _ => return None,
        };
        Some((name.clone(), left))
    });
    found.collect()
}

/// What is called as if it was being made, and says nothing of itself.
fn unmarked(databases: &BTreeMap<String, String>, database: &str) -> Vec<String> {
    let found = databases
        .iter()
        .filter(|(name, comment)| comment.is_empty() && has_suffix(name, database, MAKING));
    found.map(|(name, _)| name.clone()).collect()
}

fn is_like(name: &str, database: &str) -> bool {
    [MAKING, REPLACED]
        .iter()
        .any(|suffix| has_suffix(name, database, suffix))
}

fn has_suffix(name: &str, database: &str, suffix: &str) -> bool {
    let start = name.rfind(suffix).and_then(|at| name.get(..at));
    start.is_some_and(|start| !start.is_empty() && database.starts_with(start))
}

/// Whether somebody has made anything in a database; none if it cannot be looked into.
pub(super) fn holds_something(config: &Config, name: &str) -> Option<bool> {
    let mut inside = link::connect(config, name).ok()?;
    let holds = is_true(&mut inside, HOLDS_SOMETHING).ok();
    inside.close();
    holds
}

/// All databases with their comments.
fn databases(client: &mut Client) -> Result<BTreeMap<String, String>> {
    let rows = client.query(
        "SELECT datname, pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database",
    )?;
    let named = rows.into_iter().filter_map(|row| {
        let mut columns = row.into_iter();
        let name = columns.next().flatten()?;
        Some((name, columns.next().flatten().unwrap_or_default()))
    });
    Ok(named.collect())
}

/// What would keep a database from being replaced, before anything is done.
pub(super) fn check_replaceable(client: &mut Client, name: &str) -> Result<()> {
    let literal = escape_literal(name);
    let mut list = |sql: String| -> Result<Vec<String>> {
        let rows = client.query(&sql)?;
        Ok(rows.into_iter().flatten().flatten().collect())
    };
    let prepared = list(format!(
        "SELECT pg_catalog.quote_literal(gid) FROM pg_catalog.pg_prepared_xacts WHERE database OPERATOR(pg_catalog.=) {literal} ORDER BY 1"
    ))?;
    if let Some(first) = prepared.first() {
        let problem = format!(
            "database {name} has prepared transactions, and cannot be replaced: {}",
            prepared.join(", ")
        );
        return Err(Error::new(ErrorKind::Failed, problem).hint(format!(
            "end each of them in {name}: COMMIT PREPARED {first}, or ROLLBACK PREPARED {first}"
        )));
    }
    let strangers = list(format!(
        "SELECT pg_catalog.pg_get_userbyid(d.datdba) FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r \
         ON r.rolname OPERATOR(pg_catalog.=) current_user WHERE d.datname OPERATOR(pg_catalog.=) {literal} \
         AND NOT r.rolsuper AND NOT (r.rolcreatedb AND pg_catalog.pg_has_role(d.datdba, 'USAGE'))"
    ))?;
    if let Some(owner) = strangers.first() {
        let problem = format!("database {name} is {owner}'s, and the role may not replace it");
        return Err(Error::new(ErrorKind::Denied, problem).hint(
            "restore as a superuser, or as a member of that role that may create databases",
        ));
    }
    let subscriptions = list(format!(
        "SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.subdbid \
         WHERE d.datname OPERATOR(pg_catalog.=) {literal} AND NOT pg_catalog.pg_has_role(s.subowner, 'USAGE')"
    ))?;
    if let Some(subscription) = subscriptions.first() {
        let problem = format!(
            "database {name} has the subscription {subscription}, which the role may not drop"
        );
        return Err(Error::new(ErrorKind::Denied, problem)
            .hint("restore as a superuser, or drop the subscription before"));
    }
    let slots = list(format!(
        "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE database OPERATOR(pg_catalog.=) {literal} ORDER BY 1"
    ))?;
    if !slots.is_empty() {
        log::warn(format!(
            "replication slots go with the database {name} that is replaced, and whoever reads from them has to start anew: {}",
            slots.join(", ")
        ));
    }
    Ok(())
}

/// A name of at most `bytes`, so that there is room for more.
fn clipped(name: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    name.get(..end.unwrap_or(0)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_letters() {
        assert_eq!(clipped("shop", 48), "shop");
        assert_eq!(clipped("größe", 3), "gr");
    }

    #[test]
    fn names_are_taken_once() {
        let mut taken = ["shop.restoring".to_owned()].into();
        let names = Names::choose("shop", &mut taken);
        assert_eq!(names.making, "shop.restoring-2");
        assert_eq!(names.replaced, "shop.before-restore");
        let long = "x".repeat(NAME_BYTES);
        for name in [&long, &long] {
            let names = Names::choose(name, &mut taken);
            assert!(names.making.len() <= NAME_BYTES && is_like(&names.making, &long));
            assert!(names.replaced.len() <= NAME_BYTES && is_like(&names.replaced, &long));
        }
        assert_eq!(taken.len(), 7);
    }

    #[test]
    fn only_what_says_so_itself_and_is_called_so_is_left_from_a_restore() {
        let marked = |mark: &str, of: &str| format!("{mark}{of}");
        let databases = [
            ("shop.restoring", marked(HALF_MADE, "shop")),
            ("shop.restoring-2", String::new()),
            ("shop.before-restore-3", marked(TO_GO, "shop")),
            ("shop.before-restore", "mine".to_owned()),
            ("precious", marked(HALF_MADE, "shop")),
            ("shop", marked(TO_GO, "shop")),
            ("crm.restoring", marked(HALF_MADE, "crm")),
        ];
        let databases = databases
            .map(|(name, comment)| (name.to_owned(), comment))
            .into();
        assert_eq!(
            left(&databases, "shop"),
            [
                ("shop.before-restore-3".to_owned(), Left::Replaced),
                ("shop.restoring".to_owned(), Left::HalfMade),
            ]
        );
        assert_eq!(unmarked(&databases, "shop"), ["shop.restoring-2"]);
        assert!(unmarked(&databases, "crm").is_empty());
    }
}
