//! Forgetting backups that a person names: names in, what went out at each destination. All names are understood before anything is removed.

use std::sync::Arc;

use strongroom_repository::forget::forget;
use strongroom_repository::loss::Series;
use strongroom_repository::snapshot::Snapshots;
use strongroom_repository::{
    Error, ErrorKind, Id, Lock, Progress, Repository, Result, Snapshot, Time,
};

use super::backups::{Backup, group, source_name};
use super::id::LATEST;
use super::latest::{Wanted, Whose, find};
use super::open::{Opened, each, open_all};
use crate::engine::Engine;

/// What to forget.
#[derive(Debug, Clone)]
pub struct NamedRequest {
    /// As [`find`] takes them.
    pub backups: Vec<String>,
    /// Whose backup `latest` is.
    pub whose: Whose,
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
    /// Snapshots that cannot be read, any of which may belong to a backup that was named.
    pub unreadable: Vec<Error>,
    /// Why it was not done.
    pub error: Option<Error>,
}

/// One source of a backup that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The backup's id.
    pub backup: String,
    /// The first digits of it.
    pub short: String,
    /// The source.
    pub source: String,
    /// The snapshot's id.
    pub snapshot: Id,
}

/// A destination's snapshots, and the lock under which they stay as they are.
struct Place {
    repository: Arc<Repository>,
    /// None where nothing will be removed.
    lock: Option<Lock>,
    snapshots: Snapshots,
}

/// Forgets at each destination what it holds of the backups. Being cancelled ends it, and so does a name that means no backup or several,
/// before anything is removed; any other failure is in the result of its destination.
pub fn run(
    engine: &Engine,
    request: &NamedRequest,
    progress: &Arc<Progress>,
) -> Result<Vec<NamedAt>> {
    let prepared = engine.destinations(&request.destinations, progress)?;
    let opened = open_all(&prepared, progress);
    progress.step("reading snapshots");
    let places = each(&opened, |opened| Place::read(opened, request.dry_run));
    progress.check_cancelled()?;
    let names: Vec<&str> = opened.iter().map(|opened| opened.name.as_str()).collect();
    let backups = group(
        names
            .iter()
            .zip(&places)
            .filter_map(|(name, place)| {
                let place = place.as_ref().ok()?;
                Some(((*name).to_owned(), place.snapshots.good.clone()))
            })
            .collect(),
    );
    let mut chosen: Vec<&Backup> = Vec::new();
    // Where no destination could be read, no name is to blame.
    if places.iter().any(Result::is_ok) {
        for name in &request.backups {
            let backup = find(&backups, name, Wanted::Any, &request.whose, progress)
                .map_err(|error| not_understood(error, unread(&places).next()))?;
            if let (LATEST, Some(problem)) = (name.as_str(), unread(&places).next()) {
                return Err(latest_is_unknown(problem));
            }
            if !chosen.iter().any(|other| other.id == backup.id) {
                chosen.push(backup);
            }
        }
    }
    names
        .into_iter()
        .zip(places)
        .map(|(name, place)| at(name, place, &chosen, request, progress))
        .collect()
}

impl Place {
    fn read(opened: &Opened, dry_run: bool) -> Result<Self> {
        let repository = Arc::clone(opened.repository.as_ref().map_err(Error::clone)?);
        let lock = match dry_run {
            true => None,
            false => Some(Lock::exclusive(&repository)?),
        };
        let snapshots = repository.snapshots()?;
        Ok(Self {
            repository,
            lock,
            snapshots,
        })
    }

    fn forget(self, found: &[Named], force: bool, progress: &Progress) -> Result<()> {
        if !force {
            refuse_newest_complete(found, &self.snapshots.good)
                .map_err(|error| error.on(self.repository.name()))?;
        }
        let Some(lock) = self.lock else {
            return Ok(());
        };
        let ids: Vec<Id> = found.iter().map(|named| named.snapshot).collect();
        forget(&self.repository, &lock, &ids, progress)?;
        lock.release()
    }
}

fn at(
    destination: &str,
    place: Result<Place>,
    chosen: &[&Backup],
    request: &NamedRequest,
    progress: &Progress,
) -> Result<NamedAt> {
    let mut at = NamedAt {
        destination: destination.to_owned(),
        found: Vec::new(),
        unreadable: Vec::new(),
        error: None,
    };
    let result = place.and_then(|mut place| {
        let problems = std::mem::take(&mut place.snapshots.problems);
        at.unreadable = problems.into_iter().map(|(_, error)| error).collect();
        at.found = chosen.iter().flat_map(|it| held(it, destination)).collect();
        place.forget(&at.found, request.force, progress)
    });
    match result {
        Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
        result => {
            at.error = result.err();
            Ok(at)
        }
    }
}

/// What `destination` has of `backup`.
fn held(backup: &Backup, destination: &str) -> Vec<Named> {
    let copies = backup.sources.iter().flat_map(|source| &source.copies);
    copies
        .filter(|copy| copy.destination == destination)
        .map(|copy| Named {
            backup: backup.id.clone(),
            short: backup.short_id().to_owned(),
            source: source_name(&copy.snapshot),
            snapshot: copy.id,
        })
        .collect()
}

/// Destinations and snapshots that could not be read.
fn unread(places: &[Result<Place>]) -> impl Iterator<Item = &Error> {
    places.iter().flat_map(|place| match place {
        Ok(place) => place.snapshots.problems.iter().map(|(_, it)| it).collect(),
        Err(error) => vec![error],
    })
}

/// What cannot be read may hold what is missing.
fn not_understood(error: Error, unread: Option<&Error>) -> Error {
    let mut message = format!("{error}; nothing was forgotten");
    if let (ErrorKind::NotFound, Some(problem)) = (error.kind(), unread) {
        message = format!("{error} in what can be read, and nothing was forgotten: {problem}");
    }
    let new = Error::new(error.kind(), message);
    match error.hint_text() {
        Some(hint) => new.hint(hint),
        None => new,
    }
}

fn latest_is_unknown(problem: &Error) -> Error {
    let message =
        format!("which backup is the latest is not certain, and nothing was forgotten: {problem}");
    Error::new(ErrorKind::Failed, message)
        .hint("name the backup by its id: `strongroom list` shows what can be read")
}

fn refuse_newest_complete(found: &[Named], all: &[(Id, Snapshot)]) -> Result<()> {
    for named in found {
        let mut snapshots = all.iter().filter(|(id, _)| *id == named.snapshot);
        if snapshots.any(|candidate| is_newest_complete(candidate, all)) {
            let (id, source) = (&named.short, &named.source);
            let message = format!(
                "backup {id} is the newest complete one of {source}; nothing was forgotten there"
            );
            return Err(Error::new(ErrorKind::Denied, message)
                .hint("make another backup first, or add --force"));
        }
    }
    Ok(())
}

fn is_newest_complete((id, snapshot): &(Id, Snapshot), all: &[(Id, Snapshot)]) -> bool {
    let of = series(snapshot);
    // Oldest first: of these, those that may stand for what is backed up.
    let mut walk = Series::default();
    let counting: Vec<&(Id, Snapshot)> = all
        .iter()
        .filter(|(_, other)| series(other) == of && walk.counts(other))
        .collect();
    // One whose time has not come was made by a clock that was wrong: it stands for no other, and may go where there is another.
    let now = Time::now();
    let rank = |snapshot: &Snapshot| (!snapshot.time.is_to_come(now), snapshot.time);
    counting.iter().any(|(other, _)| other == id)
        && !counting
            .iter()
            .any(|(_, other)| rank(other) > rank(snapshot))
}

/// What is backed up again and again: of ours a source by its job and host, of stock restic's the paths of a host.
fn series(snapshot: &Snapshot) -> (Option<&str>, &str, String) {
    let job = snapshot.tag("run").and(snapshot.tag("job"));
    (job, &snapshot.hostname, source_name(snapshot))
}
