//! Forgetting backups that a person names, one destination after another: ids in, what went out.

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_repository::forget::forget;
use strongroom_repository::{Error, ErrorKind, Id, Lock, Progress, Repository, Result, Snapshot};

use super::id::MIN_PREFIX;
use super::open::open_all;
use crate::engine::Engine;

/// What to forget.
#[derive(Debug, Clone)]
pub struct NamedRequest {
    /// Ids of backups, or their first digits.
    pub backups: Vec<String>,
    /// At these destinations; at all where none is named.
    pub destinations: Vec<String>,
    /// Even the newest complete backup of a source.
    pub force: bool,
    /// Find only.
    pub dry_run: bool,
}

/// What became of one destination.
pub struct NamedAt {
    /// Its name.
    pub destination: String,
    /// What was found there.
    pub found: Vec<Named>,
    /// Why it was not done.
    pub error: Option<Error>,
}

/// One source of a backup that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The backup's id.
    pub run: String,
    /// The source.
    pub source: String,
    /// The snapshot's id.
    pub snapshot: Id,
}

/// Forgets at each destination what it holds of the backups. Being cancelled, or a name that is no backup anywhere, ends it; any other
/// failure is in the result of its destination.
pub fn run(
    engine: &Engine,
    request: &NamedRequest,
    progress: &Arc<Progress>,
) -> Result<Vec<NamedAt>> {
    if let Some(short) = request.backups.iter().find(|name| name.len() < MIN_PREFIX) {
        let message = format!(
            "'{}' is too short to name a backup: give {MIN_PREFIX} digits or more",
            short.escape_debug()
        );
        return Err(Error::new(ErrorKind::InvalidConfig, message)
            .hint("`strongroom list` shows the backups"));
    }
    let prepared = engine.destinations(&request.destinations, progress)?;
    let mut done = Vec::new();
    for opened in open_all(&prepared, progress) {
        let mut at = NamedAt {
            destination: opened.name,
            found: Vec::new(),
            error: None,
        };
        let result = opened
            .repository
            .and_then(|repository| act(&repository, request, progress, &mut at));
        match result {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            result => at.error = result.err(),
        }
        done.push(at);
    }
    let is_found = |name: &&String| {
        let mut found = done.iter().flat_map(|at| &at.found);
        found.any(|named| is_named(&named.run, name))
    };
    let missing = request.backups.iter().find(|name| !is_found(name));
    match missing {
        // Where a destination could not say, it may hold what is missing.
        Some(name) if done.iter().all(|at| at.error.is_none()) => Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no backup '{}'", name.escape_debug()),
        )
        .hint("`strongroom list` shows the backups; those of stock restic are forgotten by `restic forget`")),
        _ => Ok(done),
    }
}

fn act(
    repository: &Arc<Repository>,
    request: &NamedRequest,
    progress: &Progress,
    at: &mut NamedAt,
) -> Result<()> {
    let lock = match request.dry_run {
        true => None,
        false => Some(Lock::exclusive(repository)?),
    };
    progress.step("reading snapshots");
    let snapshots = repository.snapshots()?.good;
    at.found = find(&snapshots, request).map_err(|error| error.on(repository.name()))?;
    let ids: Vec<Id> = at.found.iter().map(|named| named.snapshot).collect();
    match lock {
        None => Ok(()),
        Some(lock) => {
            forget(repository, &lock, &ids, progress)?;
            lock.release()
        }
    }
}

fn is_named(run: &str, name: &str) -> bool {
    run.starts_with(&name.to_ascii_lowercase())
}

/// The snapshots of the backups that the request names. Fails where a name may mean several, or one of them must stay.
fn find(snapshots: &[(Id, Snapshot)], request: &NamedRequest) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    for name in &request.backups {
        let of_name = snapshots
            .iter()
            .filter_map(|(id, snapshot)| Some((id, snapshot, snapshot.tag("run")?)))
            .filter(|(_, _, run)| is_named(run, name));
        let runs: BTreeSet<&str> = of_name.clone().map(|(_, _, run)| run).collect();
        if runs.len() > 1 {
            let runs: Vec<&str> = runs.into_iter().collect();
            let message = format!("'{}' names {} backups", name.escape_debug(), runs.len());
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .hint(format!("give more digits: {}", runs.join(", "))));
        }
        for (id, snapshot, run) in of_name {
            let source = snapshot.tag("source").unwrap_or_default();
            if !request.force && is_newest_complete(snapshot, snapshots) {
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!("backup {run} is the newest complete one of {source}; nothing was forgotten there"),
                )
                .hint("make another backup first, or add --force"));
            }
            found.push(Named {
                run: run.to_owned(),
                source: source.to_owned(),
                snapshot: *id,
            });
        }
    }
    Ok(found)
}

fn is_newest_complete(snapshot: &Snapshot, all: &[(Id, Snapshot)]) -> bool {
    let is_complete = |snapshot: &Snapshot| snapshot.tag("state") != Some("incomplete");
    let is_newer = |other: &Snapshot| {
        other.time > snapshot.time
            && is_complete(other)
            && ["job", "source"]
                .iter()
                .all(|tag| other.tag(tag) == snapshot.tag(tag))
    };
    is_complete(snapshot) && !all.iter().any(|(_, other)| is_newer(other))
}
