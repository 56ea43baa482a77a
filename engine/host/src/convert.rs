//! Between the words of the WIT and those of the repository crate.

use strongroom_repository::progress::Level;
use strongroom_repository::source::{
    Conflict, Entry, Extraction, Kind, Outcome, Parent, RestoreRequest, Summary, Tree,
};
use strongroom_repository::target_path::TargetPath;
use strongroom_repository::verification::{
    Finding, Sampled, Scratch, Verdict, Verification, VerifyRequest,
};
use strongroom_repository::{Error, ErrorKind, text};

use crate::bindings::imports::{feed, log, sink, types};
use crate::bindings::source::exports::strongroom::plugin::source;
use crate::ground::Needs;

/// Longest text from a guest that is shown to people.
const MAX_TEXT: usize = 4096;

/// Text from a guest, made harmless for a terminal or a log, and not endless.
pub(crate) fn tidy(text: &str) -> String {
    text::tidy(text, MAX_TEXT)
}

/// An error that a guest returned.
pub(crate) fn error_from_guest(error: types::Error) -> Error {
    let converted = Error::new(kind_from_guest(error.kind), tidy(&error.message));
    match error.hint {
        Some(hint) => converted.hint(tidy(&hint)),
        None => converted,
    }
}

/// An error of the engine, for a guest. Its subject goes into the message.
pub(crate) fn error_to_guest(error: &Error) -> types::Error {
    types::Error {
        kind: kind_to_guest(error.kind()),
        message: error.to_string(),
        hint: error.hint_text().map(str::to_owned),
    }
}

fn kind_from_guest(kind: types::ErrorKind) -> ErrorKind {
    match kind {
        types::ErrorKind::InvalidConfig => ErrorKind::InvalidConfig,
        types::ErrorKind::Denied => ErrorKind::Denied,
        types::ErrorKind::Unauthenticated => ErrorKind::Unauthenticated,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        types::ErrorKind::Unavailable => ErrorKind::Unavailable,
        types::ErrorKind::TimedOut => ErrorKind::TimedOut,
        types::ErrorKind::Throttled => ErrorKind::Throttled,
        types::ErrorKind::OutOfSpace => ErrorKind::OutOfSpace,
        types::ErrorKind::Unsupported => ErrorKind::Unsupported,
        types::ErrorKind::Corrupted => ErrorKind::Corrupted,
        types::ErrorKind::Cancelled => ErrorKind::Cancelled,
        types::ErrorKind::Failed => ErrorKind::Failed,
    }
}

fn kind_to_guest(kind: ErrorKind) -> types::ErrorKind {
    match kind {
        ErrorKind::InvalidConfig => types::ErrorKind::InvalidConfig,
        ErrorKind::Denied => types::ErrorKind::Denied,
        ErrorKind::Unauthenticated => types::ErrorKind::Unauthenticated,
        ErrorKind::NotFound => types::ErrorKind::NotFound,
        ErrorKind::AlreadyExists => types::ErrorKind::AlreadyExists,
        ErrorKind::Unavailable => types::ErrorKind::Unavailable,
        ErrorKind::TimedOut => types::ErrorKind::TimedOut,
        ErrorKind::Throttled => types::ErrorKind::Throttled,
        ErrorKind::OutOfSpace => types::ErrorKind::OutOfSpace,
        ErrorKind::Unsupported => types::ErrorKind::Unsupported,
        ErrorKind::Corrupted => types::ErrorKind::Corrupted,
        ErrorKind::Cancelled => types::ErrorKind::Cancelled,
        // Locks are the engine's own affair.
        ErrorKind::Locked | ErrorKind::Failed => types::ErrorKind::Failed,
    }
}

pub(crate) fn level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::Trace,
        log::Level::Debug => Level::Debug,
        log::Level::Info => Level::Info,
        log::Level::Warn => Level::Warn,
        log::Level::Error => Level::Error,
    }
}

pub(crate) fn kind_to_source(kind: Kind) -> source::BackupKind {
    match kind {
        Kind::Full => source::BackupKind::Full,
        Kind::Incremental => source::BackupKind::Incremental,
    }
}

pub(crate) fn outcome(outcome: source::Outcome) -> Outcome {
    Outcome {
        kind: match outcome.kind {
            source::BackupKind::Full => Kind::Full,
            source::BackupKind::Incremental => Kind::Incremental,
        },
        attributes: outcome.attributes,
    }
}

pub(crate) fn restore_request(request: &RestoreRequest) -> source::RestoreRequest {
    source::RestoreRequest {
        until: request.until,
        paths: request.paths.clone(),
        options: request.options.clone(),
    }
}

pub(crate) fn entry_from_guest(entry: sink::Entry) -> Entry {
    Entry {
        path: entry.path,
        size: entry.size,
        modified: entry.modified,
        mode: entry.mode,
        fingerprint: entry.fingerprint,
    }
}

pub(crate) fn entry_to_guest(entry: Entry) -> sink::Entry {
    sink::Entry {
        path: entry.path,
        size: entry.size,
        modified: entry.modified,
        mode: entry.mode,
        fingerprint: entry.fingerprint,
    }
}

pub(crate) fn scratch(scratch: &Scratch) -> source::Scratch {
    source::Scratch {
        directory: scratch.directory.display().to_string(),
        port: scratch.port,
    }
}

pub(crate) fn needs(needs: source::Needs) -> Needs {
    Needs {
        capabilities: needs.capabilities.into_iter().map(Into::into).collect(),
        folders: needs.folders.into_iter().map(Into::into).collect(),
        user: needs.user,
    }
}

pub(crate) fn verify_request(request: &VerifyRequest) -> source::VerifyRequest {
    let assertions = request.assertions.iter().cloned();
    source::VerifyRequest {
        scratch: scratch(&request.scratch),
        assertions: assertions
            .map(|it| source::Assertion {
                database: it.database,
                sql: it.sql,
            })
            .collect(),
        percent: request.percent,
    }
}

pub(crate) fn verification(verification: source::Verification) -> Verification {
    let finding = |finding: source::Finding| Finding {
        verdict: match finding.verdict {
            source::Verdict::Passed => Verdict::Passed,
            source::Verdict::Failed => Verdict::Failed,
            source::Verdict::Skipped => Verdict::Skipped,
        },
        subject: tidy(&finding.subject),
        detail: tidy(&finding.detail),
    };
    Verification {
        findings: verification.findings.into_iter().map(finding).collect(),
        attributes: verification.attributes,
    }
}

pub(crate) fn sampled(sampled: Sampled) -> feed::Sampled {
    feed::Sampled {
        files: sampled.files,
        bytes: sampled.bytes,
        of_files: sampled.of_files,
        different: sampled.different,
    }
}

/// `root` is the directory that the grant let through, not the guest's spelling of it.
pub(crate) fn tree(tree: sink::Tree, root: std::path::PathBuf) -> Tree {
    Tree {
        root,
        exclude: tree.exclude,
        exclude_if_present: tree.exclude_if_present,
        exclude_caches: tree.exclude_caches,
        one_file_system: tree.one_file_system,
    }
}

/// `target` is the directory that the grant let through.
pub(crate) fn extraction(extraction: &feed::Extraction, target: TargetPath) -> Extraction {
    Extraction {
        target,
        on_conflict: match extraction.on_conflict {
            feed::Conflict::Overwrite => Conflict::Overwrite,
            feed::Conflict::KeepExisting => Conflict::KeepExisting,
            feed::Conflict::Fail => Conflict::Fail,
        },
        delete_extra: extraction.delete_extra,
    }
}

pub(crate) fn summary(summary: Summary) -> sink::Summary {
    sink::Summary {
        files: summary.files,
        bytes: summary.bytes,
        new_bytes: summary.new_bytes,
    }
}

pub(crate) fn parent(parent: Parent) -> sink::Parent {
    sink::Parent {
        id: parent.id,
        created: parent.created,
        attributes: parent.attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_guest_cannot_steer_a_terminal() {
        assert_eq!(tidy(" red \u{1b}[31m\nalert\t\n"), "red  [31m alert");
        assert_eq!(tidy("\u{202e}gpj.exe\u{2066}"), " gpj.exe ");
        assert_eq!(
            tidy(&"é".repeat(MAX_TEXT + 9)).chars().count(),
            MAX_TEXT + 1
        );
    }
}
