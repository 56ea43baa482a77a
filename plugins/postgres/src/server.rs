//! What a server says of itself: its version, its databases, what the role may do.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use strongroom_plugin::{Error, ErrorKind, Result, log};

use crate::wire::{Client, Row};

/// The oldest version that is supported.
const OLDEST: u32 = 13;

/// The releases since which the owner of a database cannot have code run by those who dump it (CVE-2024-7348), or slip lines into what a program writes
/// (CVE-2025-8714, CVE-2025-8715). All newer majors have that from their beginning.
const SAFE: &[(u32, u32)] = &[(13, 22), (14, 19), (15, 14), (16, 10), (17, 6)];

/// The database that every server has, whatever its users keep.
pub(crate) const MAINTENANCE: &str = "postgres";

/// How many databases of its users a backup holds. That none is left where there were some is for the engine to judge.
pub(crate) fn holds(number: usize) -> (String, String) {
    ("holds".into(), format!("{number} databases"))
}

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Such as 15.
    pub(crate) major: u32,
    /// Such as `15.14`, without what a distribution adds.
    pub(crate) full: String,
}

/// A database, as the server lists it and as a backup keeps it for a restore under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) encoding: String,
    pub(crate) collate: String,
    pub(crate) ctype: String,
    /// In bytes, where the role may ask.
    #[serde(skip)]
    pub(crate) size: Option<u64>,
}

impl Version {
    /// Asks the server. A version that is too old is an error.
    pub(crate) fn of<S: Read + Write>(client: &mut Client<S>) -> Result<Self> {
        let text = client.value("SHOW server_version")?;
        let version = Self::parse(&text).ok_or_else(|| {
            let problem = format!(
                "the server's version '{}' is not understood",
                text.escape_debug()
            );
            Error::new(ErrorKind::Unsupported, problem)
        })?;
        if version.major < OLDEST {
            let problem = format!("PostgreSQL {} is too old", version.full);
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .hint(format!("{OLDEST} and newer are supported")));
        }
        Ok(version)
    }

    /// The release to update to, where this one lets the owners of databases do what they should not.
    pub(crate) fn update_to(&self) -> Option<String> {
        let minor = self
            .full
            .split_once('.')
            .map(|(_, minor)| minor.parse::<u32>());
        let &(major, safe) = SAFE.iter().find(|(major, _)| *major == self.major)?;
        match minor {
            Some(Ok(minor)) if minor >= safe => None,
            _ => Some(format!("{major}.{safe}")),
        }
    }

    /// Warns where owners of databases are to be feared. `what` is of this version.
    pub(crate) fn warn(&self, what: &str) {
        if let Some(safe) = self.update_to() {
            log::warn(format!(
                "{what} is PostgreSQL {}, by whose faults the owner of a database can run code as the role that dumps it (CVE-2024-7348, CVE-2025-8715): update to {safe} or newer",
                self.full
            ));
        }
    }

    /// From `15.14 (Debian 15.14-0+deb12u1)` or `18beta1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let full = text.split_whitespace().next()?;
        let digits = full.split(|letter: char| !letter.is_ascii_digit()).next()?;
        Some(Self {
            major: digits.parse().ok()?,
            full: full.to_owned(),
        })
    }
}

/// A database of the server, and whether it can be backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) database: Database,
    pub(crate) state: State,
}

/// Whether a database can be dumped by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// Others are made like it.
    Template,
    /// One of those that every cluster has.
    OwnTemplate,
    /// Takes no connections, of nobody.
    Closed,
    /// Takes none of this role.
    Refused,
    /// What an interrupted DROP DATABASE left.
    HalfDropped,
}

impl State {
    /// Why it cannot be dumped, and what to do about it; none where it can.
    pub(crate) fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Template | Self::OwnTemplate => Some(
                "it is a template, and those are not backed up (ALTER DATABASE … IS_TEMPLATE false makes it a database like others)",
            ),
            Self::Closed => Some(
                "it takes no connections (ALTER DATABASE … ALLOW_CONNECTIONS true opens it, exclude leaves it out)",
            ),
            Self::Refused => Some(
                "the role may not connect to it (GRANT CONNECT ON DATABASE … lets it in, exclude leaves it out)",
            ),
            Self::HalfDropped => {
                Some("a DROP DATABASE of it was interrupted (DROP DATABASE again removes it)")
            }
        }
    }
}

impl Database {
    /// All that can be connected to, but for templates, by name.
    pub(crate) fn list<S: Read + Write>(client: &mut Client<S>) -> Result<Vec<Self>> {
        let listed = Listed::all(client)?.into_iter();
        let takes_connections = |it: &Listed| matches!(it.state, State::Open | State::Refused);
        Ok(listed
            .filter(takes_connections)
            .map(|it| it.database)
            .collect())
    }
}

impl Listed {
    /// All of them, by name.
    pub(crate) fn all<S: Read + Write>(client: &mut Client<S>) -> Result<Vec<Self>> {
        let rows = client.query(
            "SELECT CASE WHEN datconnlimit = -2 THEN 'half-dropped' \
             WHEN datname IN ('template0', 'template1') THEN 'own template' WHEN datistemplate THEN 'template' \
             WHEN NOT datallowconn THEN 'closed' WHEN NOT has_database_privilege(oid, 'CONNECT') THEN 'refused' END, \
             datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, \
             CASE WHEN has_database_privilege(oid, 'CONNECT') AND datconnlimit <> -2 THEN pg_database_size(oid) END \
             FROM pg_database ORDER BY datname",
        )?;
        rows.into_iter().map(Self::from_row).collect()
    }

    fn from_row(row: Row) -> Result<Self> {
        let mut columns = row.into_iter();
        let state = match columns.next().flatten().as_deref() {
            None => State::Open,
            Some("template") => State::Template,
            Some("own template") => State::OwnTemplate,
            Some("closed") => State::Closed,
            Some("refused") => State::Refused,
            Some(_) => State::HalfDropped,
        };
        let mut text = || columns.next().flatten();
        let database = (|| {
            Some(Database {
                name: text()?,
                owner: text()?,
                encoding: text()?,
                collate: text()?,
                ctype: text()?,
                size: text().and_then(|size| size.parse().ok()),
            })
        })();
        let listed = database.map(|database| Self { database, state });
        listed.ok_or_else(|| {
            Error::new(
                ErrorKind::Failed,
                "the server's list of databases is not understood",
            )
        })
    }
}

/// Whether a query says `t`.
pub(crate) fn is_true<S: Read + Write>(client: &mut Client<S>, sql: &str) -> Result<bool> {
    Ok(client.value(sql)? == "t")
}

/// `8.1 MiB`.
pub(crate) fn size_text(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_distributions_make_of_it() {
        let check = |text: &str, expected: Option<(u32, &str)>| {
            let version = Version::parse(text);
            let version = version.as_ref().map(|it| (it.major, it.full.as_str()));
            assert_eq!(version, expected, "{text}");
        };
        check("15.14 (Debian 15.14-0+deb12u1)", Some((15, "15.14")));
        check("18beta1", Some((18, "18beta1")));
        check("9.6.24", Some((9, "9.6.24")));
        check("", None);
        check("devel", None);
    }

    #[test]
    fn a_release_with_faults_is_known() {
        let check = |text: &str, expected: Option<&str>| {
            let version = Version::parse(text).expect("a version");
            assert_eq!(version.update_to().as_deref(), expected, "{text}");
        };
        check("15.14 (Debian 15.14-0+deb12u1)", None);
        check("15.9", Some("15.14"));
        check("17beta1", Some("17.6"));
        check("18.0", None);
        check("19devel", None);
    }

    #[test]
    fn a_size_is_short() {
        assert_eq!(size_text(1023), "1023 B");
        assert_eq!(size_text(8_500_000), "8.1 MiB");
        assert_eq!(size_text(3 << 40), "3.0 TiB");
    }
}
