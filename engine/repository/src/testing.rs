//! Destinations for tests: one in memory, whose operations can be made to fail, and one over a folder, where restic can look.

mod directory;
mod memory;

pub use directory::DirectoryDestination;
pub use memory::{Call, Fault, MemoryDestination, Operation};
