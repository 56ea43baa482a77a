//! How the program ends: exit codes, and what is said on the way out.

use strongroom_repository::{Error, ErrorKind};

/// Why the program ends. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Done, but incomplete: something could not be read or is lost, and was named.
    Incomplete = 3,
    /// Failed; nothing half-made is left that counts as a backup.
    Failed = 1,
    /// Wrong usage or configuration; nothing was touched.
    Usage = 2,
    /// Cancelled by the user.
    Cancelled = 130,
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

    /// The number for the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }
}
