//! Statements in the log: an event comes in, and whether a restore of one database replays it goes out.
//!
//! A log of rows has statements for whatever changes no rows: `CREATE`, `ALTER`, `TRUNCATE`, `DROP`. The server's program chooses them by the database
//! that was the current one. That is not always the one that they change.

use super::event::{Checksum, HEADER_BYTES};
use super::target::changed;

/// Between the header and the variables of the session.
const FIXED_BYTES: usize = 13;

/// How much of a statement a message shows.
const SHOWN_LETTERS: usize = 120;

/// A statement, and the database that was the current one; empty where there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    database: String,
    sql: String,
}

/// What is done with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server's program decides by the current database.
    AsIs,
    /// It is of this database, though that was not the current one.
    Ours,
    /// It changes another database, or accounts, which are restored by themselves.
    Skip,
    /// It changes other databases too, or may.
    Doubtful,
    /// It names the database, which has another name now.
    Impossible,
}

impl Statement {
    /// Reads an event.
    pub(crate) fn parse(event: &[u8], checksum: Checksum) -> Option<Self> {
        let parts = Parts::of(event, checksum)?;
        Some(Self {
            database: String::from_utf8_lossy(parts.database).into_owned(),
            sql: String::from_utf8_lossy(parts.sql).into_owned(),
        })
    }

    /// Whether a restore of `database` replays it.
    pub(crate) fn judge(&self, database: &str, is_renamed: bool) -> Verdict {
        if self.is_about_accounts() {
            return Verdict::Skip;
        }
        let change = changed(&self.sql, &self.database);
        // In which letters a statement was sent is not known, so that of others than ASCII only an equal name says anything.
        let is_sure =
            |name: &String| name.is_ascii() || [database, &*self.database].contains(&&**name);
        let Some(change) = change.filter(|it| it.databases.iter().all(is_sure)) else {
            return self.guess(database, is_renamed);
        };
        if !change.databases.contains(database) {
            // To some servers that is the same name.
            let is_alike = |name: &String| name.eq_ignore_ascii_case(database);
            return match change.databases.iter().any(is_alike) {
                true => Verdict::Doubtful,
                false => Verdict::Skip,
            };
        }
        if change.databases.len() > 1 {
            Verdict::Doubtful
        } else if is_renamed && self.names(database) {
            Verdict::Impossible
        } else if self.database == database {
            Verdict::AsIs
        } else if self.database.is_empty() || !change.takes_from_current {
            Verdict::Ours
        } else {
            Verdict::Doubtful
        }
    }

    /// What can be said of a statement that could not be read.
    fn guess(&self, database: &str, is_renamed: bool) -> Verdict {
        let is_current = self.database == database;
        if is_renamed && (is_current || self.database.is_empty()) && self.names(database) {
            Verdict::Impossible
        } else if is_current || !self.qualifies_by(database) {
            Verdict::AsIs
        } else if self.database.is_empty() {
            Verdict::Ours
        } else {
            Verdict::Doubtful
        }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        let words: Vec<&str> = self.sql.split_whitespace().collect();
        words.join(" ").chars().take(SHOWN_LETTERS).collect()
    }

    fn is_about_accounts(&self) -> bool {
        let words: Vec<String> = self
            .sql
            .split_whitespace()
            .take(4)
            .map(str::to_uppercase)
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match *words.as_slice() {
            ["GRANT" | "REVOKE", ..] | ["SET", "PASSWORD" | "ROLE", ..] => true,
            ["SET", "DEFAULT", "ROLE", ..] => true,
            ["CREATE", "OR", "REPLACE", what] => matches!(what, "USER" | "ROLE"),
            ["CREATE" | "ALTER" | "DROP" | "RENAME", what, ..] => matches!(what, "USER" | "ROLE"),
            _ => false,
        }
    }

    /// Whether the name stands there as a word.
    fn names(&self, database: &str) -> bool {
        self.places(database).next().is_some()
    }

    /// Whether the name stands there before a point, as in `shop.words`.
    fn qualifies_by(&self, database: &str) -> bool {
        self.places(database).any(|after| {
            let after = after.strip_prefix('`').unwrap_or(after);
            after.trim_start().starts_with('.')
        })
    }

    /// What follows the name, wherever it stands as a word.
    fn places<'a>(&'a self, database: &'a str) -> impl Iterator<Item = &'a str> {
        let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
        self.sql.match_indices(database).filter_map(move |(at, _)| {
            let before = self.sql.get(..at)?;
            let after = self.sql.get(at + database.len()..)?;
            let is_word = !before.ends_with(is_letter) && !after.starts_with(is_letter);
            is_word.then_some(after)
        })
    }
}

/// The same event as if `database` had been the current one.
pub(crate) fn moved_to(event: &[u8], checksum: Checksum, database: &str) -> Option<Vec<u8>> {
    let parts = Parts::of(event, checksum)?;
    let length = u8::try_from(database.len()).ok()?;
    let mut moved = parts.before.to_vec();
    *moved.get_mut(HEADER_BYTES + 8)? = length;
    moved.extend(database.as_bytes());
    moved.push(0);
    moved.extend(parts.sql);
    let whole = u32::try_from(moved.len() + checksum.bytes()).ok()?;
    moved.get_mut(9..13)?.copy_from_slice(&whole.to_le_bytes());
    if checksum == Checksum::Crc32 {
        moved.extend(crc32fast::hash(&moved).to_le_bytes());
    }
    Some(moved)
}

struct Parts<'a> {
    /// Header, fixed part and variables.
    before: &'a [u8],
    database: &'a [u8],
    sql: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(event: &'a [u8], checksum: Checksum) -> Option<Self> {
        let content = event.get(..event.len().checked_sub(checksum.bytes())?)?;
        let database_length = usize::from(*content.get(HEADER_BYTES + 8)?);
        let variables = content.get(HEADER_BYTES + 11..HEADER_BYTES + FIXED_BYTES)?;
        let variables = usize::from(u16::from_le_bytes(variables.try_into().ok()?));
        let (before, rest) = content.split_at_checked(HEADER_BYTES + FIXED_BYTES + variables)?;
        let (database, rest) = rest.split_at_checked(database_length)?;
        let (_, sql) = rest.split_first()?;
        Some(Self {
            before,
            database,
            sql,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::event::tests::event;
    use super::*;

    /// An event of a statement, as a server writes it.
    pub(crate) fn statement_event(database: &str, sql: &str, time: u32, sums: bool) -> Vec<u8> {
        let mut body = vec![0; FIXED_BYTES];
        body[8] = u8::try_from(database.len()).expect("short");
        body[11] = 3;
        body.extend([1, 2, 3]);
        body.extend(database.as_bytes());
        body.push(0);
        body.extend(sql.as_bytes());
        event(2, time, 1, &body, sums)
    }

    fn check(current: &str, sql: &str, expected: Verdict, renamed: Verdict) {
        let event = statement_event(current, sql, 1, true);
        let statement = Statement::parse(&event, Checksum::Crc32).expect("a statement");
        assert_eq!(statement.judge("shop", false), expected, "{sql}");
        assert_eq!(statement.judge("shop", true), renamed, "{sql} renamed");
    }

    #[test]
    fn a_statement_belongs_to_the_database_that_it_changes() {
        use Verdict::{AsIs, Doubtful, Impossible, Ours, Skip};
        check("shop", "TRUNCATE TABLE words", AsIs, AsIs);
        check("shop", "TRUNCATE TABLE shop.words", AsIs, Impossible);
        check("shop", "TRUNCATE TABLE blog.words", Skip, Skip);
        check("shop", "CREATE TABLE w LIKE blog.words", AsIs, AsIs);
        check("shop", "DROP DATABASE shop", AsIs, Impossible);
        check("shop", "DROP DATABASE blog", Skip, Skip);
        check("", "TRUNCATE TABLE shop.words", Ours, Impossible);
        check("", "DROP TABLE `shop` . `words`", Ours, Impossible);
        check("", "TRUNCATE TABLE workshop.words", Skip, Skip);
        check("", "TRUNCATE TABLE blog.shop", Skip, Skip);
        check("blog", "TRUNCATE TABLE words", Skip, Skip);
        check("blog", "ALTER TABLE shop.words ADD a INT", Ours, Impossible);
        check("blog", "CREATE TABLE w LIKE shop.words", Skip, Skip);
        check(
            "blog",
            "CREATE TABLE shop.w LIKE words",
            Doubtful,
            Impossible,
        );
        check("", "CREATE VIEW shop.v AS SELECT 1", Ours, Impossible);
        check(
            "blog",
            "CREATE VIEW shop.v AS SELECT * FROM w",
            Doubtful,
            Impossible,
        );
        check("blog", "CREATE VIEW v AS SELECT * FROM shop.w", Skip, Skip);
        check("blog", "RENAME TABLE shop.a TO blog.a", Doubtful, Doubtful);
        check("shop", "DROP TABLE a, blog.a", Doubtful, Doubtful);
        check("shop", "DROP TABLE Shop.a", Doubtful, Doubtful);
        check("", "GRANT ALL ON shop.* TO a", Skip, Skip);
        check("shop", "create or replace user a", Skip, Skip);
        check("shop", "CREATE TABLE user (id INT)", AsIs, AsIs);
    }

    #[test]
    fn a_statement_that_cannot_be_read_is_of_the_current_database_unless_it_names_another() {
        use Verdict::{AsIs, Doubtful, Impossible, Ours};
        check("shop", "BEGIN", AsIs, AsIs);
        check("blog", "BEGIN", AsIs, AsIs);
        check("shop", "ALTER DATABASE CHARACTER SET latin1", AsIs, AsIs);
        check("shop", "FLUSH TABLES shop.a", AsIs, Impossible);
        check("", "FLUSH TABLES shop.a", Ours, Impossible);
        check("blog", "FLUSH TABLES shop.a", Doubtful, Doubtful);
        check("shop", "DROP TABLE Gr\u{fffd}\u{fffd}e.a", AsIs, AsIs);
    }

    #[test]
    fn a_statement_is_moved_into_a_database_with_all_else_as_it_was() {
        for (sums, checksum) in [(true, Checksum::Crc32), (false, Checksum::None)] {
            let event = statement_event("", "TRUNCATE TABLE shop.words", 7, sums);
            let moved = moved_to(&event, checksum, "shop").expect("moved");
            let expected = statement_event("shop", "TRUNCATE TABLE shop.words", 7, sums);
            assert_eq!(moved, expected);
        }
    }

    #[test]
    fn an_event_that_is_cut_off_is_no_statement() {
        let event = statement_event("shop", "TRUNCATE TABLE words", 1, false);
        let least = HEADER_BYTES + FIXED_BYTES + 3 + "shop".len() + 1;
        for length in 0..least {
            assert_eq!(
                Statement::parse(&event[..length], Checksum::None),
                None,
                "{length}"
            );
        }
    }
}
