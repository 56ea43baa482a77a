//! Verifying repositories, one after another. Where a check that reads a share of the packs has come to is kept in the engine's state, so
//! that the next one goes on there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_repository::check::{CheckOptions, CheckReport, check};
use strongroom_repository::{Error, Id, Progress, Result};

use super::open::{AtDestination, at_each};
use crate::engine::Engine;

/// What a check found at one destination.
pub type Checked = AtDestination<CheckReport>;

/// Checks the repositories of `destinations`, or of all. `read_data` is the share of the packs to read, in percent.
pub fn check_all(
    engine: &Engine,
    destinations: &[String],
    read_data: Option<f64>,
    progress: &Arc<Progress>,
) -> Result<Vec<Checked>> {
    let is_share = read_data.is_some_and(|percent| percent < 100.0);
    at_each(engine, destinations, progress, |repository| {
        let place = Place::of(&engine.config().state_folder(), &repository.id());
        let options = CheckOptions {
            read_data,
            read_from: if is_share { place.load() } else { 0 },
        };
        let report = check(repository, options, progress)?;
        if is_share && let Err(error) = place.save(report.read_until) {
            progress.warn(format!("the next check will read the same packs: {error}"));
        }
        Ok(report)
    })
}

/// The file that says where to go on.
struct Place(PathBuf);

impl Place {
    fn of(state: &Path, repository: &Id) -> Self {
        Self(state.join("checks").join(repository.to_string()))
    }

    /// A file that is not there or makes no sense: any place is as good.
    fn load(&self) -> u64 {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        u64::from_str_radix(text.trim(), 16).unwrap_or(0)
    }

    fn save(&self, place: u64) -> Result<()> {
        let failed = |error| Error::io(format_args!("cannot write {}", self.0.display()), error);
        let folder = self.0.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder).map_err(failed)?;
        fs::write(&self.0, format!("{place:016x}\n")).map_err(failed)
    }
}
