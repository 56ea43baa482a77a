//! Numbers that no dump has as they are: a server and a database come in, the tables that a dump rounds go out.
//!
//! Servers print a `FLOAT` with six digits, and it may have nine. What the log has of it is exact.

use std::collections::BTreeMap;

use strongroom_plugin::{ErrorKind, Result, progress};

use crate::client::Session;
use crate::name::{identifier, literal, shown};

/// What to warn of, a line for each table.
pub(crate) fn rounded(session: &mut Session, database: &str) -> Result<Vec<String>> {
    let rows = session.query(&format!(
        "SELECT c.TABLE_NAME AS name, c.COLUMN_NAME AS column_name FROM information_schema.COLUMNS c \
         JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME \
         WHERE c.DATA_TYPE = 'float' AND t.TABLE_TYPE <> 'VIEW' AND c.TABLE_SCHEMA = {}",
        literal(database)
    ))?;
    let mut tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in &rows {
        let columns = tables.entry(row.expect("name")?).or_default();
        columns.push(row.expect("column_name")?);
    }
    let mut told = Vec::new();
    for (table, columns) in tables {
        progress::check_cancelled()?;
        let differs = columns.iter().map(|column| {
            let column = identifier(column);
            format!("CAST(CONCAT({column}) AS FLOAT) <> {column}")
        });
        let found = session.query_row(&format!(
            "SELECT EXISTS (SELECT 1 FROM {}.{} WHERE {}) AS found",
            identifier(database),
            identifier(table),
            differs.collect::<Vec<_>>().join(" OR ")
        ));
        let is_rounded = match found {
            Ok(row) => row.as_ref().and_then(|row| row.get("found")) != Some("0"),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            // What is not in the dump is not rounded there.
            Err(error) if error.kind() == ErrorKind::Denied => false,
            Err(_) => true,
        };
        if is_rounded {
            let columns: Vec<String> = columns.iter().map(|column| shown(column)).collect();
            told.push(format!(
                "table {}.{}: a dump rounds numbers of type FLOAT to six digits, and some here have more (columns: {}). DOUBLE and DECIMAL come back as they are",
                shown(database),
                shown(table),
                columns.join(", ")
            ));
        }
    }
    Ok(told)
}
