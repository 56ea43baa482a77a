//! How the program ends: exit codes, and what is said on the way out.

use strongroom_repository::{Error, ErrorKind};

/// Why the program ends, what matters least first: of several things that were done, the greatest is what is said.
// Without numbers, by which they would be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Done,
    /// Done, but incomplete: something could not be read or is lost, and was named.
    Incomplete,
    /// Failed; nothing half-made is left that counts as a backup.
    Failed,
    /// Wrong usage or configuration; nothing was touched.
    Usage,
    /// Cancelled by the user.
    Cancelled,
}

impl Exit {
    /// For an error that ends the program.
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidConfig => Self::Usage,
            ErrorKind::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }

    /// The number for the operating system, which is a promise to scripts.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 3,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Cancelled => 130,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_more_is_what_is_said() {
        let check = |one: Exit, other: Exit, code| {
            assert_eq!(one.max(other).code(), code);
            assert_eq!(other.max(one).code(), code);
        };
        check(Exit::Done, Exit::Done, 0);
        check(Exit::Done, Exit::Incomplete, 3);
        check(Exit::Incomplete, Exit::Failed, 1);
        check(Exit::Failed, Exit::Usage, 2);
        check(Exit::Failed, Exit::Cancelled, 130);
    }
}
