//! The rows of a shop's database: text, numbers, JSON and bytes, as text that both `COPY` and `LOAD DATA` read.
//!
//! In: a table and which of its rows. Out: the same rows in every run. A row depends on its number only, so that rows can be added later.

use std::io::{self, Write};
use std::ops::Range;

use crate::random::{Random, Words, pick};

/// A table. Its rows are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Customers,
    Orders,
    Events,
    Attachments,
}

/// Seconds since 2000 of the first order, and from one to the next.
const FIRST: u64 = 20 * 12 * 28 * 86_400;
const PACE: u64 = 60;

impl Table {
    pub(super) const ALL: [Self; 4] = [
        Self::Customers,
        Self::Orders,
        Self::Events,
        Self::Attachments,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Orders => "orders",
            Self::Events => "events",
            Self::Attachments => "attachments",
        }
    }

    /// How many rows there are at scale 1, which is a database of about 2 GB.
    pub(super) fn rows(self, scale: f64) -> u64 {
        let rows = match self {
            Self::Customers => 300e3,
            Self::Orders => 1_900e3,
            Self::Events => 2_400e3,
            Self::Attachments => 6e3,
        };
        (rows * scale).max(100.0) as u64
    }

    /// Writes rows, columns apart by tabs. Bytes are hexadecimal, after `bytes_prefix`.
    pub(super) fn write(
        self,
        words: &Words,
        ids: Range<u64>,
        bytes_prefix: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        for id in ids {
            let mut row = Row {
                random: Random::new((self as u64) << 56 | id),
                words,
                id,
                out: &mut line,
            };
            match self {
                Self::Customers => row.customer()?,
                Self::Orders => row.order()?,
                Self::Events => row.event()?,
                Self::Attachments => row.attachment(bytes_prefix)?,
            }
            line.push(b'\n');
            out.write_all(&line)?;
            line.clear();
        }
        Ok(())
    }
}

struct Row<'a> {
    random: Random,
    words: &'a Words,
    id: u64,
    out: &'a mut Vec<u8>,
}

impl Row<'_> {
    fn customer(&mut self) -> io::Result<()> {
        let (id, since) = (self.id, moment(FIRST + self.id * PACE));
        let (first, last) = (self.word(), self.word());
        let number = self.random.below(1_000);
        write!(
            self.out,
            "{id}\t{first} {last}\t{first}.{last}{number}@example.net\t"
        )?;
        self.address()?;
        write!(self.out, "\t{since}")
    }

    fn order(&mut self) -> io::Result<()> {
        let (id, placed) = (self.id, moment(FIRST + self.id * PACE));
        let customer = self.random.below(300_000) + 1;
        let state = pick(&["paid", "shipped", "returned", "open"], &mut self.random);
        let cents = self.random.below(100_000);
        write!(
            self.out,
            "{id}\t{customer}\t{placed}\t{state}\t{}.{:02}\t{{\"items\": [",
            cents / 100,
            cents % 100
        )?;
        for item in 0..=self.random.below(3) {
            let comma = if item == 0 { "" } else { ", " };
            let (number, quantity) = (self.random.below(50_000), self.random.below(5) + 1);
            let price = self.random.below(20_000);
            write!(
                self.out,
                "{comma}{{\"sku\": \"A-{number:05}\", \"quantity\": {quantity}, \"price\": {}.{:02}}}",
                price / 100,
                price % 100
            )?;
        }
        write!(self.out, "], \"ship_to\": ")?;
        self.address()?;
        write!(self.out, "}}\t")?;
        self.words.write_text(&mut self.random, self.out, 60)?;
        trim(self.out);
        Ok(())
    }

    fn event(&mut self) -> io::Result<()> {
        let (id, at) = (self.id, moment(FIRST + self.id * PACE * 4 / 5));
        let kind = pick(
            &["page view", "search", "basket", "login"],
            &mut self.random,
        );
        let (customer, session) = (self.random.below(300_000) + 1, self.random.next());
        let (one, two) = (self.word(), self.word());
        let (milliseconds, weight) = (self.random.below(900), self.random.fraction());
        write!(
            self.out,
            "{id}\t{at}\t{kind}\t{customer}\t{{\"path\": \"/{one}/{two}\", \"session\": \"{session:016x}\", \"milliseconds\": {milliseconds}}}\t{weight:.6}"
        )
    }

    /// A small picture, which nothing compresses.
    fn attachment(&mut self, bytes_prefix: &str) -> io::Result<()> {
        let (id, order) = (self.id, self.random.below(1_000_000) + 1);
        let name = self.word();
        write!(self.out, "{id}\t{order}\t{name}.jpg\t{bytes_prefix}")?;
        for _ in 0..self.random.size_between(4e3, 32e3) / 8 {
            let bytes = self.random.next();
            write!(self.out, "{bytes:016x}")?;
        }
        Ok(())
    }

    fn address(&mut self) -> io::Result<()> {
        let (street, city) = (self.word(), self.word());
        let (number, code) = (self.random.below(200) + 1, self.random.below(90_000));
        write!(
            self.out,
            "{{\"street\": \"{street} {number}\", \"city\": \"{city}\", \"code\": \"{code:05}\"}}"
        )
    }
}

impl<'a> Row<'a> {
    fn word(&mut self) -> &'a str {
        self.words.word(&mut self.random)
    }
}

/// Sentences end with a blank or an empty line, which would end the row.
fn trim(line: &mut Vec<u8>) {
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    for byte in line.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
}

/// `2026-03-01 14:05:09` from seconds since 2000, in a calendar whose months have 28 days: every such date is in everybody's.
fn moment(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02}",
        2000 + days / 28 / 12,
        days / 28 % 12 + 1,
        days % 28 + 1,
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_depends_on_its_number_only_and_is_one_line() {
        let words = Words::new();
        let rows = |table: Table, ids| {
            let mut text = Vec::new();
            table.write(&words, ids, "\\\\x", &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        for table in Table::ALL {
            let (all, second) = (rows(table, 1..4), rows(table, 2..3));
            assert_eq!(all.lines().count(), 3, "{table:?}");
            assert_eq!(all.lines().nth(1), second.lines().next());
            let columns = |line: &str| line.split('\t').count();
            let first = columns(&second);
            assert!(all.lines().all(|line| columns(line) == first), "{all}");
        }
    }

    #[test]
    fn moments_follow_each_other_and_stay_on_the_28th() {
        for (seconds, expected) in [
            (FIRST, "2020-01-01 00:00:00"),
            (FIRST + 28 * 86_400 - 1, "2020-01-28 23:59:59"),
            (FIRST + 28 * 86_400, "2020-02-01 00:00:00"),
            (FIRST + 12 * 28 * 86_400 - 1, "2020-12-28 23:59:59"),
            (FIRST + 12 * 28 * 86_400, "2021-01-01 00:00:00"),
        ] {
            assert_eq!(moment(seconds), expected);
        }
    }
}
