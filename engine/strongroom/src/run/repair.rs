//! Repairing repositories, one after another.

use std::sync::Arc;

use strongroom_repository::repair::{
    IndexRepair, IndexRepairOptions, SnapshotsRepair, repair_index, repair_snapshots,
};
use strongroom_repository::{Progress, Result};

use super::open::{AtDestination, at_each};
use crate::engine::Engine;

/// Makes the index of each of `destinations` anew, or of all.
pub fn repair_indexes(
    engine: &Engine,
    destinations: &[String],
    options: IndexRepairOptions,
    progress: &Arc<Progress>,
) -> Result<Vec<AtDestination<IndexRepair>>> {
    at_each(engine, destinations, progress, |repository| {
        repair_index(repository, options, progress)
    })
}

/// Replaces the snapshots at `destinations`, or at all, that lack something.
pub fn repair_all_snapshots(
    engine: &Engine,
    destinations: &[String],
    dry_run: bool,
    progress: &Arc<Progress>,
) -> Result<Vec<AtDestination<SnapshotsRepair>>> {
    at_each(engine, destinations, progress, |repository| {
        repair_snapshots(repository, dry_run, progress)
    })
}
