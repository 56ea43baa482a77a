//! What belongs to no database: the script of pg_dumpall and what the server has already in, the statements to run out.

use std::collections::BTreeSet;

use strongroom_plugin::{Result, log};

use super::statements::{split, words};
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

/// Makes what is missing; roles and tablespaces that exist stay as they are.
pub(crate) fn apply(client: &mut Client, script: &str) -> Result<()> {
    let existing = Existing::of(client)?;
    for statement in plan(script, &existing) {
        if let Err(failure) = client.query(&statement) {
            let what = words(&statement, 3).join(" ");
            let error = strongroom_plugin::Error::from(failure);
            // The rest may still be restored; what needs this will say so.
            log::warn(format!("{what}: {error}"));
        }
    }
    Ok(())
}

/// The names of the tablespaces that the script makes.
pub(crate) fn tablespaces(script: &str) -> Vec<String> {
    let name = |statement: String| {
        let words = words(&statement, 3);
        match words.as_slice() {
            [create, tablespace, name] if create == "CREATE" && tablespace == "TABLESPACE" => {
                Some(name.clone())
            }
            _ => None,
        }
    };
    split(script).into_iter().filter_map(name).collect()
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
}
