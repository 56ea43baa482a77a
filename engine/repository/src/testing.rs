//! For tests: content for files; destinations in memory, whose operations can be made to fail, and over a folder; and the real restic, which looks there.
//! For measurements: the stages of a backup, each by itself.

mod directory;
mod files;
mod memory;
mod restic;
pub mod stages;

pub use directory::DirectoryDestination;
pub use files::{assert_same_files, described, noise};
pub use memory::{AfterPut, Call, Fault, MemoryDestination, Operation};
pub use restic::Restic;
