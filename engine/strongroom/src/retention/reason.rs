//! Why a backup is kept, in words.

use std::fmt;

use super::cascade::Rule;

/// Why a backup is kept. It may have several reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The policy has no rule.
    NoRule,
    /// It stands for a period of the calendar.
    Calendar {
        /// Which rule.
        rule: Rule,
        /// Counted from the newest, which is 1.
        number: usize,
        /// The period's name.
        name: String,
    },
    /// It is one of the newest complete ones.
    Last {
        /// Counted from the newest, which is 1.
        number: usize,
        /// How many the rule keeps.
        of: usize,
    },
    /// It is young enough, beside the newest one.
    Within(String),
    /// It is one of the newest complete ones that are not young enough.
    LastBeyond {
        /// Counted from the newest, which is 1.
        number: usize,
        /// How many the rule keeps.
        of: usize,
    },
    /// The newest complete one is kept, whatever the rules say.
    NewestComplete,
    /// It is incomplete, and there is no complete one that is newer.
    NewerThanComplete,
    /// Its time has not come yet: a clock was wrong, or is.
    Future,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule"),
            Self::Calendar { rule, number, name } => {
                write!(
                    f,
                    "{} {number} of {}: {name}",
                    rule.period.rule(),
                    rule.count
                )
            }
            Self::Last { number, of } => write!(f, "last {number} of {of}"),
            Self::Within(span) => write!(f, "within {span}"),
            Self::LastBeyond { number, of } => write!(f, "last beyond {number} of {of}"),
            Self::NewestComplete => f.write_str("newest complete"),
            Self::NewerThanComplete => f.write_str("newer than any complete one"),
            Self::Future => f.write_str("from the future"),
        }
    }
}
