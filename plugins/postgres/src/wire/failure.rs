//! What the server or the connection says when something goes wrong: its fields in, an error for people out.

use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;
use strongroom_plugin::{Error, ErrorKind};

/// An error or notice of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// Such as `ERROR`, `FATAL`, `WARNING`; not translated.
    pub(crate) severity: String,
    /// Five letters and digits.
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
}

/// Why a request failed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The server refused.
    Server(ServerError),
    /// Anything else.
    Other(Error),
}

impl ServerError {
    pub(crate) fn read(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let mut error = Self::default();
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' if error.severity.is_empty() => error.severity = value,
                // Not translated, unlike `S`.
                b'V' => error.severity = value,
                b'C' => error.sqlstate = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                _ => {}
            }
        }
        Ok(error)
    }

    /// Whether the server ends the connection with it.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    fn kind(&self) -> ErrorKind {
        match self.sqlstate.as_str() {
            "28000" | "28P01" => ErrorKind::Unauthenticated,
            "42501" => ErrorKind::Denied,
            "3D000" | "42704" | "58P01" => ErrorKind::NotFound,
            "42P04" | "42710" => ErrorKind::AlreadyExists,
            "53100" => ErrorKind::OutOfSpace,
            "53300" | "57P01" | "57P02" | "57P03" => ErrorKind::Unavailable,
            "55006" => ErrorKind::Unavailable,
            "XX001" | "XX002" => ErrorKind::Corrupted,
            "0A000" => ErrorKind::Unsupported,
            "57014" => ErrorKind::TimedOut,
            other if other.starts_with("08") => ErrorKind::Unavailable,
            _ => ErrorKind::Failed,
        }
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        let kind = error.kind();
        let ServerError {
            sqlstate,
            message,
            detail,
            hint,
            ..
        } = error;
        let detail = detail.map(|detail| format!(": {detail}"));
        let detail = detail.unwrap_or_default().replace('\n', "; ");
        let made = Error::new(kind, format!("{message}{detail} (SQLSTATE {sqlstate})"));
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

impl Failure {
    /// Whether the server refused with this SQLSTATE.
    pub(crate) fn is(&self, sqlstate: &str) -> bool {
        matches!(self, Self::Server(error) if error.sqlstate == sqlstate)
    }

    /// Whether whoever refused said these words.
    pub(crate) fn speaks_of(&self, words: &str) -> bool {
        matches!(self, Self::Server(error) if error.message.contains(words))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Server(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let error = match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                let message = format!("what answers does not speak as PostgreSQL does: {error}");
                Error::new(ErrorKind::Failed, message)
            }
            io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::Unavailable, "the server closed the connection")
            }
            _ => error.into(),
        };
        Self::Other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_server_says_why_and_by_which_code() {
        let error = ServerError {
            severity: "FATAL".into(),
            sqlstate: "28P01".into(),
            message: "password authentication failed for user \"backup\"".into(),
            detail: Some("one\ntwo".into()),
            hint: Some("try harder".into()),
        };
        assert!(error.is_fatal());
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(
            error.message(),
            "password authentication failed for user \"backup\": one; two (SQLSTATE 28P01)"
        );
        assert_eq!(error.hint_text(), Some("try harder"));
    }
}
