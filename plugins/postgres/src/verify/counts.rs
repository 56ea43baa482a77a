//! Rows of the restored tables beside those that were counted at the backup.

use strongroom_plugin::{Error, ErrorKind, Finding, Result, progress, several};

use super::server::Server;
use crate::link::Client;
use crate::logical::rows::{Counted, Table};

/// Compares every table of the databases that came back. What is the same is told together.
pub(super) fn compare(
    server: &Server,
    counted: &[Counted],
    databases: &[String],
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let (mut tables, mut rows) = (0, 0);
    for counted in counted.iter().filter(|it| databases.contains(&it.database)) {
        progress::step(format!("rows of {}", counted.database));
        let mut client = server.connect(&counted.database)?;
        for table in &counted.tables {
            progress::check_cancelled()?;
            let found = match server.explain(count(&mut client, table)) {
                // A table's owner may have put into an index what no planner of a count gets past.
                Err(error) if error.kind() != ErrorKind::Unavailable && server.is_running() => {
                    let subject = format!("rows of {}.{}", counted.database, table.shown());
                    findings.push(Finding::skipped(subject, error));
                    continue;
                }
                found => found?,
            };
            match found {
                Some(found) if found == table.rows => {
                    tables += 1;
                    rows += found;
                }
                found => {
                    let subject = format!("rows of {}.{}", counted.database, table.shown());
                    let found = match found {
                        Some(found) => format!("{found} found"),
                        None => "the table is missing".into(),
                    };
                    let detail = format!("{} expected, {found}", table.rows);
                    findings.push(Finding::failed(subject, detail));
                }
            }
        }
        client.close();
    }
    let is_counted = |name: &String| counted.iter().any(|it| it.database == *name);
    for database in databases.iter().filter(|it| !is_counted(it)) {
        let subject = format!("rows of {database}");
        findings.push(Finding::skipped(subject, "not counted at the backup"));
    }
    if tables > 0 || findings.is_empty() {
        let detail = format!(
            "{}, {} as at the backup",
            several(tables, "table"),
            several(rows, "row")
        );
        findings.insert(0, Finding::passed("row counts", detail));
    }
    Ok(findings)
}

/// None where the table is not there.
fn count(client: &mut Client, table: &Table) -> Result<Option<u64>> {
    match client.value(&table.count()) {
        // No such table, no such schema.
        Err(failure) if failure.is("42P01") || failure.is("3F000") => Ok(None),
        value => value?.parse().map(Some).map_err(|_| {
            let problem = format!("the number of rows of {} is none", table.shown());
            Error::new(ErrorKind::Failed, problem)
        }),
    }
}
