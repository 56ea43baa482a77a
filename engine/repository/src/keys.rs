//! The keys of a repository: added, listed, and tried with a password until one gives the [`MasterKey`].

mod file;

use serde::Serialize;

use crate::crypto::MasterKey;
use crate::destination::Destination;
use crate::file::FileType;
use crate::id::Id;
use crate::identity::Identity;
use crate::object;
use crate::recovery_key::RecoveryKey;
use crate::time::Time;
use crate::{Error, ErrorKind, Result, parallel};

use file::KeyFile;

/// What people are told of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// The name of its file.
    pub id: Id,
    /// When it was made; `None` where its maker did not say.
    pub created: Option<Time>,
    /// Where it was made; empty where its maker did not say.
    pub hostname: String,
    /// Who made it; [`RECOVERY_USERNAME`] for a recovery key, empty where its maker did not say.
    pub username: String,
    /// Whether the repository was opened with it.
    pub current: bool,
}

/// Stands in place of the user's name in the file of a recovery key, so that `restic key list` shows it too.
pub const RECOVERY_USERNAME: &str = "recovery key";

/// Writes a key file that opens with `password`.
pub(crate) fn add(
    destination: &dyn Destination,
    master: &MasterKey,
    password: &str,
    username: &str,
) -> Result<KeyInfo> {
    let file = KeyFile::wrap(master, password, username)?;
    let json = serde_json::to_vec(&file).map_err(file::cannot_be_written)?;
    let id = object::save(destination, FileType::Key, json)?;
    Ok(file.info(id))
}

/// All keys that can be read, and what is wrong with the others.
pub(crate) fn list(destination: &dyn Destination) -> Result<(Vec<KeyInfo>, Vec<Error>)> {
    let (files, problems) = load_all(destination)?;
    let mut keys: Vec<_> = files.iter().map(|(id, file)| file.info(*id)).collect();
    keys.sort_by_key(|key| (key.created, key.id));
    Ok((keys, problems))
}

/// Tries `password` on all keys, the likeliest first, and returns what the first one that opens holds.
pub(crate) fn unlock(destination: &dyn Destination, password: &str) -> Result<(MasterKey, Id)> {
    let name = destination.name();
    let (mut files, mut problems) = load_all(destination)?;
    let total = files.len() + problems.len();
    let recovery_key = password.parse::<RecoveryKey>().ok();
    let here = Identity::current();
    files.sort_by_key(|(id, file)| {
        let likely = match recovery_key {
            Some(_) => file.is_recovery_key(),
            None => file.hostname == here.hostname && file.username == here.username,
        };
        (!likely, file.is_recovery_key(), *id)
    });
    for (id, file) in &files {
        let candidate = match &recovery_key {
            Some(recovery_key) if file.is_recovery_key() => recovery_key.as_str(),
            _ => password,
        };
        match file.unwrap(candidate) {
            Ok(Some(master)) => return Ok((master, *id)),
            Ok(None) => {}
            Err(error) => {
                problems.push(error.on(format_args!("key {}", id.short())).on(name));
                continue;
            }
        }
    }
    match problems.pop() {
        None if total == 0 => Err(Error::corrupted(format!("repository {name} has no keys"))
            .hint("get the folder 'keys' back from a copy of the repository")),
        Some(problem) if problems.len() + 1 == total => Err(problem),
        None => Err(wrong_password(name)),
        Some(_) => Err(wrong_password(name).hint(format!(
            "{} of {total} keys cannot be read; another password may still open it",
            problems.len() + 1
        ))),
    }
}

fn wrong_password(name: &str) -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        format!("wrong password for repository {name}"),
    )
    .hint("the recovery key that `strongroom init` showed opens it too")
}

type KeyFiles = Vec<(Id, KeyFile)>;

fn load_all(destination: &dyn Destination) -> Result<(KeyFiles, Vec<Error>)> {
    let ids: Vec<Id> = object::list(destination, FileType::Key)?
        .objects
        .into_iter()
        .map(|object| object.id)
        .collect();
    let loaded = parallel::map(destination.parallelism(), &ids, |id| {
        Ok(match load(destination, id) {
            Err(error) if error.is_temporary() => return Err(error),
            loaded => loaded.map(|file| (*id, file)),
        })
    })?;
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for file in loaded {
        match file {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((files, problems))
}

fn load(destination: &dyn Destination, id: &Id) -> Result<KeyFile> {
    let json = object::load(destination, FileType::Key, id)?;
    serde_json::from_slice(&json)
        .map_err(|error| object::not_understood(destination.name(), FileType::Key, id, &error))
}
