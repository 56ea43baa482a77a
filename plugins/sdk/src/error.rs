//! What went wrong: a kind that the engine acts on, a message that a person reads, and a hint at the next thing to try.

use std::fmt::{self, Display};
use std::io;

use crate::bindings::plugin::strongroom::plugin::types;

pub use types::ErrorKind;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation.
///
/// The engine retries [`Unavailable`](ErrorKind::Unavailable), [`TimedOut`](ErrorKind::TimedOut) and
/// [`Throttled`](ErrorKind::Throttled), and never reads the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// A new error. `message` is lower case, without a full stop, and says what and where.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// A wrong configuration, with the key that is wrong.
    pub fn invalid_config(key: impl Display, problem: impl Display) -> Self {
        Self::new(ErrorKind::InvalidConfig, format!("{key}: {problem}"))
    }

    /// Names what the error is about, before the message. The outermost subject comes first.
    #[must_use]
    pub fn on(mut self, subject: impl Display) -> Self {
        self.message = format!("{subject}: {}", self.message);
        self
    }

    /// The next thing to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Why it failed.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What and where.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The next thing to try.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Says what an operation was about, when it fails: `std::fs::read_dir(&path).on(&path)?`.
pub trait Context<T> {
    /// Names what the error is about.
    fn on(self, subject: impl Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn on(self, subject: impl Display) -> Result<T> {
        self.map_err(|error| error.into().on(subject))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    /// An [`Error`] that travelled inside an [`io::Error`], as those of writers and readers do, comes out as it was.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::new(kind_of_io(&error), reason(&error)),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        Self {
            kind: error.kind,
            message: error.message,
            hint: error.hint,
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind,
            message: error.message,
            hint: error.hint,
        }
    }
}

fn kind_of_io(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
        Io::AlreadyExists => ErrorKind::AlreadyExists,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::OutOfSpace,
        Io::TimedOut => ErrorKind::TimedOut,
        Io::Unsupported => ErrorKind::Unsupported,
        Io::ConnectionRefused
        | Io::ConnectionReset
        | Io::ConnectionAborted
        | Io::BrokenPipe
        | Io::HostUnreachable
        | Io::NetworkUnreachable
        | Io::NetworkDown => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    }
}

/// The system's words, in lower case and without Rust's "(os error 13)".
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "input or output failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_keeps_its_kind() {
        let check = |io, kind| assert_eq!(Error::from(io::Error::from(io)).kind(), kind, "{io:?}");
        check(io::ErrorKind::NotFound, ErrorKind::NotFound);
        check(io::ErrorKind::PermissionDenied, ErrorKind::Denied);
        check(io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Denied);
        check(io::ErrorKind::AlreadyExists, ErrorKind::AlreadyExists);
        check(io::ErrorKind::StorageFull, ErrorKind::OutOfSpace);
        check(io::ErrorKind::QuotaExceeded, ErrorKind::OutOfSpace);
        check(io::ErrorKind::FileTooLarge, ErrorKind::OutOfSpace);
        check(io::ErrorKind::ConnectionReset, ErrorKind::Unavailable);
        check(io::ErrorKind::InvalidData, ErrorKind::Failed);
    }

    #[test]
    fn a_message_of_the_system_is_lower_case_and_without_a_number() {
        let error = std::fs::File::open("/does/not/exist")
            .on("/does/not/exist")
            .expect_err("there is no such file");
        assert_eq!(
            error.message(),
            "/does/not/exist: no such file or directory"
        );
    }

    #[test]
    fn an_error_survives_the_way_through_io() {
        let error = Error::new(ErrorKind::Throttled, "the engine is busy").hint("wait");
        assert_eq!(Error::from(io::Error::from(error.clone())), error);
    }
}
