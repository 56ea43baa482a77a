//! What a database system is to the benchmark: how its server is made, started, filled, changed and asked.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::rows::Table;
use super::tools::Tool;
use crate::error::{Error, Result};
use crate::process;
use crate::random::Words;

/// The database that is backed up.
pub(super) const DATABASE: &str = "shop";

/// A database system.
pub(super) trait System {
    /// Such as `PostgreSQL 15.14`.
    fn version(&self) -> &str;

    /// For the name of what is kept on disk: what other versions cannot read has another one.
    fn key(&self) -> String;

    /// Makes an empty data directory.
    fn create(&self, data: &Path) -> Result<()>;

    /// The server on a data directory.
    fn server(&self, data: &Path) -> Command;

    /// The signal that ends it in good order.
    fn stop_signal(&self) -> libc::c_int;

    /// The stock client, which reads SQL.
    fn client(&self, database: &str) -> Command;

    /// What is made before the rows are loaded, and after.
    fn schema(&self) -> [&'static str; 2];

    /// The client as it reads the rows of a table from its standard input, and what bytes begin with.
    fn loader(&self, table: Table) -> (Command, &'static str);

    /// The query for the size of the database, in bytes.
    fn size(&self) -> &'static str;

    /// Writes what is in memory to disk, so that nobody pays for it while he is measured, and reads everything once.
    fn settle(&self) -> &'static str;

    /// The statements that change rows, `newest` of the orders, or every hundredth row of all tables.
    fn change(&self, change: Change) -> String;

    /// Who backs it up, by groups that are compared.
    fn groups(&self) -> Vec<Group>;
}

/// What changes between two backups: 1 % of the rows in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The newest orders, the last so many of this id; new rows are loaded besides.
    Newest { after: u64 },
    /// Every hundredth row.
    Scattered,
}

/// Tools that are compared, and what is said of it.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) tools: Vec<Tool>,
}

/// Runs SQL, each statement by itself; out comes what it prints.
pub(super) fn sql(system: &dyn System, database: &str, sql: &str) -> Result<String> {
    let mut client = system.client(database);
    client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let failed = |what: String| Error::new(format!("the client of {}: {what}", system.version()));
    let mut child = client.spawn().map_err(|error| {
        failed(format!(
            "cannot start `{}`: {error}",
            process::line(&client)
        ))
    })?;
    // It reads all of it before it says much.
    let written = child
        .stdin
        .take()
        .map(|mut input| input.write_all(sql.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() || written.is_none_or(|written| written.is_err()) {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(failed(text.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Loads rows of a table.
pub(super) fn load(
    system: &dyn System,
    words: &Words,
    table: Table,
    ids: std::ops::Range<u64>,
) -> Result<()> {
    let (mut client, bytes_prefix) = system.loader(table);
    let line = process::line(&client);
    let failed = |what: &dyn std::fmt::Display| Error::new(format!("`{line}`: {what}"));
    let mut child = client
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(input) = child.stdin.take() {
        let mut input = std::io::BufWriter::with_capacity(1 << 20, input);
        table
            .write(words, ids, bytes_prefix, &mut input)
            .and_then(|()| input.flush())
            .map_err(|error| failed(&error))?;
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(&status)),
    }
}
