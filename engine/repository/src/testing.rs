//! For tests: destinations in memory, whose operations can be made to fail, and over a folder; and the real restic, which looks there.

mod directory;
mod memory;
mod restic;

pub use directory::DirectoryDestination;
pub use memory::{Call, Fault, MemoryDestination, Operation};
pub use restic::Restic;
