//! What belongs to no database: the script of pg_dumpall and what the server has already in, the statements to run out.

use std::collections::{BTreeMap, BTreeSet};

use postgres_protocol::escape::escape_literal;
use strongroom_plugin::{Error, ErrorKind, Result, log};

use super::statements::{split, unquoted_word, words};
use crate::link::Client;

/// What the server has already.
#[derive(Debug, Default)]
pub(super) struct Existing {
    roles: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
}

impl Existing {
    pub(super) fn of(client: &mut Client) -> Result<Self> {
        let mut names = |sql: &str| -> Result<BTreeSet<String>> {
            let rows = client.query(sql)?;
            Ok(rows.into_iter().flatten().flatten().collect())
        };
        Ok(Self {
            roles: names("SELECT rolname FROM pg_roles")?,
            tablespaces: names("SELECT spcname FROM pg_tablespace")?,
        })
    }
}

/// Makes what is missing; roles and tablespaces that exist stay as they are. A tablespace goes to the directory that `directories` names for it, or nowhere if
/// that is empty.
pub(crate) fn apply(
    client: &mut Client,
    script: &str,
    directories: &BTreeMap<String, String>,
) -> Result<()> {
    let existing = Existing::of(client)?;
    refuse_line_breaks(script)?;
    let mut left_out: BTreeSet<String> = BTreeSet::new();
    for statement in plan(script, &existing) {
        let made = made_tablespace(&statement);
        let directory = made.as_ref().and_then(|name| directories.get(name));
        let statement = match directory {
            Some(directory) => located(&statement, directory),
            None => statement,
        };
        let is_left_out = directory.is_some_and(String::is_empty)
            || of_tablespace(&statement).is_some_and(|name| left_out.contains(&name));
        let result = match is_left_out {
            true => Ok(Vec::new()),
            false => client.query(&statement),
        };
        if (is_left_out || result.is_err())
            && let Some(name) = made
        {
            left_out.insert(name);
        }
        if let Err(failure) = result {
            let what = words(&statement, 3).join(" ");
            let error = strongroom_plugin::Error::from(failure);
            // The rest may still be restored; what needs this will say so.
            log::warn(format!("{what}: {error}"));
        }
    }
    Ok(())
}

/// The tablespaces that a server has.
pub(crate) fn tablespaces_of(client: &mut Client) -> Result<BTreeSet<String>> {
    Ok(Existing::of(client)?.tablespaces)
}

/// Older versions of pg_dumpall write names into comments as they are: what comes after a line break would be run.
fn refuse_line_breaks(script: &str) -> Result<()> {
    let has_one = |statement: &String| {
        let words = words(statement, 3);
        let makes = matches!(words.as_slice(), [create, _, name] if create == "CREATE" && name.contains(['\n', '\r']));
        makes.then(|| words.join(" "))
    };
    match split(script).iter().find_map(has_one) {
        None => Ok(()),
        Some(what) => {
            let problem = format!("{} has a line break in its name", what.escape_debug());
            Err(Error::new(ErrorKind::Unsupported, problem).hint(
                "make the roles and tablespaces yourself from globals.sql, and restore with --option globals=false",
            ))
        }
    }
}

/// A statement that makes a tablespace, for another directory.
fn located(statement: &str, directory: &str) -> String {
    let at = unquoted_word(statement, "LOCATION");
    let before = at.and_then(|at| statement.get(..at)).unwrap_or(statement);
    format!("{before}LOCATION {}", escape_literal(directory))
}

/// The tablespace that a statement is about, if it is about one.
fn of_tablespace(statement: &str) -> Option<String> {
    let words = words(statement, 6);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ALTER", "TABLESPACE", name, ..]
        | ["COMMENT", "ON", "TABLESPACE", name, ..]
        | ["GRANT" | "REVOKE", _, "ON", "TABLESPACE", name, ..] => Some((*name).to_owned()),
        _ => None,
    }
}

fn made_tablespace(statement: &str) -> Option<String> {
    match words(statement, 3).as_slice() {
        [create, tablespace, name] if create == "CREATE" && tablespace == "TABLESPACE" => {
            Some(name.clone())
        }
        _ => None,
    }
}

/// The names of the tablespaces that the script makes.
pub(crate) fn tablespaces(script: &str) -> Vec<String> {
    let statements = split(script);
    statements
        .iter()
        .filter_map(|it| made_tablespace(it))
        .collect()
}

/// The statements that touch nothing that exists.
fn plan(script: &str, existing: &Existing) -> Vec<String> {
    let keeps = |statement: &String| {
        let words = words(statement, 6);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let role_is_new = |name: &str| !existing.roles.contains(name);
        let tablespace_is_new = |name: &str| !existing.tablespaces.contains(name);
        match words.as_slice() {
            ["CREATE" | "ALTER", "ROLE", name, ..] => role_is_new(name),
            ["COMMENT", "ON", "ROLE", name, ..] => role_is_new(name),
            ["CREATE" | "ALTER", "TABLESPACE", name, ..] => tablespace_is_new(name),
            ["COMMENT", "ON", "TABLESPACE", name, ..] => tablespace_is_new(name),
            ["GRANT" | "REVOKE", _, "ON", "TABLESPACE", name, ..] => tablespace_is_new(name),
            ["GRANT", _, "TO", member, ..] => role_is_new(member),
            _ => true,
        }
    };
    split(script).into_iter().filter(keeps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_left_alone() {
        let existing = Existing {
            roles: ["postgres", "a b"].map(String::from).into(),
            tablespaces: ["fast".to_owned()].into(),
        };
        let script = "SET client_encoding = 'UTF8';
            CREATE ROLE postgres; ALTER ROLE postgres WITH SUPERUSER PASSWORD 'x';
            CREATE ROLE \"a b\"; COMMENT ON ROLE \"a b\" IS 'it; is';
            CREATE ROLE shop; ALTER ROLE shop WITH LOGIN; ALTER ROLE shop SET a TO 'b;';
            GRANT shop TO postgres; GRANT postgres TO shop WITH ADMIN OPTION;
            CREATE TABLESPACE fast OWNER postgres LOCATION '/f';
            GRANT ALL ON TABLESPACE fast TO shop;
            CREATE TABLESPACE slow OWNER postgres LOCATION '/s'; GRANT ALL ON TABLESPACE slow TO shop;";
        assert_eq!(
            plan(script, &existing),
            [
                "SET client_encoding = 'UTF8'",
                "CREATE ROLE shop",
                "ALTER ROLE shop WITH LOGIN",
                "ALTER ROLE shop SET a TO 'b;'",
                "GRANT postgres TO shop WITH ADMIN OPTION",
                "CREATE TABLESPACE slow OWNER postgres LOCATION '/s'",
                "GRANT ALL ON TABLESPACE slow TO shop",
            ]
        );
        assert_eq!(tablespaces(script), ["fast", "slow"]);
    }

    #[test]
    fn a_tablespace_can_lie_elsewhere() {
        assert_eq!(
            located(
                "CREATE TABLESPACE \"LOCATION\" OWNER o LOCATION '/x'",
                "/it's"
            ),
            "CREATE TABLESPACE \"LOCATION\" OWNER o LOCATION '/it''s'"
        );
        let about = |text: &str| of_tablespace(text).unwrap_or_default();
        assert_eq!(about("GRANT ALL ON TABLESPACE \"a b\" TO shop"), "a b");
        assert_eq!(about("GRANT a TO b"), "");
    }

    #[test]
    fn a_name_with_a_line_break_is_not_run() {
        let check = |script: &str, is_fine| {
            assert_eq!(refuse_line_breaks(script).is_ok(), is_fine, "{script}");
        };
        check("CREATE ROLE a;\nCREATE ROLE \"b c\";", true);
        check("COMMENT ON ROLE a IS 'x\ny';", true);
        check("CREATE ROLE \"a\nALTER ROLE b SUPERUSER\";", false);
    }
}
