//! What went wrong: kind, subject, message and the next thing to try.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. The same words as the plugin ABI's `error-kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The configuration is wrong.
    InvalidConfig,
    /// The operation was not allowed.
    Denied,
    /// The password or credential is wrong.
    Unauthenticated,
    /// The object, file or backup does not exist.
    NotFound,
    /// The object or file exists already.
    AlreadyExists,
    /// The other side could not be reached for now.
    Unavailable,
    /// A deadline passed.
    TimedOut,
    /// The other side asked for a pause.
    Throttled,
    /// The destination is full.
    OutOfSpace,
    /// The format version or feature is not supported.
    Unsupported,
    /// Bytes are not what they were when they were written.
    Corrupted,
    /// The user cancelled the run.
    Cancelled,
    /// The repository is locked by another process.
    Locked,
    /// Anything else.
    Failed,
}

/// A failed operation: what and where in one line, and a hint where there is a next thing to try.
///
/// Boxed, so that a `Result` stays small on hot paths.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    subject: Option<String>,
    message: String,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error. `message` is lower case, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            subject: None,
            message: message.into(),
            hint: None,
            source: None,
        }))
    }

    /// Bytes that are not what they were.
    pub fn corrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupted, message)
    }

    /// The run was cancelled by the user.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// From an error of the operating system, with its kind translated.
    pub fn io(message: impl fmt::Display, error: std::io::Error) -> Self {
        let kind = kind_of_io(&error);
        Self::new(kind, format!("{message}: {}", io_reason(&error))).caused_by(error)
    }

    /// The system has no thread for us.
    pub fn no_thread(error: std::io::Error) -> Self {
        Self::io("cannot start a thread", error).hint(
            "this user or container may have no more processes and threads: raise the limit (`ulimit -u`, TasksMax of a systemd unit, pids of a container)",
        )
    }

    /// Names what the error is about: a repository, an object, a plugin, a path. The outermost subject comes first.
    #[must_use]
    pub fn on(mut self, subject: impl fmt::Display) -> Self {
        self.0.subject = Some(match self.0.subject.take() {
            Some(inner) => format!("{subject}: {inner}"),
            None => subject.to_string(),
        });
        self
    }

    /// As [`on`](Self::on), where no nearer layer has named anything.
    #[must_use]
    pub fn or_on(self, subject: impl fmt::Display) -> Self {
        match self.0.subject {
            None => self.on(subject),
            Some(_) => self,
        }
    }

    /// The next thing to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the underlying error for `Error::source`.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Why it failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What it is about.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The message without subject and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The next thing to try.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether stored bytes are wrong or gone, rather than that looking at them failed.
    pub fn is_damage(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Corrupted | ErrorKind::NotFound)
    }

    /// Whether trying again may help. Asks the kind, never the message.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Throttled
        )
    }
}

fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
        Io::AlreadyExists => ErrorKind::AlreadyExists,
        Io::TimedOut => ErrorKind::TimedOut,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::OutOfSpace,
        _ => ErrorKind::Failed,
    }
}

/// The system's words without Rust's "(os error 13)".
fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = reason.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.0.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match &self.0.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
