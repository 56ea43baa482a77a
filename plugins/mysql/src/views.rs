//! Views that a dump program ends at: a server and a name come in, whether it can read the view, and SQL to make it of where it cannot, go out.
//!
//! The program asks for the columns of each view. The server answers only whoever may execute the functions in it, and only where what it is made of is
//! still there.

use strongroom_plugin::{ErrorKind, Result};

use crate::client::Session;
use crate::config::Kind;
use crate::guard::Guard;
use crate::name::identifier;

/// What is known of a view.
pub(crate) enum Found {
    /// The dump program can read it.
    Readable,
    /// It cannot, for lack of rights, but the server says how the view was made.
    Defined(View),
    /// Why it will not be in the backup.
    Unknown(String),
}

/// A view by its definition.
pub(crate) struct View {
    name: String,
    sql: String,
}

/// Looks at a view.
pub(crate) fn look(session: &mut Session, database: &str, name: &str) -> Result<Found> {
    let quoted = identifier(name);
    session.query(&format!("USE {}", identifier(database)))?;
    let columns = session.query(&format!("SHOW FIELDS FROM {quoted}"));
    let definition = session.query_row(&format!("SHOW CREATE VIEW {quoted}"));
    let why = match (columns, &definition) {
        (Ok(_), Ok(_)) => return Ok(Found::Readable),
        (Err(error), _) => error,
        (_, Err(error)) => error.clone(),
    };
    if why.kind() == ErrorKind::Unavailable {
        return Err(why);
    }
    let sql = definition.ok().flatten();
    let sql = sql.as_ref().and_then(|row| row.get("Create View"));
    Ok(match sql {
        Some(sql) if why.kind() == ErrorKind::Denied => Found::Defined(View {
            name: name.into(),
            sql: sql.into(),
        }),
        _ => Found::Unknown(why.to_string()),
    })
}

/// Puts each view after those that it is made of.
pub(crate) fn in_order(views: &mut Vec<View>) {
    let mut rest = std::mem::take(views);
    while !rest.is_empty() {
        let is_free = |view: &View| {
            let uses = |other: &View| {
                other.name != view.name && view.sql.contains(&identifier(&other.name))
            };
            !rest.iter().any(uses)
        };
        // Names may be those of columns, so that there need not be a first one.
        let next = rest.iter().position(is_free).unwrap_or(0);
        views.push(rest.remove(next));
    }
}

/// What makes the views, and those that no client would load as one statement, with the reason.
pub(crate) fn sql(kind: Kind, views: &[View]) -> (String, Vec<(String, String)>) {
    let (mut sql, mut refused) = (String::new(), Vec::new());
    for view in views {
        let name = identifier(&view.name);
        let text = format!("DROP VIEW IF EXISTS {name};\n{};\n", view.sql);
        let mut guard = Guard::new(kind);
        match guard.read(text.as_bytes()).and_then(|()| guard.finish()) {
            Ok(()) => sql += &text,
            Err(error) => refused.push((view.name.clone(), error.message().to_owned())),
        }
    }
    if !sql.is_empty() {
        sql.insert_str(
            0,
            "SET NAMES utf8mb4;\nSET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\n",
        );
    }
    (sql, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_made_after_those_that_it_is_made_of() {
        let view = |name: &str, sql: &str| View {
            name: name.into(),
            sql: sql.into(),
        };
        let mut views = vec![
            view("a", "CREATE VIEW `a` AS select `c`.`x` from `c`"),
            view("b", "CREATE VIEW `b` AS select 1 AS `x`"),
            view("c", "CREATE VIEW `c` AS select `b`.`x` from `b`"),
        ];
        in_order(&mut views);
        let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "a"]);
        let mut circle = vec![view("a", "`b`"), view("b", "`a`")];
        in_order(&mut circle);
        assert_eq!(circle.len(), 2);
    }

    #[test]
    fn a_view_that_would_be_cut_is_not_written() {
        let views = [View {
            name: "v".into(),
            sql: "CREATE VIEW `v` AS select 1; GRANT ALL ON *.* TO m".into(),
        }];
        let (sql, refused) = sql(Kind::Mariadb, &views);
        assert_eq!((sql.as_str(), refused.len()), ("", 1));
    }
}
