//! From what WASI says went wrong to what the engine understands.

use strongroom_plugin::{Error, ErrorKind};
use wasip2::filesystem::types::ErrorCode;

/// In lower case, as all messages. `subject` is the key or directory.
pub(crate) fn failure(subject: &str, code: ErrorCode) -> Error {
    let kind = match code {
        ErrorCode::Access | ErrorCode::NotPermitted | ErrorCode::ReadOnly => ErrorKind::Denied,
        ErrorCode::NoEntry => ErrorKind::NotFound,
        ErrorCode::Exist => ErrorKind::AlreadyExists,
        ErrorCode::InsufficientSpace | ErrorCode::Quota | ErrorCode::FileTooLarge => {
            ErrorKind::OutOfSpace
        }
        ErrorCode::Busy | ErrorCode::WouldBlock => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    };
    let error = Error::new(kind, words(code)).on(subject);
    match code {
        ErrorCode::InsufficientSpace => error.hint("free some space: remove old backups with `strongroom forget`, then run `strongroom prune`"),
        // wasmtime-wasi 48 has no words for EROFS, EDQUOT and ESTALE and says "i/o error" instead.
        ErrorCode::Io => error.hint(
            "the file system may be mounted read-only, over its quota, gone, or damaged: see the system's log",
        ),
        _ => error,
    }
}

fn words(code: ErrorCode) -> String {
    match code {
        ErrorCode::Access => "permission denied".into(),
        ErrorCode::NotPermitted => "operation not permitted".into(),
        ErrorCode::ReadOnly => "read-only file system".into(),
        ErrorCode::NoEntry => "no such file".into(),
        ErrorCode::Exist => "exists already".into(),
        ErrorCode::InsufficientSpace => "no space left on device".into(),
        ErrorCode::Quota => "disk quota exceeded".into(),
        ErrorCode::FileTooLarge => "file too large".into(),
        ErrorCode::NotDirectory => "not a directory".into(),
        ErrorCode::IsDirectory => "is a directory".into(),
        ErrorCode::Io => "i/o error".into(),
        other => other.name().replace('-', " "),
    }
}
