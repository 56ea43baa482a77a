//! pg_amcheck over all databases: every table and B-tree index is read and has to make sense.

use std::io::Read;

use strongroom_plugin::{Context, Error, ErrorKind, Finding, Result, progress};

use super::machine::lack;
use super::server::{LOBBY, Server};
use crate::programs::{Programs, last_words, tell_remarks};

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
        0 => {
            tell_remarks(PROGRAM, &exit.stderr, |_| true);
            let detail = "all tables and B-tree indexes are sound";
            Ok(Finding::passed(PROGRAM, detail))
        }
        // It tells of damage by its output and this code.
        2 if server.is_running() => match is_sorted_otherwise(server, programs)? {
            true => {
                let detail = "this machine sorts text otherwise than the one of the backup, so its indexes cannot be compared here";
                Ok(Finding::skipped(PROGRAM, detail))
            }
            false => Ok(verdict(&found)),
        },
        _ => {
            let problem = format!("{PROGRAM} {}: {}", exit.manner(), last_words(&exit.stderr));
            server.explain(Err(Error::new(ErrorKind::Failed, &problem)))?;
            // It did not get to the end, and so did not find anything.
            Ok(Finding::skipped(PROGRAM, problem))
        }
    }
}

/// What it found, but for what it could not look at because this machine lacks something, such as the library of a function in an index.
fn verdict(found: &str) -> Finding {
    let mut complaints: Vec<String> = Vec::new();
    for line in found.lines() {
        match complaints.last_mut() {
            Some(last) if line.starts_with(char::is_whitespace) => {
                last.push('\n');
                last.push_str(line);
            }
            _ => complaints.push(line.to_owned()),
        }
    }
    let (lacks, damage): (Vec<_>, Vec<_>) =
        complaints.into_iter().partition(|it| lack(it).is_some());
    match damage.is_empty() && !lacks.is_empty() {
        true => Finding::skipped(PROGRAM, first_lines(&lacks.join("\n"))),
        false => Finding::failed(PROGRAM, first_lines(&damage.join("\n"))),
    }
}

/// Whether a database was made with another version of its collation: its indexes look damaged then. Before PostgreSQL 15 nobody noted that.
fn is_sorted_otherwise(server: &Server, programs: &Programs<'_>) -> Result<bool> {
    if programs.version().major < 15 {
        return Ok(false);
    }
    let mut client = server.connect(LOBBY)?;
    let other = client.value(
        "SELECT count(*) FROM pg_database WHERE datallowconn AND datcollversion <> pg_database_collation_actual_version(oid)",
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
    fn an_index_that_cannot_be_read_here_is_not_damaged() {
        let check = |found: &str, expected: Finding| {
            assert_eq!(format!("{:?}", verdict(found)), format!("{expected:?}"))
        };
        let lack = "btree index \"shop.public.i\":\n    ERROR:  could not access file \"$libdir/x\": No such file or directory\n";
        let damage =
            "heap table \"shop.public.t\", block 3:\n    line pointer is beyond the page\n";
        let told = "btree index \"shop.public.i\": ERROR:  could not access file \"$libdir/x\": No such file or directory";
        check(lack, Finding::skipped(PROGRAM, told));
        let told = "heap table \"shop.public.t\", block 3: line pointer is beyond the page";
        check(&format!("{lack}{damage}"), Finding::failed(PROGRAM, told));
        check("", Finding::failed(PROGRAM, ""));
    }

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
