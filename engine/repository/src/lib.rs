//! Backup repositories in the restic format: written and read here, and readable by the stock `restic`. New ones have version 2; those of
//! version 1 are read, and added to without compression.
//!
//! This crate knows no plugins, configuration files, HTTP or SQL. It is given a [`Destination`] that keeps objects and a [`Source`] that
//! produces data.

mod absent;
pub mod backup;
mod beneath;
mod blob;
pub mod blobs;
pub mod buffer;
pub mod check;
pub mod chunker;
pub mod config;
pub mod contents;
pub mod copy;
pub mod crypto;
mod decode;
mod descriptors;
pub mod destination;
pub mod diff;
mod encode;
mod error;
pub mod exclude;
pub mod feed;
pub mod file;
pub mod find;
pub mod forget;
mod guard;
pub mod holes;
mod id;
pub mod identity;
pub mod index;
pub mod init;
#[cfg(test)]
mod interleavings;
pub mod keys;
mod links;
pub mod lock;
pub mod loss;
mod machine;
pub mod metadata;
mod mount;
pub mod object;
pub mod pack;
mod parallel;
pub mod polynomial;
mod prefetch;
pub mod progress;
pub mod prune;
mod recovery_key;
pub mod repair;
pub mod repository;
mod reserve;
pub mod restore;
pub mod retry;
pub mod sample;
mod save_pack;
mod sha256;
pub mod snapshot;
pub mod source;
pub mod tar;
pub mod target_path;
pub mod target_root;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
mod time;
pub mod tree;
pub mod upgrade;
pub mod verification;
pub mod walk;

pub use blob::{BlobType, PackedBlob};
pub use destination::Destination;
pub use error::{Error, ErrorKind, Result};
pub use file::FileType;
pub use id::Id;
pub use init::InitOptions;
pub use lock::Lock;
pub use polynomial::Polynomial;
pub use progress::Progress;
pub use recovery_key::RecoveryKey;
pub use repository::Repository;
pub use reserve::RESERVE_KEY;
pub use snapshot::Snapshot;
pub use source::Source;
pub use time::Time;
