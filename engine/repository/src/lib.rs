//! Backup repositories in the restic format, version 2: written and read here, and readable by the stock `restic`.
//!
//! This crate knows no plugins, configuration files, HTTP or SQL. It is given a [`Destination`] that keeps objects and a [`Source`] that
//! produces data.

pub mod config;
mod beneath;
pub mod crypto;
pub mod destination;
mod error;
pub mod file;
mod id;
pub mod identity;
pub mod keys;
pub mod lock;
pub mod metadata;
pub mod object;
mod parallel;
pub mod polynomial;
pub mod progress;
mod recovery_key;
pub mod repository;
pub mod retry;
pub mod snapshot;
pub mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
pub mod tree;

pub use destination::Destination;
pub use error::{Error, ErrorKind, Result};
pub use file::FileType;
pub use id::Id;
pub use lock::Lock;
pub use polynomial::Polynomial;
pub use progress::Progress;
pub use recovery_key::RecoveryKey;
pub use repository::{InitOptions, Repository};
pub use snapshot::Snapshot;
pub use source::Source;
pub use time::Time;
