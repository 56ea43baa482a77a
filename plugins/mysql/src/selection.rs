//! Which databases are meant: names and patterns come in, a yes or no for each database goes out.

use crate::config::Config;

/// Databases of the servers themselves. What matters of them is in `users.sql`.
const SYSTEM: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// The rules of a configuration.
pub(crate) struct Selection<'a> {
    include: Vec<&'a str>,
    exclude: Vec<&'a str>,
}

impl<'a> Selection<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        let (mut include, mut exclude) = (Vec::new(), Vec::new());
        for pattern in &config.databases {
            match pattern.strip_prefix('!') {
                Some(pattern) => exclude.push(pattern),
                None => include.push(pattern.as_str()),
            }
        }
        // Nothing but exclusions means all the rest.
        if include.is_empty() && !exclude.is_empty() {
            include.push("*");
        }
        exclude.extend(config.exclude.iter().map(String::as_str));
        Self { include, exclude }
    }

    /// Whether this database is to be backed up.
    pub(crate) fn contains(&self, database: &str) -> bool {
        let any = |patterns: &[&str]| patterns.iter().any(|pattern| matches(pattern, database));
        !is_system(database) && any(&self.include) && !any(&self.exclude)
    }

    /// Names without a pattern in them that none of `databases` is: to ask for what is not there is an error, not an empty backup.
    pub(crate) fn missing(&self, databases: &[String]) -> impl Iterator<Item = &'a str> {
        let is_plain = |pattern: &str| !pattern.contains(['*', '?']);
        self.include
            .iter()
            .copied()
            .filter(move |name| is_plain(name) && !databases.iter().any(|it| it == name))
    }
}

/// Whether it is one of the server's own.
pub(crate) fn is_system(database: &str) -> bool {
    SYSTEM
        .iter()
        .any(|system| system.eq_ignore_ascii_case(database))
}

/// Whether `name` is what `pattern` says, `*` being any letters and `?` any one.
fn matches(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            let ends = name.char_indices().map(|(at, _)| at);
            ends.chain([name.len()])
                .any(|at| name.get(at..).is_some_and(|name| matches(rest, name)))
        }
        Some(letter) => {
            let mut others = name.chars();
            let found = others.next();
            found.is_some_and(|found| letter == '?' || letter == found)
                && matches(letters.as_str(), others.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    fn check(more: &str, expected: &[&str]) {
        let config = config(more);
        let selection = Selection::of(&config);
        let all = ["shop", "shop_test", "blog", "mysql", "sys", "Größe"];
        let chosen: Vec<_> = all
            .into_iter()
            .filter(|name| selection.contains(name))
            .collect();
        assert_eq!(chosen, expected, "{more}");
    }

    #[test]
    fn databases_are_chosen_by_name_and_pattern() {
        check("", &["shop", "shop_test", "blog", "Größe"]);
        check(r#","databases":["shop"]"#, &["shop"]);
        check(r#","databases":["shop*","!*_test"]"#, &["shop"]);
        check(r#","databases":["!shop*"]"#, &["blog", "Größe"]);
        check(r#","exclude":["?????"]"#, &["shop", "shop_test", "blog"]);
        check(r#","databases":["mysql","bl?g"]"#, &["blog"]);
        check(r#","databases":[]"#, &[]);
    }

    #[test]
    fn a_name_that_is_not_there_is_missed() {
        let config = config(r#","databases":["shop","bl*","gone"]"#);
        let there = ["shop".to_owned()];
        let selection = Selection::of(&config);
        let missing: Vec<_> = selection.missing(&there).collect();
        assert_eq!(missing, ["gone"]);
    }
}
