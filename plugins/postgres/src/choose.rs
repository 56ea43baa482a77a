//! Which databases: the server's and the operator's patterns in, those to back up out.

use strongroom_plugin::{Error, ErrorKind, Result};

use crate::server::{Database, Listed, State};

/// What comes of the server's list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) databases: Vec<Database>,
    /// What a pattern names and nobody can dump now, and why.
    pub(crate) unreachable: Vec<(String, &'static str)>,
    /// What a pattern names and does not mean, and why it is left out.
    pub(crate) left_out: Vec<(String, &'static str)>,
}

/// Those that a pattern of `wanted` names and none of `exclude`. A name that is meant as it stands must be there, and must be one that can be dumped.
pub(crate) fn choose(listed: Vec<Listed>, wanted: &[String], exclude: &[String]) -> Result<Chosen> {
    for name in wanted.iter().filter(|it| !it.contains('*')) {
        let found = listed.iter().find(|it| it.database.name == *name);
        let problem = match found.map(|it| it.state.obstacle()) {
            Some(None) => continue,
            Some(Some(why)) => {
                let problem = format!("database '{}' cannot be dumped: {why}", name.escape_debug());
                return Err(Error::new(ErrorKind::Denied, problem));
            }
            None => format!("there is no database '{}'", name.escape_debug()),
        };
        let open = listed.iter().filter(|it| it.state == State::Open);
        let names: Vec<_> = open.map(|it| &*it.database.name).collect();
        return Err(Error::new(ErrorKind::NotFound, problem)
            .hint(format!("the server has: {}", names.join(", "))));
    }
    let named = |patterns: &[String], name: &str| patterns.iter().any(|it| matches(it, name));
    let mut chosen = Chosen {
        databases: Vec::new(),
        unreachable: Vec::new(),
        left_out: Vec::new(),
    };
    for Listed { database, state } in listed {
        if !named(wanted, &database.name) || named(exclude, &database.name) {
            continue;
        }
        match (state, state.obstacle()) {
            (State::OwnTemplate, _) => {}
            (State::Template | State::HalfDropped, Some(why)) => {
                chosen.left_out.push((database.name, why));
            }
            (_, Some(why)) => chosen.unreachable.push((database.name, why)),
            (_, None) => chosen.databases.push(database),
        }
    }
    if chosen.databases.is_empty() {
        let problem = "no database of the server is to be backed up";
        let error = Error::new(ErrorKind::NotFound, problem);
        return Err(match chosen.unreachable.first() {
            Some((name, why)) => error.hint(format!("{name} is one, but {why}")),
            None => error.hint("correct databases and exclude in the source's config"),
        });
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

    fn listed(name: &str, state: State) -> Listed {
        let database = Database {
            name: name.into(),
            owner: "postgres".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            size: None,
        };
        Listed { database, state }
    }

    fn check(wanted: &[&str], exclude: &[&str], expected: Result<&[&str], &str>) {
        let all = ["crm", "postgres", "shop", "shop_test"].map(|it| listed(it, State::Open));
        let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
        let chosen = choose(all.into(), &owned(wanted), &owned(exclude));
        let names = chosen.map(|all| {
            let all = all.databases.into_iter();
            all.map(|it| it.name).collect::<Vec<_>>()
        });
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

    #[test]
    fn what_a_pattern_names_and_cannot_be_dumped_is_told() {
        let all = || {
            vec![
                listed("a", State::Open),
                listed("closed", State::Closed),
                listed("half", State::HalfDropped),
                listed("other", State::Refused),
                listed("template1", State::OwnTemplate),
                listed("model", State::Template),
            ]
        };
        let owned = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let names = |of: &[(String, &str)]| of.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
        let chosen = choose(all(), &owned(&["*"]), &owned(&[])).expect("there is one");
        assert_eq!(chosen.databases.len(), 1);
        assert_eq!(names(&chosen.unreachable), ["closed", "other"]);
        assert_eq!(names(&chosen.left_out), ["half", "model"]);
        let chosen = choose(
            all(),
            &owned(&["*"]),
            &owned(&["closed", "o*", "half", "model"]),
        );
        let chosen = chosen.expect("there is one");
        assert!(chosen.unreachable.is_empty() && chosen.left_out.is_empty());

        let named = choose(all(), &owned(&["closed"]), &[]).expect_err("it cannot be had");
        assert!(
            named
                .message()
                .starts_with("database 'closed' cannot be dumped: it takes no connections"),
            "{named}"
        );
        let only = choose(all(), &owned(&["c*"]), &[]).expect_err("there is none");
        assert!(
            only.hint_text()
                .is_some_and(|it| it.starts_with("closed is one"))
        );
    }
}
