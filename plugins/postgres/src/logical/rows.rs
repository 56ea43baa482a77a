//! How many rows each table has at the moment that a dump is of: noted with the backup, so that a verification can tell whether all came back.
//!
//! The dump and the count share a snapshot. The count begins when the dump's first bytes have come: the dump holds its locks by then, and cannot come to
//! wait for somebody who waits for ours.
//!
//! A table's owner may put a view in its place between any two of our statements, and what a view calls runs as whoever reads it. So a count says
//! itself that it is of a table, in the one statement that looks the name up.

use postgres_protocol::escape::escape_identifier;
use serde::{Deserialize, Serialize};
use strongroom_plugin::{Error, ErrorKind, Feed, Result, log};

use super::read_list;
use crate::config::Config;
use crate::link::{self, Client};

/// The file that holds them.
pub(crate) const ROWS: &str = "rows.json";

/// Has the server refuse to read views and foreign tables, where it knows how to (since the releases of August 2024).
const TABLES_ONLY: &str = "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings \
    WHERE name = 'restrict_nonsystem_relation_kind'";

/// Every table takes a lock, of which a server has so many.
const MAX_TABLES: usize = 5000;

/// The tables whose rows a dump holds, and whether with all below them. Partitions are counted for themselves and not again as what they are
/// parts of; but those by hash together, because a restore may give a row to another of them (an enum's hash is of its numbers in the
/// catalog). Nothing that comes from elsewhere (foreign tables), that a crash may empty (unlogged ones), that an extension makes, or that the
/// role may not read.
const TABLES: &str = "WITH hashed AS (SELECT partrelid AS relid FROM pg_partitioned_table WHERE partstrat = 'h') \
    SELECT n.nspname, c.relname, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE (c.relkind = 'r' OR c.oid IN (SELECT relid FROM hashed)) AND c.relpersistence = 'p' \
    AND NOT EXISTS (SELECT FROM pg_partition_ancestors(c.oid) a JOIN hashed USING (relid) WHERE a.relid <> c.oid) \
    AND NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class k ON k.oid = t.relid \
        WHERE k.relkind = 'f' OR k.relpersistence <> 'p') \
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
    ORDER BY 1, 2";

/// A table and how many rows it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// Whether these are the rows of all its partitions, too.
    #[serde(default)]
    pub(crate) whole: bool,
}

/// The tables of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) database: String,
    pub(crate) tables: Vec<Table>,
}

/// How it is made sure that a table is counted and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The server refuses anything else.
    Server,
    /// By asking for a sample of all: there are none of views. It is read by one process, so the other way is the faster one.
    Sample,
}

impl Guard {
    /// The best that the server has, for a connection that is ours.
    pub(crate) fn set(client: &mut Client) -> Result<Self> {
        Ok(match client.query(TABLES_ONLY)?.is_empty() {
            true => Self::Sample,
            false => Self::Server,
        })
    }
}

/// A snapshot that a dump is to be of, and what is counted in it.
pub(super) struct Count {
    client: Client,
    guard: Guard,
    snapshot: String,
    /// The tables, once the server was asked to count; or why it was not.
    asked: Result<Vec<Table>>,
}

impl Table {
    /// For people: `shop.orders`.
    pub(crate) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// How many rows there are, as a statement.
    pub(crate) fn count(&self, guard: Guard) -> String {
        let sample = match guard {
            Guard::Server => "",
            Guard::Sample => " TABLESAMPLE pg_catalog.system (100)",
        };
        format!("SELECT pg_catalog.count(*) FROM {}{sample}", self.quoted())
    }

    /// As SQL has it. Heirs are counted for themselves.
    fn quoted(&self) -> String {
        let only = if self.whole { "" } else { "ONLY " };
        let schema = escape_identifier(&self.schema);
        format!("{only}{schema}.{}", escape_identifier(&self.name))
    }
}

impl Count {
    /// Takes a snapshot of a database. None where it cannot be had: the dump takes one of its own then, and nothing is counted.
    ///
    /// To be called right before the dump: what is done to a table before the dump locks it may fail the dump.
    pub(super) fn begin(config: &Config, database: &str) -> Option<Self> {
        let begun = Self::try_begin(config, database);
        begun.map_err(|error| not_counted(database, &error)).ok()
    }

    fn try_begin(config: &Config, database: &str) -> Result<Self> {
        let mut client = link::connect(config, database)?;
        let guard = Guard::set(&mut client)?;
        client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let snapshot = client.value("SELECT pg_export_snapshot()")?;
        Ok(Self {
            client,
            guard,
            snapshot,
            asked: Ok(Vec::new()),
        })
    }

    /// For the dump.
    pub(super) fn snapshot(&self) -> &str {
        &self.snapshot
    }

    /// Has the server count, while the dump goes on. To be called when the dump holds its locks.
    pub(super) fn ask(&mut self) {
        self.asked = self.try_ask();
    }

    fn try_ask(&mut self) -> Result<Vec<Table>> {
        let rows = self.client.query(TABLES)?;
        let tables = rows.into_iter().filter_map(|row| {
            let mut columns = row.into_iter().flatten();
            Some(Table {
                schema: columns.next()?,
                name: columns.next()?,
                rows: 0,
                whole: columns.next()? == "t",
            })
        });
        let tables: Vec<_> = tables.collect();
        if tables.len() > MAX_TABLES {
            let problem = format!("there are {} tables", tables.len());
            return Err(Error::new(ErrorKind::Unsupported, problem));
        }
        if !tables.is_empty() {
            let names: Vec<_> = tables.iter().map(Table::quoted).collect();
            let names = names.join(", ");
            // Not waiting for anybody, who may be waiting for the dump: what they do to a table would not show in our snapshot.
            let lock = format!("LOCK TABLE {names} IN ACCESS SHARE MODE NOWAIT");
            let counts = tables.iter().map(|table| table.count(self.guard));
            let all: Vec<_> = std::iter::once(lock).chain(counts).collect();
            self.client.ask(&all.join("; "))?;
        }
        Ok(tables)
    }

    /// Waits for the numbers.
    pub(super) fn finish(mut self, database: &str) -> Option<Counted> {
        match self.try_finish() {
            Ok(tables) => {
                self.client.close();
                Some(Counted {
                    database: database.to_owned(),
                    tables,
                })
            }
            Err(error) => {
                not_counted(database, &error);
                None
            }
        }
    }

    fn try_finish(&mut self) -> Result<Vec<Table>> {
        let mut tables = std::mem::replace(&mut self.asked, Ok(Vec::new()))?;
        if tables.is_empty() {
            return Ok(tables);
        }
        let rows = self.client.rows()?;
        let numbers = rows.into_iter().flatten().flatten();
        let numbers: Vec<u64> = numbers.filter_map(|it| it.parse().ok()).collect();
        if numbers.len() != tables.len() {
            return Err(Error::new(ErrorKind::Failed, "numbers are missing"));
        }
        for (table, rows) in tables.iter_mut().zip(numbers) {
            table.rows = rows;
        }
        Ok(tables)
    }
}

fn not_counted(database: &str, error: &Error) {
    log::warn(format!("rows of {database} are not counted: {error}"));
}

/// What a backup noted; none where it did not.
pub(crate) fn read(feed: &Feed) -> Result<Option<Vec<Counted>>> {
    match read_list(ROWS, feed) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        counted => counted.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_of_a_table_and_of_nothing_that_took_its_name() {
        let check = |whole, guard, expected: &str| {
            let table = Table {
                schema: "s".into(),
                name: "a\"b".into(),
                rows: 0,
                whole,
            };
            assert_eq!(table.count(guard), expected);
        };
        let plain = "SELECT pg_catalog.count(*) FROM ONLY \"s\".\"a\"\"b\"";
        check(false, Guard::Server, plain);
        let sample = format!("{plain} TABLESAMPLE pg_catalog.system (100)");
        check(false, Guard::Sample, &sample);
        let whole = "SELECT pg_catalog.count(*) FROM \"s\".\"a\"\"b\"";
        check(true, Guard::Server, whole);
    }
}
