//! What the operator wants to be true of the restored data: queries in, findings out.

use strongroom_plugin::{Assertion, Finding, Result};

use super::machine::lack;
use super::server::Server;
use crate::wire::Row;

/// Asks each, in the database that it names, or the only one of `restored` and `skipped`. The latter are not here, for no fault of the backup's.
pub(super) fn check(
    server: &Server,
    assertions: &[Assertion],
    restored: &[String],
    skipped: &[String],
) -> Result<Vec<Finding>> {
    let all = restored.iter().chain(skipped).map(String::as_str);
    let all: Vec<&str> = all.collect();
    let ask = |assertion: &Assertion| -> Result<Finding> {
        let database = assertion.database_of(&all)?;
        let is_in = |names: &[String]| names.iter().any(|name| name == database);
        if is_in(skipped) {
            let detail = format!("{database} could not be restored here");
            return Ok(Finding::skipped(assertion.subject(), detail));
        }
        if !is_in(restored) {
            let detail = format!("the backup has no database {database}");
            return Ok(Finding::failed(assertion.subject(), detail));
        }
        let mut client = match server.connect_as_it_is(database) {
            Err(error) if lack(error.message()).is_some() => {
                return Ok(Finding::skipped(assertion.subject(), error));
            }
            client => client?,
        };
        let answer = client.query(&assertion.sql);
        let result = match answer {
            Ok(rows) => verdict(&rows),
            Err(failure) => Err(server
                .explain::<()>(Err(failure.into()))
                .map_or_else(|error| error.to_string(), |()| String::new())),
        };
        client.close();
        Ok(match result {
            Ok(()) => Finding::passed(assertion.subject(), "true"),
            Err(detail) if lack(&detail).is_some() => Finding::skipped(assertion.subject(), detail),
            Err(detail) => Finding::failed(assertion.subject(), detail),
        })
    };
    assertions.iter().map(ask).collect()
}

/// Only one row with one column that is true is a yes.
fn verdict(rows: &[Row]) -> Result<(), String> {
    match rows {
        [row] => match row.as_slice() {
            [Some(value)] if value == "t" => Ok(()),
            [Some(value)] if value == "f" => Err("false".into()),
            [Some(value)] => Err(format!("is no yes or no: {value}")),
            [None] => Err("NULL".into()),
            columns => Err(format!("{} columns where one is asked for", columns.len())),
        },
        rows => Err(format!("{} rows where one is asked for", rows.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_true_is_a_yes() {
        let check = |rows: &[&[Option<&str>]], expected: Result<(), &str>| {
            let rows: Vec<Row> = rows
                .iter()
                .map(|row| row.iter().map(|it| it.map(str::to_owned)).collect())
                .collect();
            assert_eq!(verdict(&rows), expected.map_err(str::to_owned), "{rows:?}");
        };
        check(&[&[Some("t")]], Ok(()));
        check(&[&[Some("f")]], Err("false"));
        check(&[&[None]], Err("NULL"));
        check(&[&[Some("12")]], Err("is no yes or no: 12"));
        check(&[], Err("0 rows where one is asked for"));
        check(
            &[&[Some("t")], &[Some("t")]],
            Err("2 rows where one is asked for"),
        );
        check(
            &[&[Some("t"), Some("t")]],
            Err("2 columns where one is asked for"),
        );
    }
}
