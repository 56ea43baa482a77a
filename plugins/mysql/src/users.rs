//! Accounts and what they may do: the server's accounts come in, `users.sql` goes out, and the other way round.
//!
//! The file is SQL that any client runs. Every account has a part of its own, headed by a comment, so that a restore can leave out those that exist:
//! first all that make accounts, then all that give rights, because rights may be roles.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_plugin::{Error, ErrorKind, Result, log};

use crate::accounts_file::{Part, heading, is_one_statement, label, parts};
use crate::client::Session;
use crate::config::Kind;
use crate::name::{identifier, literal};
use crate::version::Version;

/// Accounts that every server has for itself.
const SYSTEM: [&str; 5] = [
    "mysql.sys",
    "mysql.session",
    "mysql.infoschema",
    "mariadb.sys",
    "PUBLIC",
];

/// An account or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    user: String,
    host: String,
    is_role: bool,
}

/// What the file is to hold.
pub(crate) struct Collected {
    pub(crate) text: String,
    /// Accounts that are not in it, and why.
    pub(crate) left_out: Vec<(String, String)>,
}

/// Reads the accounts. None where the user may not.
pub(crate) fn collect(session: &mut Session, version: Version) -> Result<Option<Collected>> {
    let accounts = match accounts(session, version.kind) {
        Ok(accounts) => accounts,
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(None),
        Err(error) => return Err(error),
    };
    if version.kind == Kind::Mysql {
        // Some hashes are no text.
        session.query("SET print_identified_with_as_hex = 1")?;
    }
    let (mut creates, mut grants) = (String::new(), String::new());
    let mut left_out = Vec::new();
    for account in &accounts {
        let label = account.label();
        let told = create(session, account)
            .and_then(|sql| Ok((sql, rights(session, account, version.kind)?)));
        let (sql, rights) = match told {
            // With skip-name-resolve the server passes over accounts that have the name of a host.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                log::warn(format!("account {label} is left out: {error}"));
                continue;
            }
            told => told.map_err(|error| error.on(format!("account {label}")))?,
        };
        if ![&sql]
            .into_iter()
            .chain(&rights)
            .all(|sql| is_one_statement(sql))
        {
            let why = "what the server says of it is more than one statement, and would have whoever loads it run the rest";
            left_out.push((format!("account {label}"), why.to_owned()));
            continue;
        }
        creates += &format!("{}{sql};\n", heading(&label, true));
        grants += &heading(&label, false);
        for grant in rights {
            grants += &format!("{grant};\n");
        }
    }
    Ok(Some(Collected {
        text: creates + &grants,
        left_out,
    }))
}

/// What came of restoring accounts.
pub(crate) struct Restored {
    /// How many were made.
    pub(crate) made: usize,
    /// Rights that could not be given yet, each with its account: what they are on may come with the databases.
    rest: Vec<(String, String)>,
}

/// Makes the accounts of a file that the server does not have yet, with their rights. Of those that it has, it is warned which rights they lack.
pub(crate) fn restore(session: &mut Session, kind: Kind, file: &str) -> Result<Restored> {
    let there = accounts(session, kind)?;
    let there: BTreeMap<String, String> = there
        .iter()
        .map(|account| (account.label(), account.name()))
        .collect();
    let mut restored = Restored {
        made: 0,
        rest: Vec::new(),
    };
    for part in parts(file)? {
        if let Some(name) = there.get(part.account) {
            if !part.makes_account {
                warn_of_lacking(session, name, &part)?;
            }
            continue;
        }
        restored.made += usize::from(part.makes_account);
        for statement in &part.statements {
            if let Err(error) = session.query(statement) {
                // Without its account nothing that follows would make sense; without one right of many the rest does.
                if part.makes_account || error.kind() == ErrorKind::Unavailable {
                    return Err(error.on(format!("account {}", part.account)));
                }
                let right = (part.account.to_owned(), (*statement).to_owned());
                restored.rest.push(right);
            }
        }
    }
    Ok(restored)
}

impl Restored {
    /// Gives the rights that could not be given before there were databases. Returns those that still cannot be, by account, and why.
    pub(crate) fn give_rest(self, session: &mut Session) -> Result<Vec<(String, Error)>> {
        let mut failed = Vec::new();
        for (account, statement) in self.rest {
            match session.query(&statement) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => failed.push((account, error)),
            }
        }
        Ok(failed)
    }
}

/// An account that is there may be what a restore that failed has left, without the rights on what was not restored then.
fn warn_of_lacking(session: &mut Session, name: &str, part: &Part<'_>) -> Result<()> {
    // What comes after may be a password.
    let right = |grant: &str| {
        let (right, _) = grant.split_once(" TO ")?;
        Some(right.to_owned()).filter(|_| !grant.starts_with("GRANT USAGE ON *.*"))
    };
    let rows = match session.query(&format!("SHOW GRANTS FOR {name}")) {
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        rows => rows.unwrap_or_default(),
    };
    let given: BTreeSet<String> = rows.iter().filter_map(|row| right(row.at(0)?)).collect();
    let lacking = part.statements.iter().filter_map(|grant| right(grant));
    let lacking: Vec<String> = lacking.filter(|right| !given.contains(right)).collect();
    if !lacking.is_empty() {
        log::warn(format!(
            "account {} exists and is left as it is, without rights that the backup has: {}",
            part.account,
            lacking.join("; ")
        ));
    }
    Ok(())
}

fn accounts(session: &mut Session, kind: Kind) -> Result<Vec<Account>> {
    let is_role = match kind {
        Kind::Mysql => "'N'",
        Kind::Mariadb => "is_role",
    };
    let rows = session.query(&format!(
        "SELECT User AS user, Host AS host, {is_role} AS is_role FROM mysql.user ORDER BY 3 DESC, 1, 2"
    ))?;
    let mut accounts = Vec::new();
    for row in &rows {
        let account = Account {
            user: row.expect("user")?.into(),
            host: row.expect("host")?.into(),
            is_role: row.get("is_role") == Some("Y"),
        };
        if !SYSTEM.contains(&account.user.as_str()) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}

impl Account {
    /// As SQL has it: in backticks, where a backslash is itself under every `sql_mode`. A role of MariaDB has no host.
    fn name(&self) -> String {
        match self.is_role {
            true => identifier(&self.user),
            false => format!("{}@{}", identifier(&self.user), identifier(&self.host)),
        }
    }

    /// As a heading and a message have it.
    fn label(&self) -> String {
        match self.is_role {
            true => label(&self.user),
            false => format!("{}@{}", label(&self.user), label(&self.host)),
        }
    }
}

fn create(session: &mut Session, account: &Account) -> Result<String> {
    let name = account.name();
    if account.is_role {
        return Ok(format!("CREATE ROLE IF NOT EXISTS {name}"));
    }
    let row = session.query_row(&format!("SHOW CREATE USER {name}"))?;
    let sql = row.as_ref().and_then(|row| row.at(0)).unwrap_or_default();
    let rest = sql.strip_prefix("CREATE USER ").ok_or_else(|| {
        let problem = "the server does not say how the account was made";
        Error::new(ErrorKind::Failed, problem)
    })?;
    Ok(format!(
        "CREATE USER IF NOT EXISTS {}",
        without_default_role(rest)
    ))
}

/// Default roles can be set only once they were granted.
fn without_default_role(sql: &str) -> String {
    match (sql.find(" DEFAULT ROLE "), sql.find(" REQUIRE ")) {
        (Some(from), Some(to)) if from < to => {
            let (before, after) = (sql.get(..from), sql.get(to..));
            before.unwrap_or_default().to_owned() + after.unwrap_or_default()
        }
        _ => sql.to_owned(),
    }
}

fn rights(session: &mut Session, account: &Account, kind: Kind) -> Result<Vec<String>> {
    let name = account.name();
    let rows = session.query(&format!("SHOW GRANTS FOR {name}"))?;
    let mut rights: Vec<String> = rows
        .iter()
        .filter_map(|row| row.at(0).map(str::to_owned))
        .collect();
    if kind == Kind::Mysql {
        let rows = session.query(&format!(
            "SELECT DEFAULT_ROLE_USER AS user, DEFAULT_ROLE_HOST AS host FROM mysql.default_roles \
             WHERE USER = {} AND HOST = {}",
            literal(&account.user),
            literal(&account.host)
        ))?;
        for row in &rows {
            let (user, host) = (row.expect("user")?, row.expect("host")?);
            let (user, host) = (identifier(user), identifier(host));
            rights.push(format!("ALTER USER {name} DEFAULT ROLE {user}@{host}"));
        }
    }
    Ok(rights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_role_is_not_set_before_it_is_granted() {
        let sql = "`a`@`%` IDENTIFIED WITH 'x' AS 0x41 DEFAULT ROLE `r`@`%` REQUIRE NONE";
        assert_eq!(
            without_default_role(sql),
            "`a`@`%` IDENTIFIED WITH 'x' AS 0x41 REQUIRE NONE"
        );
        let plain = "`a`@`%` IDENTIFIED WITH 'x' AS 0x41 REQUIRE NONE";
        assert_eq!(without_default_role(plain), plain);
    }
}
