//! Making repositories. All of one engine share the chunker's polynomial, so that one chunking serves them all.

use std::sync::Arc;

use strongroom_repository::{
    Id, InitOptions, Polynomial, Progress, RecoveryKey, Repository, Result,
};

use super::same_place::ensure_apart;
use crate::engine::{Engine, PreparedDestination};

/// What became of one destination.
pub struct Initialised {
    /// Its name.
    pub destination: String,
    /// What is there now.
    pub result: Result<Made>,
}

/// The repository at a destination.
pub struct Made {
    /// Its id.
    pub repository: Id,
    /// For a new one: shown once, and kept nowhere.
    pub recovery_key: Option<RecoveryKey>,
}

/// Makes the repositories that are missing at `destinations`, or at all. One that fails does not keep the others from being made, because
/// the recovery keys of those that were made must be shown.
pub fn init(
    engine: &Engine,
    destinations: &[String],
    progress: &Arc<Progress>,
) -> Result<Vec<Initialised>> {
    let wanted = engine.destinations(destinations, progress)?;
    let mut polynomial = existing_polynomial(engine, &wanted, progress)?;
    let mut before: Vec<Arc<Repository>> = Vec::new();
    Ok(wanted
        .iter()
        .map(|prepared| {
            let result = progress
                .check_cancelled()
                .and_then(|()| init_one(prepared, polynomial, progress));
            let result = result.and_then(|(repository, recovery_key)| {
                let repository = Arc::new(repository);
                for known in &before {
                    ensure_apart(known, &repository, progress)?;
                }
                polynomial.get_or_insert(repository.polynomial());
                before.push(Arc::clone(&repository));
                Ok(Made {
                    repository: repository.id(),
                    recovery_key,
                })
            });
            Initialised {
                destination: prepared.name.clone(),
                result,
            }
        })
        .collect())
}

fn init_one(
    prepared: &PreparedDestination,
    polynomial: Option<Polynomial>,
    progress: &Progress,
) -> Result<(Repository, Option<RecoveryKey>)> {
    if Repository::exists(&*prepared.destination)? {
        return Ok((prepared.open()?, None));
    }
    progress.step(format!("making the repository {}", prepared.name));
    let recovery_key = RecoveryKey::generate();
    let options = InitOptions {
        password: prepared.password(),
        recovery_key: Some(&recovery_key),
        polynomial,
    };
    let repository = Repository::init(Arc::clone(&prepared.destination), options)?;
    Ok((repository, Some(recovery_key)))
}

/// The polynomial of the first repository that there is already, among all that are configured: the ones that are made now join it.
/// A destination that cannot be reached, and is not to be made now, is passed over.
fn existing_polynomial(
    engine: &Engine,
    wanted: &[PreparedDestination],
    progress: &Arc<Progress>,
) -> Result<Option<Polynomial>> {
    progress.step("looking for repositories");
    for name in engine.config().names(crate::config::Section::Destinations) {
        progress.check_cancelled()?;
        let is_wanted = wanted.iter().find(|prepared| prepared.name == name);
        let found = match is_wanted {
            Some(prepared) => polynomial_of(prepared),
            None => engine
                .destination(&name, progress)
                .and_then(|prepared| polynomial_of(&prepared)),
        };
        match found {
            Ok(Some(polynomial)) => return Ok(Some(polynomial)),
            // The error of one that is wanted comes up again when it is made.
            Ok(None) => {}
            Err(_) if is_wanted.is_some() => {}
            Err(error) => progress.warn(format!(
                "cannot see whether {name} has a repository to share chunks with: {error}"
            )),
        }
    }
    Ok(None)
}

fn polynomial_of(prepared: &PreparedDestination) -> Result<Option<Polynomial>> {
    if Repository::exists(&*prepared.destination)? {
        Ok(Some(prepared.open()?.polynomial()))
    } else {
        Ok(None)
    }
}
