//! Pruning repositories, one after another.

use std::sync::Arc;

use strongroom_repository::prune::{PruneOptions, Pruned, dry_run, prune};
use strongroom_repository::{Progress, Result};

use super::open::{AtDestination, at_each};
use crate::engine::Engine;

/// Prunes the repositories of `destinations`, or of all; or only says what that would do.
pub fn prune_all(
    engine: &Engine,
    destinations: &[String],
    options: &PruneOptions,
    only_plan: bool,
    progress: &Arc<Progress>,
) -> Result<Vec<AtDestination<Pruned>>> {
    at_each(engine, destinations, progress, |repository| {
        if only_plan {
            dry_run(repository, options, progress)
        } else {
            prune(repository, options, progress)
        }
    })
}
