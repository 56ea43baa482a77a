//! Events of rows: which tables a statement changes comes in, which of its events are kept goes out.
//!
//! A statement has an event for each of its tables, and then its rows, the last of which are marked as such.

use std::collections::BTreeMap;

use super::event::{Checksum, HEADER_BYTES, with_body};

/// Rows of a statement that changes what is wanted and what is not. Its last event of rows that are wanted has to be held until that is known.
const HELD_BYTES: usize = 16 << 20;

/// The mark of the last rows of a statement.
const LAST: u16 = 1;

/// What stands at the begin of every event of rows.
pub(super) const HEAD_BYTES: usize = 8;

/// The number, the database and the name of a table's event.
pub(super) fn table(event: &[u8]) -> Option<(u64, &str, String)> {
    let body = event.get(HEADER_BYTES..)?;
    let (database, rest) = name(body.get(HEAD_BYTES..)?)?;
    let (table, _) = name(rest)?;
    let table = String::from_utf8_lossy(table).into_owned();
    Some((number(body)?, str::from_utf8(database).ok()?, table))
}

/// A name, with its length before it and a zero after it, and what follows.
fn name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((name, rest.get(1..)?))
}

/// The same table in another database.
pub(super) fn in_database(event: &[u8], checksum: Checksum, name: &str) -> Option<Vec<u8>> {
    let body = event.get(HEADER_BYTES..event.len().checked_sub(checksum.bytes())?)?;
    let (head, rest) = body.split_at_checked(HEAD_BYTES)?;
    let (length, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(*length)..)?;
    let length = [u8::try_from(name.len()).ok()?];
    with_body(event, &[head, &length, name.as_bytes(), rest], checksum)
}

/// The same rows as the last ones of their statement.
pub(super) fn marked_as_last(event: &[u8], checksum: Checksum) -> Option<Vec<u8>> {
    let body = event.get(HEADER_BYTES..event.len().checked_sub(checksum.bytes())?)?;
    let mut body = body.to_vec();
    let flags = body.get_mut(HEAD_BYTES - 2)?;
    *flags |= LAST as u8;
    with_body(event, &[&body], checksum)
}

fn number(head: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.get_mut(..6)?.copy_from_slice(head.get(..6)?);
    Some(u64::from_le_bytes(bytes))
}

/// The tables of the statement in hand.
#[derive(Default)]
pub(super) struct Tables {
    /// By number, and whether their rows are wanted.
    all: BTreeMap<u64, bool>,
}

/// What is done with an event of rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) is_wanted: bool,
    /// Its statement changes what is not wanted, so that a later event may have to be the last one no more.
    pub(super) is_held: bool,
    pub(super) is_last: bool,
}

impl Tables {
    pub(super) fn add(&mut self, number: u64, is_wanted: bool) {
        self.all.insert(number, is_wanted);
    }

    /// `head` is what its body begins with, `length` how long all of it is. The error says why it cannot be replayed.
    pub(super) fn rows(&mut self, head: [u8; HEAD_BYTES], length: usize) -> Result<Step, String> {
        let [.., low, high] = head;
        let is_last = u16::from_le_bytes([low, high]) & LAST != 0;
        let is_any = self.all.values().any(|wanted| *wanted);
        let is_mixed = is_any && self.all.values().any(|wanted| !*wanted);
        let table = number(&head).and_then(|number| self.all.get(&number));
        // Rows of no table that was named do but end the statement.
        let is_wanted = table.copied().unwrap_or(is_any);
        if is_last {
            self.all.clear();
        }
        let is_held = is_mixed && is_wanted;
        if is_held && length > HELD_BYTES {
            return Err(format!(
                "a statement that changes other databases too, with rows of {length} bytes"
            ));
        }
        Ok(Step {
            is_wanted,
            is_held: is_mixed,
            is_last,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::event::tests::event;
    use super::*;

    const SUMS: Checksum = Checksum::Crc32;

    pub(crate) fn table_event(number: u8, database: &str, time: u32) -> Vec<u8> {
        let mut body = vec![number, 0, 0, 0, 0, 0, 1, 0];
        body.push(u8::try_from(database.len()).expect("short"));
        body.extend(database.as_bytes());
        body.extend(b"\0\x01t\0\x01\x03\0\x01");
        event(19, time, 1, &body, true)
    }

    pub(crate) fn rows_event(number: u8, is_last: bool, time: u32, content: &[u8]) -> Vec<u8> {
        let mut body = vec![number, 0, 0, 0, 0, 0, u8::from(is_last), 0];
        body.extend(content);
        event(23, time, 1, &body, true)
    }

    #[test]
    fn a_table_is_in_another_database_with_all_else_as_it_was() {
        let event = table_event(7, "shop", 1);
        assert_eq!(table(&event), Some((7, "shop", "t".into())));
        let moved = in_database(&event, SUMS, "shop_2");
        assert_eq!(moved, Some(table_event(7, "shop_2", 1)));
        for length in 0..HEADER_BYTES + 13 {
            assert_eq!(table(&event[..length]), None, "{length}");
        }
        assert_eq!(in_database(&event[..HEADER_BYTES + 9], SUMS, "a"), None);
    }

    #[test]
    fn rows_are_marked_as_the_last_ones() {
        let event = rows_event(7, false, 1, b"abc");
        let marked = marked_as_last(&event, SUMS);
        assert_eq!(marked, Some(rows_event(7, true, 1, b"abc")));
        assert_eq!(marked_as_last(&event[..HEADER_BYTES + 3], SUMS), None);
    }

    #[test]
    fn only_a_statement_on_both_kinds_of_tables_is_held() {
        let head = |number, last| [number, 0, 0, 0, 0, 0, u8::from(last), 0];
        let step = |is_wanted, is_held, is_last| {
            Ok(Step {
                is_wanted,
                is_held,
                is_last,
            })
        };
        let mut tables = Tables::default();
        tables.add(1, true);
        assert_eq!(
            tables.rows(head(1, false), usize::MAX),
            step(true, false, false)
        );
        assert_eq!(tables.rows(head(1, true), 1), step(true, false, true));
        tables.add(2, false);
        assert_eq!(tables.rows(head(2, true), 1), step(false, false, true));
        tables.add(1, true);
        tables.add(2, false);
        assert_eq!(
            tables.rows(head(2, false), usize::MAX),
            step(false, true, false)
        );
        assert!(tables.rows(head(1, false), usize::MAX).is_err());
        assert_eq!(tables.rows(head(1, false), 1), step(true, true, false));
        assert_eq!(tables.rows(head(2, true), 1), step(false, true, true));
    }
}
