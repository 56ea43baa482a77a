//! Verifying repositories, one after another.

use std::sync::Arc;

use strongroom_repository::check::{CheckOptions, CheckReport, check};
use strongroom_repository::{ErrorKind, Progress, Result};

use super::open::open_all;
use crate::engine::Engine;

/// What a check found at one destination.
pub struct Checked {
    /// Its name.
    pub destination: String,
    /// What was found, or why nothing could be said.
    pub result: Result<CheckReport>,
}

/// Checks the repositories of `destinations`, or of all. Being cancelled ends it; any other failure is in the result of its destination.
pub fn check_all(
    engine: &Engine,
    destinations: &[String],
    options: CheckOptions,
    progress: &Arc<Progress>,
) -> Result<Vec<Checked>> {
    let prepared = engine.destinations(destinations, progress)?;
    let mut checked = Vec::new();
    for opened in open_all(&prepared, progress) {
        let result = opened
            .repository
            .and_then(|repository| check(&repository, options, progress));
        match result {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            result => checked.push(Checked {
                destination: opened.name,
                result,
            }),
        }
    }
    Ok(checked)
}
