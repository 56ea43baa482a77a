//! What lies at the destinations: every backup, and what could not be read. There is no catalog yet, so the repositories themselves are asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_repository::contents::Contents;
use strongroom_repository::{Error, ErrorKind, Progress, Repository, Result};

use super::backups::{Backup, BackupSource, Copy, group};
use super::open::{Reader, each, open_all};
use crate::engine::Engine;

/// The backups at the destinations.
pub struct Survey {
    /// Oldest first.
    pub backups: Vec<Backup>,
    /// Destinations and snapshots that could not be read: the list may lack something.
    pub problems: Vec<Error>,
    /// Those that could be opened.
    pub repositories: BTreeMap<String, Arc<Repository>>,
    /// Those that were read from.
    readers: Mutex<BTreeMap<String, Reader>>,
}

/// A source's snapshot at one destination, opened for reading.
pub struct Reading {
    /// What the snapshot holds.
    pub contents: Arc<Contents>,
    /// Where it lies.
    pub destination: String,
    /// Other destinations that have it too, and were not tried.
    pub others: Vec<String>,
    /// Holds the lock.
    _reader: Reader,
}

impl Survey {
    /// Asks the destination `from`, or all that are configured. Fails where none of them can be read.
    pub fn take(engine: &Engine, from: Option<&str>, progress: &Arc<Progress>) -> Result<Self> {
        let names: Vec<String> = from.map(str::to_owned).into_iter().collect();
        let destinations = engine.destinations(&names, progress)?;
        let opened = open_all(&destinations, progress);
        progress.step("reading snapshots");
        let results = each(&opened, |opened| match &opened.repository {
            Ok(repository) => Ok(Some((Arc::clone(repository), repository.snapshots()?))),
            Err(_) => Ok(None),
        });
        let mut problems = Vec::new();
        let mut repositories = BTreeMap::new();
        let mut lists = Vec::new();
        for (opened, result) in opened.into_iter().zip(results) {
            if let Err(error) = opened.repository {
                problems.push(error);
                continue;
            }
            match result {
                Err(error) => problems.push(error),
                Ok(None) => {}
                Ok(Some((repository, snapshots))) => {
                    problems.extend(snapshots.problems.into_iter().map(|(_, error)| error));
                    repositories.insert(opened.name.clone(), repository);
                    lists.push((opened.name, snapshots.good));
                }
            }
        }
        if repositories.is_empty()
            && let Some(first) = problems.pop()
        {
            return Err(first);
        }
        progress.check_cancelled()?;
        Ok(Self {
            backups: group(lists),
            problems,
            repositories,
            readers: Mutex::default(),
        })
    }

    /// Opens the first copy of `source` that can be read, and does `work` with it. A copy that is damaged or out of reach is warned about, and
    /// the next one is taken; so `work` must leave nothing behind when it fails.
    pub fn read<T>(
        &self,
        source: &BackupSource,
        progress: &Progress,
        mut work: impl FnMut(&Reading) -> Result<T>,
    ) -> Result<(Reading, T)> {
        let mut copies: VecDeque<&Copy> = source
            .copies
            .iter()
            .filter(|copy| self.repositories.contains_key(&copy.destination))
            .collect();
        while let Some(copy) = copies.pop_front() {
            let others = copies.iter().map(|copy| copy.destination.clone()).collect();
            let result = match self.open(copy, others, progress) {
                Ok(reading) => match work(&reading) {
                    Ok(done) => return Ok((reading, done)),
                    Err(error) if !may_be_better_elsewhere(&error) => return Err(error),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            progress.check_cancelled()?;
            match copies.front() {
                None => return Err(result),
                Some(next) => progress.warn(format!(
                    "the copy of {} at {} cannot be read, the one at {} is taken instead: {result}",
                    source.source, copy.destination, next.destination
                )),
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("no destination that holds {} can be read", source.source),
        ))
    }

    fn open(&self, copy: &Copy, others: Vec<String>, progress: &Progress) -> Result<Reading> {
        let reader = self.reader(&copy.destination, progress)?;
        Ok(Reading {
            contents: reader.contents(copy)?,
            destination: copy.destination.clone(),
            others,
            _reader: reader,
        })
    }

    fn reader(&self, destination: &str, progress: &Progress) -> Result<Reader> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(destination) {
            return Ok(reader.clone());
        }
        let repository = self.repositories.get(destination).ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("destination {destination} cannot be read"),
            )
        })?;
        let reader = Reader::open(repository, progress)?;
        readers.insert(destination.to_owned(), reader.clone());
        Ok(reader)
    }
}

impl Reading {
    /// An error in the middle of reading, with the destination to try instead where it may be better there.
    pub fn with_way_out(&self, error: Error) -> Error {
        match self.better_copy(&error) {
            Some(other) => {
                let hint = format!(
                    "{other} has a copy too: add --from {other}, and --overwrite for what is restored already"
                );
                error.hint(hint)
            }
            None => error,
        }
    }

    /// The destination to try after an error in the middle of reading.
    pub fn better_copy(&self, error: &Error) -> Option<&str> {
        let other = self.others.first();
        other
            .filter(|_| may_be_better_elsewhere(error))
            .map(String::as_str)
    }
}

/// Whether the fault is in the copy that was read or on the way to it, rather than in where it is written to.
fn may_be_better_elsewhere(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupted
            | ErrorKind::Unavailable
            | ErrorKind::TimedOut
            | ErrorKind::Throttled
            | ErrorKind::Unauthenticated
    )
}

/// What `--from` narrowed down to one destination and was not found there.
pub fn not_found_at(from: Option<&str>, error: Error) -> Error {
    match from {
        Some(from) if error.kind() == ErrorKind::NotFound => error
            .on(format!("destination {from}"))
            .hint("`strongroom list` shows which destination has which backup"),
        _ => error,
    }
}
