//! What a schema cannot say of `[jobs.NAME.verify]`: its schedule, and which sources the assertions are of.

use strongroom_repository::Result;

use super::check::check_cron;
use super::document::Document;
use super::model::{Assertion, JobTable, VerifyTable};
use super::nearest::did_you_mean_or_list;
use super::pointer::Pointer;

/// The first problem in the table at `at`, which is the job's.
pub(super) fn check_verify(
    document: &Document,
    at: &Pointer,
    job: &JobTable,
    table: &VerifyTable,
) -> Result<()> {
    if let Some(schedule) = &table.schedule {
        check_cron(document, &at.key("schedule"), schedule)?;
    }
    for (index, assertion) in table.assertions.iter().enumerate() {
        check_assertion(document, &at.key("assertions").index(index), job, assertion)?;
    }
    Ok(())
}

fn check_assertion(
    document: &Document,
    at: &Pointer,
    job: &JobTable,
    assertion: &Assertion,
) -> Result<()> {
    let source = match assertion {
        Assertion::Sql(sql) if sql.trim().is_empty() => {
            return Err(document.error(at, format!("'{at}' is empty")));
        }
        Assertion::Sql(_) => None,
        Assertion::Of(table) => table.source.as_ref(),
    };
    match source {
        Some(name) if !job.sources.contains(name) => {
            let at = at.key("source");
            let problem = format!(
                "'{at}' names '{}', which the job has not",
                name.escape_debug()
            );
            let hint = did_you_mean_or_list(name, "the job's sources", &job.sources);
            Err(document.error(&at, problem).hint(hint))
        }
        None if job.sources.len() > 1 => {
            let problem = format!("'{at}' names no source, and the job has several");
            let hint = "write { source = \"NAME\", sql = \"…\" }";
            Err(document.error(at, problem).hint(hint))
        }
        _ => Ok(()),
    }
}
