//! The passwords of one repository.

use std::sync::Arc;

use strongroom_repository::keys::KeyInfo;
use strongroom_repository::{Error, Progress, RecoveryKey, Repository, Result};

use crate::engine::Engine;

/// The keys of a repository, and what is wrong with those that cannot be read.
pub fn list(
    engine: &Engine,
    destination: &str,
    progress: &Arc<Progress>,
) -> Result<(Vec<KeyInfo>, Vec<Error>)> {
    open(engine, destination, progress)?.keys()
}

/// Lets `password` open the repository too.
pub fn add(
    engine: &Engine,
    destination: &str,
    password: &str,
    progress: &Arc<Progress>,
) -> Result<KeyInfo> {
    open(engine, destination, progress)?.add_key(password)
}

/// Lets a new recovery key open the repository too.
pub fn add_recovery_key(
    engine: &Engine,
    destination: &str,
    progress: &Arc<Progress>,
) -> Result<(KeyInfo, RecoveryKey)> {
    let repository = open(engine, destination, progress)?;
    let recovery_key = RecoveryKey::generate();
    let key = repository.add_recovery_key(&recovery_key)?;
    Ok((key, recovery_key))
}

/// Removes the key whose id begins with `prefix`.
pub fn remove(
    engine: &Engine,
    destination: &str,
    prefix: &str,
    progress: &Arc<Progress>,
) -> Result<KeyInfo> {
    open(engine, destination, progress)?.remove_key(prefix)
}

fn open(engine: &Engine, destination: &str, progress: &Arc<Progress>) -> Result<Repository> {
    progress.step("opening the repository");
    engine.destination(destination, progress)?.open()
}
