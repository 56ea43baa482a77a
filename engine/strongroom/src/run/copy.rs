//! Copying backups from one destination to another: names in, what became of each snapshot out.

use std::collections::HashSet;
use std::sync::Arc;

use strongroom_repository::copy::{CopyReport, copy, dry_run};
use strongroom_repository::{Error, ErrorKind, Id, Progress, Result, Snapshot};

use super::backups::{Backup, group};
use super::latest::{Wanted, Whose, find};
use super::names::refuse_unknown;
use super::open::open_all;
use super::same_place::ensure_apart;
use super::survey::not_found_at;
use crate::engine::Engine;

/// What to copy.
#[derive(Debug, Clone)]
pub struct Request {
    /// The destination that has the backups.
    pub from: String,
    /// The destination that gets them.
    pub to: String,
    /// Only these backups; all where none is named.
    pub backups: Vec<String>,
    /// Whose backup `latest` is.
    pub whose: Whose,
    /// Only those of this job.
    pub job: Option<String>,
    /// Only look.
    pub is_dry_run: bool,
}

/// Copies what `request` says.
pub fn copy_backups(
    engine: &Engine,
    request: &Request,
    progress: &Arc<Progress>,
) -> Result<CopyReport> {
    if request.from == request.to {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("{} cannot be copied to itself", request.from),
        )
        .hint("name another destination as the second one"));
    }
    let names = [request.from.clone(), request.to.clone()];
    let destinations = engine.destinations(&names, progress)?;
    let opened = open_all(&destinations, progress);
    let repositories = opened
        .into_iter()
        .map(|opened| opened.repository)
        .collect::<Result<Vec<_>>>()?;
    let [from, to] = repositories.as_slice() else {
        return Err(Error::new(ErrorKind::Failed, "two destinations are needed"));
    };
    ensure_apart(from, to, progress)?;
    let select = |snapshots: &[(Id, Snapshot)]| choose(snapshots, request, engine, progress);
    match request.is_dry_run {
        true => dry_run(from, to, &select, progress),
        false => copy(from, to, &select, progress),
    }
}

/// The snapshots of the backups that are asked for.
fn choose(
    snapshots: &[(Id, Snapshot)],
    request: &Request,
    engine: &Engine,
    progress: &Progress,
) -> Result<HashSet<Id>> {
    let backups = group(vec![(request.from.clone(), snapshots.to_vec())]);
    let of_job = |backup: &&Backup| request.job.is_none() || backup.job == request.job;
    refuse_unknown(request.job.as_deref(), None, engine, &backups)?;
    let chosen: Vec<&Backup> = match request.backups.is_empty() {
        true => backups.iter().collect(),
        false => request
            .backups
            .iter()
            .map(|name| {
                find(&backups, name, Wanted::Any, &request.whose, progress)
                    .map_err(|error| not_found_at(Some(&request.from), error))
            })
            .collect::<Result<_>>()?,
    };
    let sources = chosen
        .into_iter()
        .filter(of_job)
        .flat_map(|backup| &backup.sources);
    let copies = sources.flat_map(|source| &source.copies);
    Ok(copies.map(|copy| copy.id).collect())
}
