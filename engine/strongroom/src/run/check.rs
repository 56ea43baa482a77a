//! Verifying repositories, one after another. Where a check that reads a share of the packs has come to is kept in the engine's state, so
//! that the next one goes on there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_repository::check::{CheckOptions, CheckReport, check};
use strongroom_repository::{Error, ErrorKind, Progress, Repository, Result};

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
        let place = Place::of(&engine.config().state_folder(), repository);
        let options = CheckOptions {
            read_data,
            read_from: if is_share { place.load()? } else { 0 },
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
    /// Of one destination alone: repositories that were copied file by file share their id, and each has damage of its own.
    fn of(state: &Path, repository: &Repository) -> Self {
        let folder = state.join("checks").join(repository.name());
        Self(folder.join(repository.id().to_string()))
    }

    /// Where no place is kept, or none that makes sense, a random one: always the same first packs would be read where nothing stays of the
    /// state, as in a container.
    fn load(&self) -> Result<u64> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        match u64::from_str_radix(text.trim(), 16) {
            Ok(place) => Ok(place),
            Err(_) => getrandom::u64().map_err(|error| {
                Error::new(
                    ErrorKind::Failed,
                    format!("the system gives no random numbers: {error}"),
                )
            }),
        }
    }

    fn save(&self, place: u64) -> Result<()> {
        let failed = |error| Error::io(format_args!("cannot write {}", self.0.display()), error);
        let folder = self.0.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder).map_err(failed)?;
        fs::write(&self.0, format!("{place:016x}\n")).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_and_without_one_any_is_as_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place(folder.path().join("nas").join("id"));
        let load = || place.load().expect("a place");
        assert_ne!(load(), load());
        place.save(77).expect("is written");
        assert_eq!((load(), load()), (77, 77));
        fs::write(&place.0, "nonsense").expect("written");
        assert_ne!(load(), load());
    }
}
