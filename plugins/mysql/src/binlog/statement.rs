//! Statements in the log: an event comes in; its text, the database that was the current one and how its quotes are read go out, and the same
//! event with another text.

use super::event::{Checksum, HEADER_BYTES, with_body};
use super::tokens::Tokens;
use crate::config::Kind as Family;
use crate::name::shown;

/// Between the header and the variables of the session.
const FIXED_BYTES: usize = 13;

/// Where the mark stands of an event for which no database is entered, and which it is. The log program of MySQL goes on as if none was left.
const NO_USE: (usize, u8) = (17, 8);

/// How much of a statement a message shows.
const SHOWN_LETTERS: usize = 120;

/// The mode in which a backslash is a letter like others (`NO_BACKSLASH_ESCAPES`).
const NO_ESCAPES: u64 = 1 << 20;

/// Collations of character sets in which the second byte of a letter may look like a quote or a backslash: big5, sjis, gbk, cp932, gb18030.
const TREACHEROUS: [u16; 16] = [
    1, 84, 13, 88, 28, 87, 95, 96, 248, 249, 250, 1025, 1108, 1037, 1112, 1052,
];

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Empty where there was none.
    pub(super) database: String,
    pub(super) sql: String,
    /// Whether the text is what the event holds, byte for byte.
    pub(super) is_exact: bool,
    /// Whether a backslash takes the letter after it for itself.
    pub(super) escapes: bool,
    /// Whether its letters are sure to be what they look like.
    pub(super) is_legible: bool,
}

impl Statement {
    /// Reads an event.
    pub(crate) fn parse(event: &[u8], checksum: Checksum) -> Option<Self> {
        let parts = Parts::of(event, checksum)?;
        let variables = Variables::of(parts.variables);
        Some(Self {
            database: String::from_utf8_lossy(parts.database).into_owned(),
            sql: String::from_utf8_lossy(parts.sql).into_owned(),
            is_exact: str::from_utf8(parts.sql).is_ok(),
            escapes: variables.mode & NO_ESCAPES == 0,
            is_legible: !TREACHEROUS.contains(&variables.collation),
        })
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        let words: Vec<&str> = self.sql.split_whitespace().collect();
        let begin: String = words.join(" ").chars().take(SHOWN_LETTERS).collect();
        shown(&begin)
    }

    /// Whether a client would take a part of the text for a statement of its own.
    pub(super) fn is_cut_by_clients(&self, family: Family) -> bool {
        // What the log program ends statements with.
        self.sql.contains("/*!*/")
            // MySQL's client takes the word for a command of its own wherever it stands.
            || (family == Family::Mysql
                && Tokens::of(&self.sql, self.escapes).any(|(word, _)| word.is_word("delimiter")))
    }
}

/// The same event with another current database, and another text where there is one.
pub(super) fn changed_to(
    event: &[u8],
    checksum: Checksum,
    database: &str,
    sql: Option<&str>,
) -> Option<Vec<u8>> {
    let parts = Parts::of(event, checksum)?;
    let mut fixed = parts.fixed.to_vec();
    *fixed.get_mut(8)? = u8::try_from(database.len()).ok()?;
    let sql = sql.map_or(parts.sql, str::as_bytes);
    let body = [&fixed, parts.variables, database.as_bytes(), &[0], sql];
    let mut header = event.get(..HEADER_BYTES)?.to_vec();
    if database.is_empty() {
        *header.get_mut(NO_USE.0)? &= !NO_USE.1;
    }
    with_body(&header, &body, checksum)
}

/// The variables of the session that say how a text is read. They come among the first ones, in this order.
#[derive(Default)]
struct Variables {
    mode: u64,
    collation: u16,
}

impl Variables {
    fn of(mut rest: &[u8]) -> Self {
        let mut found = Self::default();
        while let Some((code, after)) = rest.split_first() {
            let length = match code {
                // Flags; the mode; the increments of keys; the character sets.
                0 => 4,
                1 => 8,
                3 => 4,
                4 => 6,
                // A catalogue, which has its length before it, and in old servers a zero after it.
                6 => 1 + usize::from(after.first().copied().unwrap_or_default()),
                2 => 2 + usize::from(after.first().copied().unwrap_or_default()),
                _ => break,
            };
            let Some((value, next)) = after.split_at_checked(length) else {
                break;
            };
            if let (1, Ok(mode)) = (code, value.try_into()) {
                found.mode = u64::from_le_bytes(mode);
            }
            if let (4, [low, high, ..]) = (code, value) {
                found.collation = u16::from_le_bytes([*low, *high]);
            }
            rest = next;
        }
        found
    }
}

struct Parts<'a> {
    fixed: &'a [u8],
    variables: &'a [u8],
    database: &'a [u8],
    sql: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(event: &'a [u8], checksum: Checksum) -> Option<Self> {
        let content = event.get(..event.len().checked_sub(checksum.bytes())?)?;
        let (fixed, rest) = content.get(HEADER_BYTES..)?.split_at_checked(FIXED_BYTES)?;
        let database_length = usize::from(*fixed.get(8)?);
        let length = u16::from_le_bytes(fixed.get(11..)?.try_into().ok()?);
        let (variables, rest) = rest.split_at_checked(usize::from(length))?;
        let (database, rest) = rest.split_at_checked(database_length)?;
        let (_, sql) = rest.split_first()?;
        Some(Self {
            fixed,
            variables,
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
        event_with(database, sql.as_bytes(), &[0, 9, 9, 9, 9], time, sums)
    }

    pub(crate) fn event_with(
        database: &str,
        sql: &[u8],
        variables: &[u8],
        time: u32,
        sums: bool,
    ) -> Vec<u8> {
        let mut body = vec![0; FIXED_BYTES];
        body[8] = u8::try_from(database.len()).expect("short");
        body[11] = u8::try_from(variables.len()).expect("short");
        body.extend(variables);
        body.extend(database.as_bytes());
        body.push(0);
        body.extend(sql);
        event(2, time, 1, &body, sums)
    }

    #[test]
    fn a_statement_is_changed_with_all_else_as_it_was() {
        for (sums, checksum) in [(true, Checksum::Crc32), (false, Checksum::None)] {
            let event = statement_event("", "TRUNCATE TABLE shop.words", 7, sums);
            let moved = changed_to(&event, checksum, "shop", None).expect("moved");
            let expected = statement_event("shop", "TRUNCATE TABLE shop.words", 7, sums);
            assert_eq!(moved, expected);
            let other = changed_to(&event, checksum, "b", Some("DROP TABLE b.c"));
            assert_eq!(other, Some(statement_event("b", "DROP TABLE b.c", 7, sums)));
        }
    }

    #[test]
    fn the_session_says_how_a_text_is_read() {
        let read = |variables: &[u8], sql: &[u8]| {
            let event = event_with("shop", sql, variables, 1, true);
            Statement::parse(&event, Checksum::Crc32).expect("a statement")
        };
        let flags = [0, 1, 2, 3, 4];
        let mode = |mode: u64| [&[1][..], &mode.to_le_bytes()].concat();
        let catalogue = [&[6, 3][..], b"std"].concat();
        let letters = |collation: u8| vec![4, collation, 0, 8, 0, 8, 0];
        let plain = read(
            &[&flags[..], &mode(4), &catalogue, &letters(33)].concat(),
            b"x",
        );
        assert!(plain.escapes && plain.is_legible && plain.is_exact);
        let all = [&flags[..], &mode(NO_ESCAPES), &catalogue, &letters(13)].concat();
        let other = read(&all, b"\xff");
        assert!(!other.escapes && !other.is_legible && !other.is_exact);
        assert!(read(&[1, 2], b"x").escapes, "cut off");
    }

    #[test]
    fn an_event_that_is_cut_off_is_no_statement() {
        let event = statement_event("shop", "TRUNCATE TABLE words", 1, false);
        let least = HEADER_BYTES + FIXED_BYTES + 5 + "shop".len() + 1;
        for length in 0..least {
            assert_eq!(
                Statement::parse(&event[..length], Checksum::None),
                None,
                "{length}"
            );
        }
    }
}
