//! What a user may do: what the server answers to `SHOW GRANTS` comes in, whether a privilege holds for a database goes out.
//!
//! The answer has the rights of the roles that are active too.

use strongroom_plugin::Result;

use crate::client::Session;

/// What stands in the place of every privilege.
const ALL: [&str; 2] = ["ALL PRIVILEGES", "ALL"];

/// The rights of a user.
pub(crate) struct Grants {
    grants: Vec<Grant>,
    /// Whether parts of them are taken away again, as MySQL can.
    is_partly_revoked: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Grant {
    privileges: Vec<String>,
    on: Scope,
}

#[derive(Debug, PartialEq, Eq)]
enum Scope {
    Everything,
    /// By a pattern with `_` and `%`.
    Database(String),
    Table(String, String),
}

impl Grants {
    /// Those of the user who is logged in.
    pub(crate) fn of(session: &mut Session) -> Result<Self> {
        let rows = session.query("SHOW GRANTS")?;
        Ok(Self::parse(rows.iter().filter_map(|row| row.at(0))))
    }

    fn parse<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Self {
        Self {
            grants: lines.clone().filter_map(parse).collect(),
            is_partly_revoked: lines.clone().any(|line| line.starts_with("REVOKE ")),
        }
    }

    /// Whether the user surely may read every table of a database. Where not, the tables have to be asked one by one.
    pub(crate) fn reads_all_of(&self, database: &str) -> bool {
        !self.is_partly_revoked && self.on("SELECT", database)
    }

    /// Whether the user has this privilege on everything.
    pub(crate) fn everywhere(&self, privilege: &str) -> bool {
        self.any(privilege, |on| *on == Scope::Everything)
    }

    /// Whether the user has this privilege on all of a database.
    pub(crate) fn on(&self, privilege: &str, database: &str) -> bool {
        self.any(privilege, |on| match on {
            Scope::Everything => true,
            Scope::Database(pattern) => matches(pattern, database),
            Scope::Table(..) => false,
        })
    }

    /// Whether the user has this privilege on a table.
    pub(crate) fn on_table(&self, privilege: &str, database: &str, table: &str) -> bool {
        let is_it = |on: &Scope| matches!(on, Scope::Table(a, b) if a == database && b == table);
        self.on(privilege, database) || self.any(privilege, is_it)
    }

    fn any(&self, privilege: &str, is_meant: impl Fn(&Scope) -> bool) -> bool {
        let mut grants = self.grants.iter();
        grants.any(|grant| grant.has(privilege) && is_meant(&grant.on))
    }
}

impl Grant {
    fn has(&self, privilege: &str) -> bool {
        let mut all = self.privileges.iter();
        all.any(|it| it == privilege || ALL.contains(&it.as_str()))
    }
}

/// From ``GRANT SELECT, TRIGGER ON `shop`.* TO …``. None of a role that is granted, and of what is granted on a single routine.
fn parse(line: &str) -> Option<Grant> {
    let (privileges, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let plain = |name: &str| name.replace("``", "`");
    let on = if rest.starts_with("*.* ") {
        Scope::Everything
    } else {
        let rest = rest.strip_prefix('`')?;
        match rest.split_once("`.* ") {
            Some((database, _)) => Scope::Database(plain(database)),
            None => {
                let (database, rest) = rest.split_once("`.`")?;
                let (table, _) = rest.split_once("` ")?;
                Scope::Table(plain(database), plain(table))
            }
        }
    };
    Some(Grant {
        privileges: privileges.split(", ").map(str::to_owned).collect(),
        on,
    })
}

/// Whether `name` is what the pattern of a grant says, `%` being any letters, `_` any one, and what follows a backslash itself.
fn matches(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    let wanted = match letters.next() {
        None => return name.is_empty(),
        Some('%') => {
            let rest = letters.as_str();
            let ends = name.char_indices().map(|(at, _)| at);
            return ends
                .chain([name.len()])
                .any(|at| name.get(at..).is_some_and(|name| matches(rest, name)));
        }
        Some('_') => None,
        Some('\\') => letters.next(),
        letter => letter,
    };
    let mut others = name.chars();
    let found = others.next();
    found.is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
        && matches(letters.as_str(), others.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privilege_holds_for_everything_or_for_databases_of_a_pattern() {
        let lines = [
            "GRANT `seller`@`%` TO `backup`@`%`",
            "GRANT SELECT, LOCK TABLES ON *.* TO `backup`@`%` IDENTIFIED BY PASSWORD 'x'",
            "GRANT SHOW_ROUTINE ON *.* TO `backup`@`%`",
            "GRANT TRIGGER ON `sh\\_p%`.* TO `backup`@`%`",
            "GRANT ALL PRIVILEGES ON `b_og`.* TO `seller`@`%`",
            "GRANT TRIGGER ON `crm`.`one table` TO `backup`@`%`",
            "SET DEFAULT ROLE `seller` FOR `backup`@`%`",
        ];
        let grants = Grants::parse(lines.into_iter());
        let check = |privilege, database, expected| {
            assert_eq!(
                grants.on(privilege, database),
                expected,
                "{privilege} {database}"
            );
        };
        check("LOCK TABLES", "any", true);
        check("TRIGGER", "sh_p", true);
        check("TRIGGER", "sh_p_2", true);
        check("TRIGGER", "shop", false);
        check("TRIGGER", "blog", true);
        check("TRIGGER", "bloog", false);
        check("TRIGGER", "crm", false);
        assert!(grants.on_table("TRIGGER", "crm", "one table"));
        assert!(grants.on_table("TRIGGER", "blog", "any"));
        assert!(!grants.on_table("TRIGGER", "crm", "another"));
        assert!(grants.everywhere("SHOW_ROUTINE"));
        assert!(!grants.everywhere("TRIGGER"));
        assert!(grants.reads_all_of("crm"));
        let lines = [
            "GRANT SELECT ON *.* TO `b`@`%`",
            "REVOKE SELECT ON `crm`.* FROM `b`@`%`",
        ];
        assert!(!Grants::parse(lines.into_iter()).reads_all_of("crm"));
        let lines = ["GRANT SELECT (`id`) ON `crm`.`t` TO `b`@`%`"];
        assert!(!Grants::parse(lines.into_iter()).on_table("SELECT", "crm", "t"));
    }
}
