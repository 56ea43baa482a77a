//! Backup repositories in the restic format, version 2: written and read here, and readable by the stock `restic`.
//!
//! This crate knows no plugins, configuration files, HTTP or SQL. It is given a [`Destination`] that keeps objects and a [`Source`] that
//! produces data.

pub mod crypto;
pub mod destination;
mod error;
mod id;
pub mod progress;
pub mod source;
pub mod tree;

pub use destination::Destination;
pub use error::{Error, ErrorKind, Result};
pub use id::Id;
pub use progress::Progress;
pub use source::Source;
