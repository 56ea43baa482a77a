//! What the operator wants to be true of the restored data: a query comes in, whether its answer is true goes out.

use strongroom_plugin::{Assertion, ErrorKind, Finding, Result};

use crate::client::Session;
use crate::name::identifier;
use crate::wire::Row;

/// Asks in the database that the assertion names, or in the only one of `databases`.
pub(super) fn ask(
    session: &mut Session,
    assertion: &Assertion,
    databases: &[&str],
) -> Result<Finding> {
    let subject = assertion.subject();
    let database = assertion.database_of(databases)?;
    if !databases.contains(&database) {
        let detail = format!("the backup has no database {database}");
        return Ok(Finding::failed(subject, detail));
    }
    let answer = session
        .query(&format!("USE {}", identifier(database)))
        .and_then(|_| session.query(&assertion.sql));
    Ok(match answer {
        Ok(rows) => match judge(&rows) {
            Ok(()) => Finding::passed(subject, "true"),
            Err(detail) => Finding::failed(subject, detail),
        },
        // Of the connection, and not of the question.
        Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut) => {
            return Err(error);
        }
        Err(error) => Finding::failed(subject, error),
    })
}

/// True is what these servers take for true: a number other than 0.
fn judge(rows: &[Row]) -> Result<(), String> {
    let [row] = rows else {
        return Err(format!("{} rows where one is asked for", rows.len()));
    };
    if row.len() != 1 {
        return Err(format!("{} columns where one is asked for", row.len()));
    }
    let Some(text) = row.at(0) else {
        return Err("NULL".into());
    };
    match text.parse::<f64>() {
        Ok(number) if number != 0.0 => Ok(()),
        Ok(_) => Err("false".into()),
        Err(_) => Err(format!("is no yes or no: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_number_other_than_0_is_true() {
        let check = |rows: &[Row], expected: Result<(), &str>| {
            assert_eq!(judge(rows), expected.map_err(str::to_owned));
        };
        let row = |values: &[Option<&str>]| Row::of(values);
        check(&[row(&[Some("1")])], Ok(()));
        check(&[row(&[Some("12")])], Ok(()));
        check(&[row(&[Some("0")])], Err("false"));
        check(&[row(&[Some("yes")])], Err("is no yes or no: yes"));
        check(&[row(&[None])], Err("NULL"));
        check(&[], Err("0 rows where one is asked for"));
        let two = row(&[Some("1"), Some("1")]);
        check(&[two], Err("2 columns where one is asked for"));
    }
}
