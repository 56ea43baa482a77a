//! Accounts and what they may do: the server's accounts come in, `users.sql` goes out, and the other way round.
//!
//! The file is SQL that any client runs. Every account has a part of its own, headed by a comment, so that a restore can leave out those that exist:
//! first all that make accounts, then all that give rights, because rights may be roles.

use std::collections::BTreeSet;

use strongroom_plugin::{Error, ErrorKind, Result, log};

use crate::client::Session;
use crate::config::Kind;
use crate::name::literal;
use crate::version::Version;

/// Accounts that every server has for itself.
const SYSTEM: [&str; 5] = [
    "mysql.sys",
    "mysql.session",
    "mysql.infoschema",
    "mariadb.sys",
    "PUBLIC",
];

const CREATE: &str = "-- account ";
const GRANT: &str = "-- rights of ";

/// An account or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    user: String,
    host: String,
    is_role: bool,
}

/// What the file is to hold. None where the user may not read the accounts.
pub(crate) fn collect(session: &mut Session, version: Version) -> Result<Option<String>> {
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
    for account in &accounts {
        let name = account.name();
        let told = create(session, account)
            .and_then(|sql| Ok((sql, rights(session, account, version.kind)?)));
        let (sql, rights) = match told {
            // With skip-name-resolve the server passes over accounts that have the name of a host.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                log::warn(format!("account {name} is left out: {error}"));
                continue;
            }
            told => told?,
        };
        creates += &format!("{CREATE}{name}\n{sql};\n");
        grants += &format!("{GRANT}{name}\n");
        for grant in rights {
            grants += &format!("{grant};\n");
        }
    }
    Ok(Some(format!("{creates}{grants}")))
}

/// Makes the accounts of a file that the server does not have yet, with their rights. Returns how many. A right that the server does not know, as
/// those of other versions, is warned of.
pub(crate) fn restore(session: &mut Session, kind: Kind, file: &str) -> Result<usize> {
    let there: BTreeSet<String> = accounts(session, kind)?.iter().map(Account::name).collect();
    let parts: Vec<Part<'_>> = parts(file)
        .filter(|part| !there.contains(part.account))
        .collect();
    for part in &parts {
        for statement in statements(part.sql) {
            if let Err(error) = session.query(statement) {
                // Without its account nothing that follows would make sense; without one right of many the rest does.
                if part.makes_account || error.kind() == ErrorKind::Unavailable {
                    return Err(error.on(format!("account {}", part.account)));
                }
                log::warn(format!("rights of {}: {error}", part.account));
            }
        }
    }
    Ok(parts.iter().filter(|part| part.makes_account).count())
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
    /// As SQL has it. A role of MariaDB has no host.
    fn name(&self) -> String {
        match self.is_role {
            true => literal(&self.user),
            false => format!("{}@{}", literal(&self.user), literal(&self.host)),
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
        let problem = format!("the server does not say how account {name} was made");
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
            let (user, host) = (literal(row.expect("user")?), literal(row.expect("host")?));
            rights.push(format!("ALTER USER {name} DEFAULT ROLE {user}@{host}"));
        }
    }
    Ok(rights)
}

/// A part of the file.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    account: &'a str,
    makes_account: bool,
    sql: &'a str,
}

fn parts(file: &str) -> impl Iterator<Item = Part<'_>> {
    let starts: Vec<usize> = file
        .match_indices("-- ")
        .map(|(at, _)| at)
        .filter(|&at| at == 0 || file.as_bytes().get(at - 1) == Some(&b'\n'))
        .filter(|&at| file.get(at..).is_some_and(|rest| heading(rest).is_some()))
        .collect();
    let ends: Vec<usize> = starts.iter().copied().skip(1).chain([file.len()]).collect();
    starts.into_iter().zip(ends).filter_map(|(from, to)| {
        let (first, sql) = file.get(from..to)?.split_once('\n')?;
        let (account, makes_account) = heading(first)?;
        Some(Part {
            account,
            makes_account,
            sql,
        })
    })
}

/// The account that a heading names, and whether it is the one that makes it.
fn heading(line: &str) -> Option<(&str, bool)> {
    let creates = line.strip_prefix(CREATE).map(|account| (account, true));
    creates.or_else(|| line.strip_prefix(GRANT).map(|account| (account, false)))
}

fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n")
        .filter(|statement| !statement.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "-- account 'a'@'%'\nCREATE USER IF NOT EXISTS `a`@`%`;\n\
                        -- account 'b'@'%'\nCREATE USER IF NOT EXISTS `b`@`%` COMMENT 'x -- y';\n\
                        -- rights of 'a'@'%'\nGRANT USAGE ON *.* TO `a`@`%`;\nGRANT SELECT ON `s`.* TO `a`@`%`;\n\
                        -- rights of 'b'@'%'\n";

    #[test]
    fn a_file_is_taken_apart_by_account() {
        let found: Vec<_> = parts(FILE)
            .map(|part| {
                (
                    part.account,
                    part.makes_account,
                    statements(part.sql).count(),
                )
            })
            .collect();
        let expected = [
            ("'a'@'%'", true, 1),
            ("'b'@'%'", true, 1),
            ("'a'@'%'", false, 2),
            ("'b'@'%'", false, 0),
        ];
        assert_eq!(found, expected);
    }

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
