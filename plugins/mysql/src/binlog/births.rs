//! When a database was made: stored files of the log come in, where each of some databases was made goes out.

use std::collections::BTreeMap;
use std::io::Read;

use strongroom_plugin::Result;

use super::event::Kind;
use super::pick::STATEMENT_BYTES;
use super::position::Position;
use super::statement::Statement;
use super::stored::Stored;
use super::target::{Reading, What, read};

/// What a log knows of the begin of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Birth {
    /// It was made there by that time, and all that it holds came after.
    Made(Position),
    /// There was none of that name by then.
    Later,
    /// It was there by then, or may have been.
    Unknown,
}

/// What `files` know of each of these databases up to a time, in seconds since 1970.
pub(crate) fn births<R: Read>(
    files: &[String],
    mut open: impl FnMut(&str) -> Result<R>,
    databases: &[&str],
    until: u64,
) -> Result<BTreeMap<String, Birth>> {
    let mut found = BTreeMap::new();
    // The first that is said of a database after the time, if that is that it is made, says that it was not there.
    let mut made_later = BTreeMap::new();
    for name in files {
        let mut file = Stored::open(name.clone(), &mut open)?;
        while let Some(begun) = file.next_event()? {
            if begun.event.kind == Kind::Format {
                file.format(&begun.header)?;
            }
            if begun.event.kind != Kind::Statement {
                continue;
            }
            let Some(bytes) = file.rest(&begun.header, STATEMENT_BYTES)? else {
                continue;
            };
            let Some(statement) = Statement::parse(&bytes, file.checksum) else {
                continue;
            };
            let reading = read(&statement.sql, &statement.database, statement.escapes);
            let Some(Reading::Change(change)) = reading else {
                continue;
            };
            let Some(&name) = databases.iter().find(|name| change.is_of(name)) else {
                continue;
            };
            let name = name.to_owned();
            let makes = matches!(change.what, What::Creation { or_not: false });
            if u64::from(begun.event.timestamp) > until {
                made_later.entry(name).or_insert(makes);
            } else if makes {
                found.insert(name, Birth::Made(begun.at));
            } else if change.what == What::Removal {
                found.insert(name, Birth::Later);
            } else if let What::Creation { .. } = change.what
                && found.get(&name) == Some(&Birth::Later)
            {
                // It was dropped before, so that it cannot have been there.
                found.insert(name, Birth::Made(begun.at));
            }
        }
    }
    for name in databases.iter().map(|&name| name.to_owned()) {
        let is_later = made_later.get(&name) == Some(&true);
        let birth = if is_later {
            Birth::Later
        } else {
            Birth::Unknown
        };
        found.entry(name).or_insert(birth);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::event::MAGIC;
    use super::super::event::tests::format_event;
    use super::super::statement::tests::statement_event;
    use super::*;

    #[test]
    fn a_log_tells_when_a_database_was_made() {
        let check = |statements: &[(&str, u32)], expected: &str| {
            let mut bytes = [&MAGIC[..], &format_event(1, true)].concat();
            let first = bytes.len() as u64;
            for (sql, time) in statements {
                bytes.extend(statement_event("", sql, *time, true));
            }
            let open = |_: &str| Ok(Cursor::new(bytes.clone()));
            let births = births(&["log.1".into()], open, &["a"], 10).expect("read");
            let shown = match &births["a"] {
                Birth::Made(at) if at.offset == first => "made first",
                Birth::Made(_) => "made",
                Birth::Later => "later",
                Birth::Unknown => "unknown",
            };
            assert_eq!(shown, expected, "{statements:?}");
        };
        check(&[("CREATE DATABASE a", 10)], "made first");
        check(&[("CREATE DATABASE a", 11)], "later");
        check(&[("CREATE DATABASE b", 5)], "unknown");
        check(
            &[("CREATE TABLE a.t (i INT)", 11), ("CREATE DATABASE a", 12)],
            "unknown",
        );
        check(&[("CREATE DATABASE IF NOT EXISTS a", 5)], "unknown");
        check(&[("CREATE DATABASE IF NOT EXISTS a", 12)], "unknown");
        check(
            &[
                ("DROP DATABASE a", 4),
                ("CREATE DATABASE IF NOT EXISTS a", 5),
            ],
            "made",
        );
        check(&[("CREATE DATABASE a", 4), ("DROP DATABASE a", 5)], "later");
        check(
            &[("CREATE DATABASE a", 4), ("CREATE TABLE a.t (i INT)", 5)],
            "made first",
        );
    }
}
