//! Removing locks that nobody holds any more.

use std::sync::Arc;

use strongroom_repository::lock::{Judged, unlock};
use strongroom_repository::{ErrorKind, Progress, Result};

use super::open::open_all;
use crate::engine::Engine;

/// What became of the locks at one destination.
pub struct Unlocked {
    /// Its name.
    pub destination: String,
    /// Each lock, or why nothing could be done.
    pub result: Result<Vec<Judged>>,
}

/// Removes stale locks, or `all`, at `destinations`, or at all of them. Being cancelled ends it; any other failure is in the result of its
/// destination.
pub fn unlock_all(
    engine: &Engine,
    destinations: &[String],
    all: bool,
    progress: &Arc<Progress>,
) -> Result<Vec<Unlocked>> {
    let prepared = engine.destinations(destinations, progress)?;
    let mut unlocked = Vec::new();
    for opened in open_all(&prepared, progress) {
        progress.check_cancelled()?;
        progress.step(format!("looking at the locks of {}", opened.name));
        let result = opened
            .repository
            .and_then(|repository| unlock(&repository, all));
        match result {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            result => unlocked.push(Unlocked {
                destination: opened.name,
                result,
            }),
        }
    }
    Ok(unlocked)
}
