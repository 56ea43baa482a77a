//! What a session is told before its first query, so that names, operators and literals mean what they mean to us: whoever owns a database may set
//! other defaults for it (`ALTER DATABASE … SET`), and would run as the role that backs up by the name of a function that we call.
//!
//! What comes with the login outranks what was set for databases and roles. A connection pooler may drop it, so it is said again.

/// Settings that change what a statement means, or who runs it. All servers have them, and any role may set them.
const PINNED: &[(&str, &str)] = &[
    // First, as everything that follows is looked up by it.
    ("search_path", "pg_catalog"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("DateStyle", "ISO,YMD"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    // Rows are refused rather than left out.
    ("row_security", "off"),
    ("client_min_messages", "warning"),
];

/// Those that hold for questions of the operator too, which otherwise see a database as its users do.
const ALWAYS: &[(&str, &str)] = &[
    ("role", "none"),
    ("exit_on_error", "off"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "read committed"),
    // A connection waits for a long dump, and a count takes as long as it takes.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// Loaded at the login, and never again.
const AT_LOGIN: &[(&str, &str)] = &[("local_preload_libraries", "")];

/// Time limits that only some versions have.
const MORE_TIMEOUTS: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
    WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY['idle_session_timeout', 'transaction_timeout'])";

/// By whose settings names are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// By ours.
    Pinned,
    /// By those of the database, for questions that the operator wrote.
    OfTheDatabase,
}

impl Session {
    fn settings(self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        let pinned: &[_] = match self {
            Self::Pinned => PINNED,
            Self::OfTheDatabase => &[],
        };
        pinned.iter().chain(ALWAYS)
    }

    /// For the `options` of a login, and `PGOPTIONS`.
    pub(crate) fn options(self) -> String {
        let settings = self.settings().chain(AT_LOGIN);
        let options = settings.map(|(name, value)| format!("-c {name}={}", escaped(value)));
        options.collect::<Vec<_>>().join(" ")
    }

    /// The first statements of a session.
    pub(crate) fn statements(self) -> String {
        let settings = self.settings();
        let statements = settings.map(|(name, value)| match value.split_once(',') {
            Some((first, second)) => format!("SET {name} TO '{first}', '{second}'; "),
            None => format!("SET {name} TO '{value}'; "),
        });
        statements.collect::<String>() + MORE_TIMEOUTS
    }
}

/// The server splits options at blanks.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(' ', "\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ours_before_anything_is_looked_up() {
        let statements = Session::Pinned.statements();
        assert!(statements.starts_with("SET search_path TO 'pg_catalog'; "));
        assert!(statements.contains("SET DateStyle TO 'ISO', 'YMD'; "));
        let options = Session::Pinned.options();
        assert!(options.starts_with("-c search_path=pg_catalog "));
        assert!(options.contains(r"-c default_transaction_isolation=read\ committed "));
        assert!(options.ends_with("-c local_preload_libraries="));
    }

    #[test]
    fn a_question_of_the_operator_keeps_the_database_s_names_and_not_its_role() {
        let statements = Session::OfTheDatabase.statements();
        assert!(!statements.contains("search_path"));
        assert!(statements.starts_with("SET role TO 'none'; "));
    }
}
