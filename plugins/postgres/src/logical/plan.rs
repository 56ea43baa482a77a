//! What becomes of each database that is asked for: paths, options and what the server has in, steps out. Nothing is touched.

use std::collections::BTreeMap;

use strongroom_plugin::{Error, ErrorKind, OnConflict, Result, log};

use super::{Dumped, GLOBALS};
use crate::config::RestoreOptions;

/// What one database becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) dumped: Dumped,
    /// Its name at the target.
    pub(super) name: String,
    /// Whether one of that name is in the way, to be replaced.
    pub(super) replaces: bool,
}

/// The dumps that `paths` name, by the path or by the name of the database; all where there are none.
pub(super) fn choose(listed: Vec<Dumped>, paths: &[String]) -> Result<Vec<Dumped>> {
    if paths.is_empty() {
        return Ok(listed);
    }
    let names = |it: &Dumped, path: &str| {
        let path = path.trim_start_matches("./").trim_matches('/');
        path.is_empty() || path == "." || path == it.path || path == it.database.name
    };
    if let Some(unknown) = paths
        .iter()
        .find(|path| *path != GLOBALS && !listed.iter().any(|it| names(it, path)))
    {
        let problem = format!("the backup has no dump '{}'", unknown.escape_debug());
        let all: Vec<_> = listed.iter().map(|it| &*it.path).collect();
        return Err(Error::new(ErrorKind::NotFound, problem)
            .hint(format!("it has {}", all.join(", ").escape_debug())));
    }
    let is_named = |it: &Dumped| paths.iter().any(|path| names(it, path));
    Ok(listed.into_iter().filter(is_named).collect())
}

/// Decides what becomes of each database. `existing` are there, and hold something or not.
pub(super) fn plan(
    dumped: Vec<Dumped>,
    options: &RestoreOptions,
    existing: &BTreeMap<String, bool>,
) -> Result<Vec<Step>> {
    let is_dumped = |name: &String| dumped.iter().any(|it| it.database.name == *name);
    if let Some(unknown) = options.rename.keys().find(|name| !is_dumped(name)) {
        let problem = format!(
            "rename: the backup has no database '{}'",
            unknown.escape_debug()
        );
        return Err(Error::new(ErrorKind::InvalidConfig, problem));
    }
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut steps = Vec::new();
    for dumped in dumped {
        let old = dumped.database.name.clone();
        let name = options.name_of(&old).to_owned();
        if let Some(other) = taken.insert(name.clone(), old.clone()) {
            let problem = format!("rename: {other} and {old} would both become {name}");
            return Err(Error::new(ErrorKind::InvalidConfig, problem));
        }
        let is_in_the_way = existing.get(&name) == Some(&true);
        match options.conflict {
            OnConflict::KeepExisting if is_in_the_way => {
                log::info(format!("database {name} exists and is kept"));
                continue;
            }
            OnConflict::Fail if is_in_the_way => {
                let problem = format!("database {name} exists already");
                return Err(Error::new(ErrorKind::AlreadyExists, problem).hint(format!(
                    "--overwrite replaces it and ends its sessions, --option rename.{old}=NEW restores beside it"
                )));
            }
            _ => {}
        }
        steps.push(Step {
            dumped,
            replaces: existing.contains_key(&name),
            name,
        });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Database;

    fn dumped(name: &str) -> Dumped {
        Dumped {
            path: format!("{name}.dump"),
            database: Database {
                name: name.into(),
                owner: "postgres".into(),
                encoding: "UTF8".into(),
                collate: "C".into(),
                ctype: "C".into(),
                size: None,
            },
        }
    }

    fn check(options: &str, expected: Result<&[(&str, bool)], &str>) {
        let options = serde_json::from_str(options).expect("good options");
        let existing = [("shop".to_owned(), true), ("postgres".to_owned(), false)].into();
        let dumps = vec![dumped("crm"), dumped("postgres"), dumped("shop")];
        let steps = plan(dumps, &options, &existing);
        let steps = steps.map(|steps| {
            let steps = steps.into_iter().map(|step| (step.name, step.replaces));
            steps.collect::<Vec<_>>()
        });
        let expected = expected.map(|steps| {
            let steps = steps
                .iter()
                .map(|&(name, replaces)| (name.to_owned(), replaces));
            steps.collect::<Vec<_>>()
        });
        let steps = steps.map_err(|error| error.message().to_owned());
        assert_eq!(steps, expected.map_err(str::to_owned), "{options:?}");
    }

    #[test]
    fn a_database_that_holds_something_is_touched_only_when_that_is_asked_for() {
        check("{}", Err("database shop exists already"));
        check(
            r#"{"conflict":"overwrite"}"#,
            Ok(&[("crm", false), ("postgres", true), ("shop", true)]),
        );
        check(
            r#"{"rename":{"shop":"shop_2"}}"#,
            Ok(&[("crm", false), ("postgres", true), ("shop_2", false)]),
        );
    }

    #[test]
    fn a_new_name_must_be_of_something_and_its_own() {
        check(
            r#"{"rename":{"sales":"x"}}"#,
            Err("rename: the backup has no database 'sales'"),
        );
        check(
            r#"{"rename":{"shop":"crm"}}"#,
            Err("rename: crm and shop would both become crm"),
        );
    }

    #[test]
    fn a_dump_is_chosen_by_its_path_or_its_database() {
        let check = |paths: &[&str], expected: Result<&[&str], &str>| {
            let paths: Vec<_> = paths.iter().map(|&it| it.to_owned()).collect();
            let chosen = choose(vec![dumped("crm"), dumped("shop")], &paths);
            let chosen = chosen.map(|all| all.into_iter().map(|it| it.path).collect::<Vec<_>>());
            let chosen = chosen.map_err(|error| error.message().to_owned());
            let owned = |all: &[&str]| all.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
            assert_eq!(chosen, expected.map(owned).map_err(str::to_owned));
        };
        check(&[], Ok(&["crm.dump", "shop.dump"]));
        check(&["shop.dump"], Ok(&["shop.dump"]));
        check(&["shop"], Ok(&["shop.dump"]));
        check(&["./shop.dump", "crm"], Ok(&["crm.dump", "shop.dump"]));
        check(&["globals.sql"], Ok(&[]));
        check(&["shop", "sales"], Err("the backup has no dump 'sales'"));
    }
}
