//! What a dump says of the database itself: the script that pg_restore would begin with in, statements for any name out.
//!
//! pg_restore makes a database under its old name only, in its old tablespace, and then lives with the settings that it gave to it.

use strongroom_plugin::{Error, ErrorKind, Reader, Result};

use super::conversation::converse;
use super::statements::{quoted_name, split, unquoted_word, words};
use crate::link::Client;
use crate::programs::Programs;
use postgres_protocol::escape::{escape_identifier, escape_literal};

/// Comments, settings and rights of one database. More is no database's.
const MAX_BYTES: usize = 16 << 20;

/// No schema is called so: with a schema that is not there, nothing is left but what belongs to the database as a whole.
const NO_SCHEMA: &str = "pg_no schema of strongroom";

/// Settings, beside those of extensions, that a database's own rows, checks and indexes may rely on. All others wait until it is filled: they would hold
/// for whoever fills it, and end its session, forbid it to write, or load a library that is not there.
const NEEDED_EARLY: &[&str] = &[
    "bytea_output",
    "datestyle",
    "default_text_search_config",
    "extra_float_digits",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "maintenance_work_mem",
    "timezone",
    "work_mem",
    "xmlbinary",
];

/// A statement that names a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    before: String,
    /// None where it names none.
    after: Option<String>,
}

impl Statement {
    /// For the database of this name.
    pub(super) fn on(&self, database: &str) -> String {
        match &self.after {
            Some(after) => format!("{}{}{after}", self.before, escape_identifier(database)),
            None => self.before.clone(),
        }
    }

    /// What it does, for people.
    pub(super) fn gist(&self) -> String {
        let text = match &self.after {
            Some(after) => format!("{}…{after}", self.before),
            None => self.before.clone(),
        };
        let words: Vec<_> = text.split_whitespace().take(12).collect();
        words.join(" ")
    }
}

/// What makes a database what it is, beside what it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Properties {
    create: Statement,
    /// The tablespace that is its default, where it has one of its own.
    pub(super) tablespace: Option<String>,
    pub(super) owner: Vec<Statement>,
    /// What its rows may rely on.
    pub(super) early: Vec<Statement>,
    /// Other settings, limits and rights.
    pub(super) late: Vec<Statement>,
    pub(super) comment: Option<Statement>,
}

impl Properties {
    /// Asks pg_restore what the dump of `database` says.
    pub(super) fn read(
        programs: &Programs,
        client: &mut Client,
        dump: &mut Reader,
        database: &str,
    ) -> Result<Self> {
        let program = "pg_restore";
        let command = programs.command(program, database);
        let command = command
            .args(["--create", "--schema-only", "--file=-"])
            .arg(format!("--schema={NO_SCHEMA}"));
        let mut script = Vec::new();
        converse(program, command, dump, |bytes| {
            script.extend_from_slice(bytes);
            match script.len() > MAX_BYTES {
                true => Err(Error::new(
                    ErrorKind::Unsupported,
                    "what the dump says of the database itself has no end",
                )),
                false => Ok(()),
            }
        })?;
        Self::parse(&text(client, script), database)
    }

    fn parse(script: &str, database: &str) -> Result<Self> {
        let mut create = None;
        let (mut owner, mut early, mut late) = (Vec::new(), Vec::new(), Vec::new());
        let mut comment = None;
        for text in split(script) {
            let statement = statement(&text, database);
            let words = words(&text, 8);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            match (words.as_slice(), statement) {
                (["CREATE", "DATABASE", ..], Some(made)) => create = Some(made),
                (["ALTER", "DATABASE", _, "OWNER", ..], Some(made)) => owner.push(made),
                (["COMMENT", "ON", "DATABASE", ..], Some(made)) => comment = Some(made),
                (
                    ["ALTER", "DATABASE", _, "SET", name, ..]
                    | ["ALTER", "ROLE", _, "IN", "DATABASE", _, "SET", name],
                    Some(made),
                ) => match is_needed_early(name) {
                    true => early.push(made),
                    false => late.push(made),
                },
                (["ALTER" | "GRANT" | "REVOKE" | "SECURITY", ..], Some(made)) => late.push(made),
                // Whoever gave a right.
                (["SET" | "RESET", "SESSION", "AUTHORIZATION", ..], _) => late.push(Statement {
                    before: text,
                    after: None,
                }),
                _ => {}
            }
        }
        let create = create.ok_or_else(|| {
            let problem = format!(
                "the dump does not say how to make database {}",
                database.escape_debug()
            );
            Error::new(ErrorKind::Corrupted, problem)
        })?;
        let tablespace = create.after.as_deref().and_then(tablespace);
        Ok(Self {
            create,
            tablespace,
            owner,
            early,
            late,
            comment,
        })
    }

    /// The statement by which a session looks up names as the database's own do.
    pub(super) fn search_path(&self) -> &str {
        let own = self.late.iter().find_map(|it| {
            let is_for_all = it.before.starts_with("ALTER DATABASE ");
            let after = it.after.as_deref().filter(|_| is_for_all)?.trim_start();
            after.starts_with("SET search_path ").then_some(after)
        });
        own.unwrap_or("SET search_path TO \"$user\", public")
    }

    /// The statement that makes it, in the default tablespace where its own is not to be used.
    pub(super) fn create(&self, name: &str, server: u32, uses_tablespace: bool) -> String {
        let mut made = self.create.clone();
        if let Some(after) = &mut made.after {
            if !uses_tablespace && let Some(at) = unquoted_word(after, "TABLESPACE") {
                // It is the last thing that pg_dump says.
                after.truncate(at);
            }
            if server < 15 {
                // A newer pg_dump says so of what older servers call nothing at all.
                *after = after.replacen(" LOCALE_PROVIDER = libc", "", 1);
            }
        }
        made.on(name)
    }
}

/// Extensions and applications have a dot in the names of theirs.
fn is_needed_early(setting: &str) -> bool {
    let setting = setting.to_ascii_lowercase();
    setting.contains('.') || NEEDED_EARLY.contains(&&*setting)
}

/// The name after `TABLESPACE =`.
fn tablespace(options: &str) -> Option<String> {
    let rest = options.get(unquoted_word(options, "TABLESPACE")?..)?;
    let words = words(rest, 3);
    words.into_iter().nth(2)
}

/// Splits a statement at the name of the database, if it names this one.
fn statement(text: &str, database: &str) -> Option<Statement> {
    const DATABASE: &str = "DATABASE";
    let at = unquoted_word(text, DATABASE)? + DATABASE.len();
    let (before, rest) = text.split_at_checked(at)?;
    let rest = rest.strip_prefix(' ')?;
    let (name, after) = match rest.strip_prefix('"') {
        Some(quoted) => quoted_name(quoted),
        None => {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (name, after) = rest.split_at_checked(end)?;
            (name.to_owned(), after)
        }
    };
    (name == database).then(|| Statement {
        before: format!("{before} "),
        after: Some(after.to_owned()),
    })
}

/// A script is written in the encoding of the database that was dumped; the server knows that of all of them.
fn text(client: &mut Client, script: Vec<u8>) -> String {
    let script = match String::from_utf8(script) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let lossy = String::from_utf8_lossy(&script).into_owned();
    let encoding = split(&lossy).into_iter().find_map(|statement| {
        let name = statement.strip_prefix("SET client_encoding = '")?;
        name.strip_suffix('\'').map(str::to_owned)
    });
    let Some(encoding) = encoding else {
        return lossy;
    };
    let digits: String = script.iter().map(|byte| format!("{byte:02x}")).collect();
    let converted = client.value(&format!(
        "SELECT pg_catalog.convert_from(pg_catalog.decode('{digits}', 'hex'), {})",
        escape_literal(&encoding)
    ));
    converted.unwrap_or(lossy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
CREATE DATABASE "my shop" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.utf8' TABLESPACE = "a b";
ALTER DATABASE "my shop" OWNER TO clerk;
\unrestrict x
\encoding SQL_ASCII
\connect -reuse-previous=on "dbname='my shop'"
\restrict x
COMMENT ON DATABASE "my shop" IS 'DATABASE "x"; it''s';
ALTER DATABASE "my shop" CONNECTION LIMIT = 7;
ALTER DATABASE "my shop" SET search_path TO 'a', 'b c';
ALTER DATABASE "my shop" SET "TimeZone" TO 'UTC';
ALTER ROLE "in DATABASE" IN DATABASE "my shop" SET default_transaction_read_only TO 'on';
ALTER ROLE clerk IN DATABASE "my shop" SET "app.Tenant" TO '7';
REVOKE CONNECT,TEMPORARY ON DATABASE "my shop" FROM PUBLIC;
SET SESSION AUTHORIZATION clerk;
GRANT CONNECT ON DATABASE "my shop" TO other;
RESET SESSION AUTHORIZATION;
DROP DATABASE other;
"#;

    #[test]
    fn a_database_can_be_made_under_any_name() {
        let made = Properties::parse(SCRIPT, "my shop").expect("it is whole");
        let on = |all: &[Statement]| all.iter().map(|it| it.on("x\"y")).collect::<Vec<_>>();
        assert_eq!(
            made.create("x\"y", 15, true),
            r#"CREATE DATABASE "x""y" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.utf8' TABLESPACE = "a b""#
        );
        assert_eq!(
            made.create("x", 13, false),
            r#"CREATE DATABASE "x" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C.utf8' "#
        );
        assert_eq!(made.tablespace.as_deref(), Some("a b"));
        assert_eq!(on(&made.owner), [r#"ALTER DATABASE "x""y" OWNER TO clerk"#]);
        assert_eq!(
            on(&made.early),
            [
                r#"ALTER DATABASE "x""y" SET "TimeZone" TO 'UTC'"#,
                r#"ALTER ROLE clerk IN DATABASE "x""y" SET "app.Tenant" TO '7'"#,
            ]
        );
        assert_eq!(made.search_path(), "SET search_path TO 'a', 'b c'");
        assert_eq!(
            on(&made.late),
            [
                r#"ALTER DATABASE "x""y" CONNECTION LIMIT = 7"#,
                r#"ALTER DATABASE "x""y" SET search_path TO 'a', 'b c'"#,
                r#"ALTER ROLE "in DATABASE" IN DATABASE "x""y" SET default_transaction_read_only TO 'on'"#,
                r#"REVOKE CONNECT,TEMPORARY ON DATABASE "x""y" FROM PUBLIC"#,
                "SET SESSION AUTHORIZATION clerk",
                r#"GRANT CONNECT ON DATABASE "x""y" TO other"#,
                "RESET SESSION AUTHORIZATION",
            ]
        );
        assert_eq!(
            on(made.comment.as_slice()),
            [r#"COMMENT ON DATABASE "x""y" IS 'DATABASE "x"; it''s'"#]
        );
    }

    #[test]
    fn statements_about_another_database_are_not_taken() {
        let other = Properties::parse(SCRIPT, "shop").expect_err("it is another");
        assert_eq!(other.kind(), ErrorKind::Corrupted);
        assert_eq!(statement("DROP DATABASE shop", "shop2"), None);
        assert_eq!(
            statement("COMMENT ON TABLE x IS 'DATABASE shop'", "shop"),
            None
        );
    }
}
