//! Which databases: the server's and the operator's patterns in, those to back up out.

use strongroom_plugin::{Error, ErrorKind, Result};

use crate::server::Database;

/// Those that a pattern of `wanted` names and none of `exclude`. A name that is meant as it stands must be there.
pub(crate) fn choose(
    databases: Vec<Database>,
    wanted: &[String],
    exclude: &[String],
) -> Result<Vec<Database>> {
    let is_there = |name: &String| databases.iter().any(|database| database.name == *name);
    if let Some(missing) = wanted.iter().find(|it| !it.contains('*') && !is_there(it)) {
        let problem = format!("there is no database '{}'", missing.escape_debug());
        let names: Vec<_> = databases.iter().map(|database| &*database.name).collect();
        return Err(Error::new(ErrorKind::NotFound, problem)
            .hint(format!("the server has: {}", names.join(", "))));
    }
    let named = |patterns: &[String], name: &str| patterns.iter().any(|it| matches(it, name));
    let chosen: Vec<_> = databases
        .into_iter()
        .filter(|it| named(wanted, &it.name) && !named(exclude, &it.name))
        .collect();
    if chosen.is_empty() {
        let problem = "no database of the server is to be backed up";
        return Err(Error::new(ErrorKind::NotFound, problem)
            .hint("correct databases and exclude in the source's config"));
    }
    Ok(chosen)
}

/// `*` stands for any letters, or none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(start) else {
        return false;
    };
    let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    ends.filter_map(|at| name.get(at..))
        .any(|name| matches(rest, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(name: &str) -> Database {
        Database {
            name: name.into(),
            owner: "postgres".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            size: None,
        }
    }

    fn check(wanted: &[&str], exclude: &[&str], expected: Result<&[&str], &str>) {
        let all = ["crm", "postgres", "shop", "shop_test"].map(database);
        let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
        let chosen = choose(all.into(), &owned(wanted), &owned(exclude));
        let names = chosen.map(|all| all.into_iter().map(|it| it.name).collect::<Vec<_>>());
        let names = names.map_err(|error| error.message().to_owned());
        assert_eq!(names, expected.map(owned).map_err(str::to_owned));
    }

    #[test]
    fn databases_are_chosen_by_name_and_pattern() {
        check(&["*"], &[], Ok(&["crm", "postgres", "shop", "shop_test"]));
        check(&["*"], &["*_test", "postgres"], Ok(&["crm", "shop"]));
        check(&["s*p*"], &[], Ok(&["shop", "shop_test"]));
        check(&["shop"], &["crm"], Ok(&["shop"]));
    }

    #[test]
    fn a_database_that_is_named_and_missing_is_no_backup() {
        check(&["shop", "sales"], &[], Err("there is no database 'sales'"));
        let none = "no database of the server is to be backed up";
        check(&["x*"], &[], Err(none));
        check(&["shop"], &["*"], Err(none));
    }
}
