//! Repair: a damaged repository in, one out that is whole again, as far as its bytes are there, and the names of what is lost.

mod header;
mod index;
mod snapshots;
mod tree;

use crate::Error;
use crate::check::Finding;

pub use index::{IndexRepair, IndexRepairOptions, repair_index};
pub use snapshots::{Fate, SnapshotRepair, SnapshotsRepair, repair_snapshots};
pub use tree::Change;

/// What is wrong with an object.
fn finding(subject: impl Into<String>, error: &Error) -> Finding {
    Finding {
        subject: subject.into(),
        message: error.message().to_owned(),
    }
}
