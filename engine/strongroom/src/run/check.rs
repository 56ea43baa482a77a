//! Verifying repositories, one after another.

use std::sync::Arc;

use strongroom_repository::check::{CheckOptions, CheckReport, check};
use strongroom_repository::{Progress, Result};

use super::open::{AtDestination, at_each};
use crate::engine::Engine;

/// What a check found at one destination.
pub type Checked = AtDestination<CheckReport>;

/// Checks the repositories of `destinations`, or of all.
pub fn check_all(
    engine: &Engine,
    destinations: &[String],
    options: CheckOptions,
    progress: &Arc<Progress>,
) -> Result<Vec<Checked>> {
    at_each(engine, destinations, progress, |repository| {
        check(repository, options, progress)
    })
}
