//! pg_amcheck over all databases: every table and B-tree index is read and has to make sense.

use std::io::Read;

use strongroom_plugin::{Context, Error, ErrorKind, Finding, Result, progress};

use super::server::{LOBBY, Server};
use crate::programs::{Programs, last_words};

const PROGRAM: &str = "pg_amcheck";

/// How much is kept of what it finds.
const MAX_FOUND: u64 = 16 << 10;

/// Runs it, if it and its extension are here.
pub(super) fn check(server: &Server, programs: &Programs<'_>) -> Result<Finding> {
    progress::step(PROGRAM);
    let mut client = server.connect(LOBBY)?;
    let extension = client.value("SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'")?;
    client.close();
    if extension.is_empty() {
        let detail = "the extension amcheck is not installed here (Debian: postgresql-contrib)";
        return Ok(Finding::skipped(PROGRAM, detail));
    }
    let command = programs.command(PROGRAM, LOBBY).args([
        "--all",
        "--install-missing",
        "--heapallindexed",
        &format!("--maintenance-db={LOBBY}"),
    ]);
    let mut process = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Finding::skipped(PROGRAM, error.message()));
        }
        process => process?,
    };
    let mut found = String::new();
    if let Some(output) = process.stdout() {
        let mut bytes = Vec::new();
        let mut output = output.take(MAX_FOUND);
        output.read_to_end(&mut bytes).on(PROGRAM)?;
        // What is more than that is not kept, and has to be read all the same.
        let mut rest = output.into_inner();
        std::io::copy(&mut rest, &mut std::io::sink()).on(PROGRAM)?;
        found = String::from_utf8_lossy(&bytes).into_owned();
    }
    let exit = process.wait()?;
    match exit.code {
        0 => Ok(Finding::passed(
            PROGRAM,
            "all tables and B-tree indexes are sound",
        )),
        // It tells of damage by its output and this code.
        2 if server.is_running() => match is_sorted_otherwise(server, programs)? {
            true => {
                let detail = "this machine sorts text otherwise than the one of the backup, so its indexes cannot be compared here";
                Ok(Finding::skipped(PROGRAM, detail))
            }
            false => Ok(Finding::failed(PROGRAM, first_lines(&found))),
        },
        _ => {
            let problem = format!("{PROGRAM} {}: {}", exit.manner(), last_words(&exit.stderr));
            server.explain(Err(Error::new(ErrorKind::Failed, problem)))
        }
    }
}

/// Whether a database was made with another version of its collation: its indexes look damaged then. Before PostgreSQL 15 nobody noted that.
fn is_sorted_otherwise(server: &Server, programs: &Programs<'_>) -> Result<bool> {
    if programs.version().major < 15 {
        return Ok(false);
    }
    let mut client = server.connect(LOBBY)?;
    let other = client.value(
        "SELECT count(*) FROM pg_database WHERE datcollversion <> pg_database_collation_actual_version(oid)",
    )?;
    client.close();
    Ok(other != "0")
}

/// What it found first, without the line breaks.
fn first_lines(found: &str) -> String {
    let lines: Vec<_> = found.lines().map(str::trim).take(4).collect();
    match found.lines().count() {
        count @ 5.. => format!("{} (and {} lines more)", lines.join(" "), count - 4),
        _ => lines.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_damage_the_first_is_told() {
        let check = |found: &str, expected: &str| assert_eq!(first_lines(found), expected);
        check(
            "heap table:\n    block 3 is bad\n",
            "heap table: block 3 is bad",
        );
        check("1\n2\n3\n4\n5\n6\n", "1 2 3 4 (and 2 lines more)");
    }
}
