//! Tables of a restored database: whether they have the rows that were counted at the backup, and whether the server finds them sound.

use strongroom_plugin::{ErrorKind, Finding, Result, progress};

use crate::client::Session;
use crate::name::identifier;
use crate::rows::{Past, count, tables};
use crate::series::Dump;

/// What came of looking at tables.
#[derive(Default)]
pub(super) struct Looked {
    /// Tables that are as they should be.
    pub(super) tables: u64,
    /// Rows in them, where they were counted.
    pub(super) rows: u64,
    /// What is not as it should be, or could not be looked at.
    pub(super) findings: Vec<Finding>,
}

/// Compares the rows of each table with what the dump notes. What was not counted is said to be.
pub(super) fn compare_rows(session: &mut Session, dump: &Dump) -> Result<Looked> {
    let database = &dump.database;
    let subject = |table: &str| match table {
        "*" => format!("rows of {database}"),
        table => format!("rows of {database}.{table}"),
    };
    let mut looked = Looked::default();
    let Some(rows) = &dump.rows else {
        let why = "not compared: they were not counted at the backup (count_rows)";
        looked.findings.push(Finding::skipped(subject("*"), why));
        return Ok(looked);
    };
    let current = rows
        .tables
        .iter()
        .map(|(table, rows)| (table, rows, Past::Without));
    let all = rows
        .history
        .iter()
        .map(|(table, rows)| (table, rows, Past::With));
    for (table, expected, past) in current.chain(all) {
        progress::check_cancelled()?;
        let found = match count(session, database, table, past) {
            Ok(found) if found == *expected => {
                // What was before is looked at, and not a table or rows of its own.
                if past == Past::Without {
                    looked.tables += 1;
                    looked.rows += found;
                }
                continue;
            }
            Ok(found) if past == Past::With => format!("{found} found, with its history"),
            Ok(found) => format!("{found} found"),
            Err(error) if error.kind() == ErrorKind::NotFound => "the table is missing".into(),
            Err(error) if is_about_the_table(error.kind()) => error.to_string(),
            Err(error) => return Err(error),
        };
        let detail = format!("{expected} expected, {found}");
        looked
            .findings
            .push(Finding::failed(subject(table), detail));
    }
    for (table, why) in &rows.unknown {
        let detail = format!("not compared: {why}");
        looked
            .findings
            .push(Finding::skipped(subject(table), detail));
    }
    Ok(looked)
}

/// Has the server read each table with all its indexes, as `mariadb-check --extended` and `mysqlcheck --extended` do.
pub(super) fn check_tables(session: &mut Session, database: &str) -> Result<Looked> {
    let mut looked = Looked::default();
    for table in tables(session, database)? {
        let table = table.name;
        progress::check_cancelled()?;
        let answers = session.query(&format!(
            "CHECK TABLE {}.{} EXTENDED",
            identifier(database),
            identifier(&table)
        ))?;
        let answers = answers.iter().map(|row| {
            let text = |column| row.get(column).unwrap_or_default();
            (text("Msg_type"), text("Msg_text"))
        });
        let subject = format!("table {database}.{table}");
        match judge(&answers.collect::<Vec<_>>()) {
            Ok(true) => looked.tables += 1,
            Ok(false) => {
                let why = "its engine cannot check it";
                looked.findings.push(Finding::skipped(subject, why));
            }
            Err(detail) => looked.findings.push(Finding::failed(subject, detail)),
        }
    }
    Ok(looked)
}

/// Whether the table is sound, by type and text of each line of the answer; false where its engine cannot tell, an error says what is wrong.
fn judge(answers: &[(&str, &str)]) -> Result<bool, String> {
    let is_kind = |wanted: &str, kind: &str| wanted.eq_ignore_ascii_case(kind);
    let wrong: Vec<&str> = answers
        .iter()
        .filter(|(kind, _)| is_kind("error", kind) || is_kind("warning", kind))
        .map(|(_, text)| *text)
        .collect();
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    match answers.last() {
        Some((kind, "OK" | "Table is already up to date")) if is_kind("status", kind) => Ok(true),
        Some((kind, _)) if is_kind("note", kind) => Ok(false),
        Some((_, text)) => Err((*text).to_owned()),
        None => Err("the server does not answer".into()),
    }
}

fn is_about_the_table(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Failed | ErrorKind::Corrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_sound_only_if_the_server_says_so_and_nothing_else() {
        let check = |answers: &[(&str, &str)], expected: Result<bool, &str>| {
            assert_eq!(judge(answers), expected.map_err(str::to_owned));
        };
        check(&[("status", "OK")], Ok(true));
        check(
            &[(
                "note",
                "The storage engine for the table doesn't support check",
            )],
            Ok(false),
        );
        check(
            &[("warning", "InnoDB: 3 rows missing"), ("status", "OK")],
            Err("InnoDB: 3 rows missing"),
        );
        check(
            &[
                ("Error", "Table is crashed"),
                ("status", "Operation failed"),
            ],
            Err("Table is crashed"),
        );
        check(&[("status", "Operation failed")], Err("Operation failed"));
        check(&[], Err("the server does not answer"));
    }
}
