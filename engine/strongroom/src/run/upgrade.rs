//! Bringing repositories to the newest format version, one after another. The old config of each is kept in the engine's state.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_repository::upgrade::{Upgrade, upgrade};
use strongroom_repository::{Error, Progress, Repository, Result};

use super::open::{AtDestination, at_each};
use crate::engine::Engine;

/// What became of one repository.
pub struct FormatUpgrade {
    /// Its versions.
    pub upgrade: Upgrade,
    /// Where its old config is kept.
    pub old_config: Option<PathBuf>,
}

/// Upgrades the repositories of `destinations`; only checks them in a dry run.
pub fn upgrade_formats(
    engine: &Engine,
    destinations: &[String],
    dry_run: bool,
    progress: &Arc<Progress>,
) -> Result<Vec<AtDestination<FormatUpgrade>>> {
    let state = engine.config().state_folder();
    at_each(engine, destinations, progress, |repository| {
        let kept = RefCell::new(None);
        let keep = |config: &[u8]| {
            let path = write(&state, repository, config)?;
            *kept.borrow_mut() = Some(path);
            Ok(())
        };
        let upgraded = match dry_run {
            true => upgrade(repository, None, progress),
            false => upgrade(repository, Some(&keep), progress),
        };
        let old_config = kept.into_inner();
        match upgraded {
            Ok(upgrade) => Ok(FormatUpgrade {
                upgrade,
                old_config,
            }),
            Err(error) => Err(match old_config {
                Some(path) if error.hint_text().is_none() => error.hint(format!(
                    "the old config is kept as {}: should the repository have none, put it there as the file 'config'",
                    path.display()
                )),
                _ => error,
            }),
        }
    })
}

/// Keeps a config durably. It is as encrypted as it was at the destination.
fn write(state: &Path, repository: &Repository, config: &[u8]) -> Result<PathBuf> {
    let folder = state.join("configs").join(repository.name());
    let version = repository.config().version;
    let path = folder.join(format!("{}-version-{version}", repository.id()));
    let failed = |error| Error::io(format_args!("cannot write {}", path.display()), error);
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut file = File::create(&path).map_err(failed)?;
    file.write_all(config).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let opened = File::open(&folder).map_err(failed)?;
    opened.sync_all().map_err(failed)?;
    Ok(path)
}
