//! Backups: sources in, packs, index objects and snapshots out.
//!
//! ```text
//! walk ─→ readers ─→ workers ──────────────────────────────→ uploaders (for each target)
//!         read, cut  hash, look up, compress, encrypt, verify  put, then remember for the index
//!              └──────────── file complete → directory complete → tree blob ────┘
//! commit: last packs → index objects → snapshots
//! ```
//!
//! Every arrow is a bounded queue or a bounded pool of buffers. The first error stops all threads, and nothing is committed. The error of
//! a source is none of these: the run goes on without it.

mod describe;
mod directory;
mod expected;
mod failure;
mod file;
mod filler;
pub mod manifest;
mod mounts;
mod own;
mod parent;
mod past;
mod pipeline;
mod reader;
mod root;
mod scan;
mod session;
mod sink;
mod stats;
mod storer;
mod target;
mod tree;

pub use expected::Expected;
pub use manifest::Manifest;
pub use own::OwnFolder;
pub(crate) use pipeline::worker_count;
pub use session::{BackupSession, Committed, RunInfo, SourceInfo};
pub use stats::{Problem, SourceReport};
pub(crate) use target::Target;
