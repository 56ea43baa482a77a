//! How many rows each table has at the moment that a dump is of: noted with the backup, so that a verification can tell whether all came back.
//!
//! The dump and the count share a snapshot. The count begins when the dump's first bytes have come: the dump holds its locks by then, and cannot come to
//! wait for somebody who waits for ours.
//!
//! Rows are counted as pg_dump reads them, by COPY of a table. A query would be planned, and a planner runs what the owner of a table has put into
//! its indexes, as whoever asks; a view may have taken the table's place since it was looked up, and what that calls runs so too. COPY refuses views.

use postgres_protocol::escape::escape_identifier;
use serde::{Deserialize, Serialize};
use strongroom_plugin::{Error, ErrorKind, Feed, Result, log, progress};

use super::read_list;
use crate::config::Config;
use crate::link::{self, Client};
use crate::wire::{Event, Row};

/// The file that holds them.
pub(crate) const ROWS: &str = "rows.json";

/// Every table takes a lock, of which a server has so many.
const MAX_TABLES: usize = 5000;

/// The tables whose rows a dump holds, and whether with all below them. Partitions are counted for themselves and not again as what they are
/// parts of; but those by hash together, because a restore may give a row to another of them (an enum's hash is of its numbers in the
/// catalog). Nothing that comes from elsewhere (foreign tables), that a crash may empty (unlogged ones), that an extension makes, or that the
/// role may not read.
///
/// Each comes with the tables that hold its rows, itself or all partitions, and of each the column that takes least to read.
const TABLES: &str = "WITH hashed AS (SELECT partrelid AS relid FROM pg_partitioned_table WHERE partstrat = 'h'), \
    counted AS (SELECT c.oid, n.nspname, c.relname, c.relkind = 'p' AS is_whole FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE (c.relkind = 'r' OR c.oid IN (SELECT relid FROM hashed)) AND c.relpersistence = 'p' \
    AND NOT EXISTS (SELECT FROM pg_partition_ancestors(c.oid) a JOIN hashed USING (relid) WHERE a.relid <> c.oid) \
    AND NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class k ON k.oid = t.relid \
        WHERE k.relkind = 'f' OR k.relpersistence <> 'p') \
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) \
    SELECT c.nspname, c.relname, c.is_whole, n.nspname, p.relname, (SELECT a.attname FROM pg_attribute a \
        WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attlen < 0, a.attlen, a.attnum LIMIT 1) \
    FROM counted c LEFT JOIN LATERAL (SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE c.is_whole UNION SELECT c.oid WHERE NOT c.is_whole) t ON true \
    LEFT JOIN (pg_class p JOIN pg_namespace n ON n.oid = p.relnamespace) ON p.oid = t.relid AND p.relkind = 'r' \
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

/// A snapshot that a dump is to be of, and what is counted in it.
pub(super) struct Count {
    client: Client,
    snapshot: String,
    /// What is to be counted, once it is locked; or why it is not.
    locked: Result<Plan>,
}

/// Tables, and by which statements their rows are read: each is of one of the tables.
#[derive(Debug, Default)]
struct Plan {
    tables: Vec<Table>,
    parts: Vec<(usize, String)>,
}

impl Table {
    /// For people: `shop.orders`.
    pub(crate) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// How many rows there are, as a statement. Whatever the table's owner has put into its indexes runs by it: for a scratch server only.
    pub(crate) fn count(&self) -> String {
        format!("SELECT pg_catalog.count(*) FROM {}", self.quoted())
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
        client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let snapshot = client.value("SELECT pg_export_snapshot()")?;
        Ok(Self {
            client,
            snapshot,
            locked: Ok(Plan::default()),
        })
    }

    /// For the dump.
    pub(super) fn snapshot(&self) -> &str {
        &self.snapshot
    }

    /// Locks the tables. To be called when the dump holds its locks.
    pub(super) fn lock(&mut self) {
        self.locked = self.try_lock();
    }

    fn try_lock(&mut self) -> Result<Plan> {
        let plan = Plan::of(self.client.query(TABLES)?);
        if plan.tables.len() > MAX_TABLES {
            let problem = format!("there are {} tables", plan.tables.len());
            return Err(Error::new(ErrorKind::Unsupported, problem));
        }
        if !plan.tables.is_empty() {
            let names: Vec<_> = plan.tables.iter().map(Table::quoted).collect();
            let names = names.join(", ");
            // Not waiting for anybody, who may be waiting for the dump: what they do to a table would not show in our snapshot.
            self.client
                .query(&format!("LOCK TABLE {names} IN ACCESS SHARE MODE NOWAIT"))?;
        }
        Ok(plan)
    }

    /// Counts.
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
        let Plan { mut tables, parts } = std::mem::replace(&mut self.locked, Ok(Plan::default()))?;
        for (table, statement) in parts {
            progress::check_cancelled()?;
            let rows = self.rows_of(&statement)?;
            if let Some(table) = tables.get_mut(table) {
                table.rows += rows;
            }
        }
        Ok(tables)
    }

    /// The server sends each row in a message of its own.
    fn rows_of(&mut self, statement: &str) -> Result<u64> {
        self.client.ask(statement)?;
        let mut rows = 0;
        loop {
            match self.client.next()? {
                Event::CopyData(_) => rows += 1,
                Event::CopyOut | Event::CopyDone | Event::ResultEnd => {}
                Event::Ready => return Ok(rows),
                Event::Row(_) | Event::CopyBoth => {
                    let problem = "the server does not send a table as it was asked to";
                    return Err(Error::new(ErrorKind::Failed, problem));
                }
            }
        }
    }
}

impl Plan {
    /// From what the server says of its tables, those of one after the other.
    fn of(rows: Vec<Row>) -> Self {
        let mut plan = Self::default();
        for row in rows {
            let mut columns = row.into_iter();
            let mut text = || columns.next().flatten();
            let (Some(schema), Some(name), whole) = (text(), text(), text()) else {
                continue;
            };
            let is_new = plan
                .tables
                .last()
                .is_none_or(|it| it.schema != schema || it.name != name);
            if is_new {
                plan.tables.push(Table {
                    schema,
                    name,
                    rows: 0,
                    whole: whole.as_deref() == Some("t"),
                });
            }
            // A table of partitions, of which there are none, has no rows of its own.
            if let (Some(schema), Some(name)) = (text(), text()) {
                let (schema, name) = (escape_identifier(&schema), escape_identifier(&name));
                let column = text().map(|it| format!(" ({})", escape_identifier(&it)));
                let statement = format!(
                    "COPY {schema}.{name}{} TO STDOUT",
                    column.unwrap_or_default()
                );
                plan.parts.push((plan.tables.len() - 1, statement));
            }
        }
        plan
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
    fn a_table_is_read_by_its_parts_and_no_query_is_planned() {
        let row = |columns: [&str; 6]| -> Row {
            let texts = columns.iter();
            texts
                .map(|it| (!it.is_empty()).then(|| (*it).to_owned()))
                .collect()
        };
        let plan = Plan::of(vec![
            row(["s", "a\"b", "f", "s", "a\"b", "x"]),
            row(["s", "none", "t", "", "", ""]),
            row(["s", "parts", "t", "s", "one", "x"]),
            row(["s", "parts", "t", "s", "two", ""]),
        ]);
        let names: Vec<_> = plan.tables.iter().map(Table::shown).collect();
        assert_eq!(names, ["s.a\"b", "s.none", "s.parts"]);
        let parts: Vec<_> = plan.parts.iter().map(|(of, sql)| (*of, &**sql)).collect();
        assert_eq!(
            parts,
            [
                (0, r#"COPY "s"."a""b" ("x") TO STDOUT"#),
                (2, r#"COPY "s"."one" ("x") TO STDOUT"#),
                (2, r#"COPY "s"."two" TO STDOUT"#),
            ]
        );
    }
}
