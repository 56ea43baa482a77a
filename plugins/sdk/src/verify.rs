//! Proving a backup, as a source sees it: where, by what means, and what came of it.

use std::fmt::Display;

use crate::bindings::source::exports::strongroom::plugin::source;
use crate::{Attributes, Capability, Error, ErrorKind, Result};

/// A question that the restored data has to answer with true.
pub use source::Assertion;
/// One thing that was looked at.
pub use source::Finding;
/// What a verification takes.
pub use source::Needs;
/// Where a backup is proven: made for it, and removed afterwards.
pub use source::Scratch;
/// What came of one thing.
pub use source::Verdict;
/// What came of it all. The backup is proven if something passed and nothing failed.
pub use source::Verification;
/// What is to be proven, where.
pub use source::VerifyRequest;

/// Longest part of a question that is shown.
const SHOWN: usize = 60;

impl Assertion {
    /// The question on one line, not too long, as the subject of a [`Finding`].
    pub fn subject(&self) -> String {
        let words: Vec<_> = self.sql.split_whitespace().collect();
        let text = words.join(" ");
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }

    /// Where to ask: in the database that is named, or in the only one of `databases`.
    pub fn database_of<'a>(&'a self, databases: &[&'a str]) -> Result<&'a str> {
        match (&self.database, databases) {
            (Some(database), _) => Ok(database),
            (None, [only]) => Ok(only),
            (None, several) => {
                let problem = format!(
                    "the assertion '{}' names no database, and the backup has {}",
                    self.subject(),
                    several.len()
                );
                Err(Error::new(ErrorKind::InvalidConfig, problem)
                    .hint("write { database = \"NAME\", sql = \"…\" }"))
            }
        }
    }
}

impl Scratch {
    /// The address of a server of its own.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A path below the directory.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }
}

impl Needs {
    /// All of the scratch directory, and nothing else.
    pub fn of(scratch: &Scratch) -> Self {
        Self {
            capabilities: vec![Capability::Write(scratch.directory.clone())],
            folders: Vec::new(),
            user: None,
        }
    }

    /// Adds connections to the scratch port.
    #[must_use]
    pub fn server(mut self, scratch: &Scratch) -> Self {
        self.capabilities
            .push(Capability::Connect(scratch.address()));
        self
    }

    /// Adds programs.
    #[must_use]
    pub fn programs(mut self, names: &[&str]) -> Self {
        let programs = names.iter().map(|&name| Capability::Command(name.into()));
        self.capabilities.extend(programs);
        self
    }
}

impl Finding {
    /// It is as it should be.
    pub fn passed(subject: impl Display, detail: impl Display) -> Self {
        Self::new(Verdict::Passed, subject, detail)
    }

    /// It is not as it should be: the backup is not proven.
    pub fn failed(subject: impl Display, detail: impl Display) -> Self {
        Self::new(Verdict::Failed, subject, detail)
    }

    /// It could not be looked at.
    pub fn skipped(subject: impl Display, detail: impl Display) -> Self {
        Self::new(Verdict::Skipped, subject, detail)
    }

    fn new(verdict: Verdict, subject: impl Display, detail: impl Display) -> Self {
        Self {
            verdict,
            subject: subject.to_string(),
            detail: detail.to_string(),
        }
    }
}

/// A number of things: `1 table`, `3 tables`.
pub fn several(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

impl Verification {
    /// Without findings yet.
    pub fn new(attributes: Attributes) -> Self {
        Self {
            findings: Vec::new(),
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assertion(database: Option<&str>, sql: &str) -> Assertion {
        Assertion {
            database: database.map(str::to_owned),
            sql: sql.into(),
        }
    }

    #[test]
    fn where_to_ask_is_said_or_clear() {
        let check = |database: Option<&str>, databases: &[&str], expected: Option<&str>| {
            let assertion = assertion(database, "select true");
            assert_eq!(assertion.database_of(databases).ok(), expected);
        };
        check(Some("shop"), &["crm", "shop"], Some("shop"));
        check(None, &["shop"], Some("shop"));
        check(None, &["crm", "shop"], None);
        check(None, &[], None);
    }

    #[test]
    fn a_long_question_is_shown_in_part_and_on_one_line() {
        assert_eq!(assertion(None, "select\n  1").subject(), "select 1");
        let long = assertion(None, &"é".repeat(61)).subject();
        assert_eq!(long, "é".repeat(60) + "…");
    }
}
