//! Backups as people know them, put together from snapshots: all snapshots of one run, over all destinations, are one backup.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_repository::snapshot::MISSING_SOURCE;
use strongroom_repository::{Error, ErrorKind, Id, Result, Snapshot, Time};

/// One backup: a run of a job, or a snapshot that stock restic made. Serialised as `list --json` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// The run's id, or the snapshot's.
    pub id: String,
    /// The job; none for a snapshot of stock restic.
    pub job: Option<String>,
    /// `scheduled` or `on-demand`.
    pub trigger: Option<String>,
    /// `full` or `incremental`.
    pub kind: Option<String>,
    /// The host that made it, as its snapshots name it.
    pub host: String,
    /// What the user wrote.
    pub note: Option<String>,
    /// When it began.
    pub created: Time,
    /// Whether all of it is there.
    pub state: State,
    /// What was backed up.
    pub sources: Vec<BackupSource>,
    /// Sources of the run that failed: the backup lacks them.
    pub missing_sources: Vec<String>,
    /// Where all its sources lie.
    pub destinations: Vec<String>,
    /// Where only a part of it lies: a run was ended between two sources, or a copy lacks what another destination still holds.
    pub partial_destinations: Vec<String>,
}

/// Whether a backup holds all that it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything.
    Complete,
    /// Files could not be read, a source failed, or no destination has all sources of the run.
    Incomplete,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One source of a backup.
#[derive(Debug, Clone, Serialize)]
pub struct BackupSource {
    /// The source's name, or the paths that stock restic was given.
    pub source: String,
    /// The snapshot of the first copy.
    pub snapshot: Id,
    /// Bytes of its files, where the snapshot says so.
    pub bytes: Option<u64>,
    /// Bytes that no earlier backup held, where the snapshot says so.
    pub new_bytes: Option<u64>,
    /// Files, where the snapshot says so.
    pub files: Option<u64>,
    /// The snapshot at each destination.
    pub snapshots: BTreeMap<String, Id>,
    /// Whole ones first, and then in the order of the destinations.
    #[serde(skip)]
    pub copies: Vec<Copy>,
}

/// A source's snapshot at one destination.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The destination.
    pub destination: String,
    /// The snapshot's id there.
    pub id: Id,
    /// The snapshot.
    pub snapshot: Snapshot,
}

impl Copy {
    /// Whether it holds all that it should: files could be read, and nothing was lost since.
    fn is_whole(&self) -> bool {
        self.snapshot.is_complete()
    }
}

impl BackupSource {
    /// Whether some destination holds all of it.
    fn is_whole(&self) -> bool {
        self.copies.iter().any(Copy::is_whole)
    }

    /// Whether `destination` holds as much of it as any.
    fn is_best_at(&self, destination: &str) -> bool {
        let mut here = self
            .copies
            .iter()
            .filter(|it| it.destination == destination);
        here.any(|copy| copy.is_whole() || !self.is_whole())
    }
}

impl Backup {
    /// The first digits of its id, for tables: a run's id is short as it is.
    pub fn short_id(&self) -> &str {
        if self.job.is_some() {
            &self.id
        } else {
            self.id.get(..8).unwrap_or(&self.id)
        }
    }

    /// The destinations for people, `nas, offsite (partial)`.
    pub fn places(&self) -> String {
        let partial = self.partial_destinations.iter();
        let partial = partial.map(|name| format!("{name} (partial)"));
        let places: Vec<String> = self.destinations.iter().cloned().chain(partial).collect();
        places.join(", ")
    }

    /// What whoever takes it should know: what it lacks, as far as that concerns the source `chosen`, or all of it.
    pub fn shortfall(&self, chosen: Option<&str>) -> Option<String> {
        let id = self.short_id();
        if chosen.is_none() && !self.missing_sources.is_empty() {
            return Some(format!(
                "backup {id} is incomplete: it lacks {}, which failed when it was made",
                self.missing_sources.join(", ")
            ));
        }
        let is_whole = match chosen {
            None => self.state == State::Complete,
            Some(name) => {
                let mut chosen = self.sources.iter().filter(|it| it.source == name);
                chosen.all(BackupSource::is_whole)
            }
        };
        (!is_whole).then(|| {
            format!("backup {id} is incomplete: `strongroom show {id}` says what it lacks")
        })
    }

    /// Whether it holds a source of this name.
    pub fn holds(&self, source: &str) -> bool {
        self.sources.iter().any(|known| known.source == source)
    }

    /// Fails where `sources` are several: what is asked for can be done with one only.
    pub fn only_one(&self, sources: &[&BackupSource]) -> Result<()> {
        if sources.len() <= 1 {
            return Ok(());
        }
        let names: Vec<_> = sources.iter().map(|it| it.source.as_str()).collect();
        let problem = format!(
            "backup {} holds {} sources, and only one can be had this way",
            self.short_id(),
            names.len()
        );
        Err(Error::new(ErrorKind::InvalidConfig, problem)
            .hint(format!("name one with --source: {}", names.join(", "))))
    }

    /// The source of this name, or all of them.
    pub fn chosen(&self, name: Option<&str>) -> Result<Vec<&BackupSource>> {
        match name {
            Some(name) => self.source(name).map(|source| vec![source]),
            None => Ok(self.sources.iter().collect()),
        }
    }

    /// The source of this name.
    pub fn source(&self, name: &str) -> Result<&BackupSource> {
        self.sources
            .iter()
            .find(|source| source.source == name)
            .ok_or_else(|| {
                let names: Vec<_> = self.sources.iter().map(|source| &source.source).collect();
                let error = Error::new(
                    ErrorKind::NotFound,
                    format!("backup {} holds no source '{name}'", self.short_id()),
                );
                if self.missing_sources.iter().any(|missing| missing == name) {
                    return error.hint(format!(
                        "it failed when the backup was made: `strongroom list --source {name}` shows those that hold it"
                    ));
                }
                error.hint(crate::config::nearest::did_you_mean_or_list(
                    name,
                    "its sources",
                    &names,
                ))
            })
    }
}

/// Puts backups together from the snapshots of each destination, oldest first.
pub fn group(destinations: Vec<(String, Vec<(Id, Snapshot)>)>) -> Vec<Backup> {
    let mut runs: BTreeMap<String, Vec<Copy>> = BTreeMap::new();
    for (destination, snapshots) in destinations {
        for (id, snapshot) in snapshots {
            let key = backup_id(&id, &snapshot);
            runs.entry(key).or_default().push(Copy {
                destination: destination.clone(),
                id,
                snapshot,
            });
        }
    }
    let mut backups: Vec<Backup> = runs
        .into_iter()
        .filter_map(|(id, copies)| assemble(id, copies))
        .collect();
    backups.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    backups
}

fn assemble(id: String, copies: Vec<Copy>) -> Option<Backup> {
    let first = copies.first()?.snapshot.clone();
    let created = copies.iter().map(|copy| copy.snapshot.time).min()?;
    let tag = |name: &str| first.tag(name).map(str::to_owned);
    let is_full = |copy: &Copy| copy.snapshot.tag("kind") != Some("incremental");
    let kind = tag("kind").map(|_| {
        if copies.iter().all(is_full) {
            "full"
        } else {
            "incremental"
        }
    });
    // The tag is there where there is more than one.
    let expected = tag("run-sources").and_then(|number| number.parse().ok());
    let job = tag("run").and(tag("job"));
    let (trigger, note) = (tag("trigger"), tag("note"));
    let names = destination_names(&copies);
    let mut missing_sources: Vec<String> = copies
        .iter()
        .flat_map(|copy| copy.snapshot.tags_of(MISSING_SOURCE))
        .map(str::to_owned)
        .collect();
    missing_sources.sort_unstable();
    missing_sources.dedup();
    let sources = by_source(copies);
    missing_sources.retain(|name| sources.iter().all(|source| source.source != *name));
    let (destinations, partial_destinations): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| {
            let here = sources.iter().filter(|source| source.is_best_at(name));
            here.count() >= expected.unwrap_or(1)
        });
    let has_all = missing_sources.is_empty() && !destinations.is_empty();
    let state = match has_all && sources.iter().all(BackupSource::is_whole) {
        true => State::Complete,
        false => State::Incomplete,
    };
    Some(Backup {
        id,
        job,
        host: first.hostname.clone(),
        trigger,
        kind: kind.map(str::to_owned),
        note,
        created,
        state,
        sources,
        missing_sources,
        destinations,
        partial_destinations,
    })
}

fn destination_names(copies: &[Copy]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for copy in copies {
        if !names.contains(&copy.destination) {
            names.push(copy.destination.clone());
        }
    }
    names
}

fn by_source(copies: Vec<Copy>) -> Vec<BackupSource> {
    let mut sources: Vec<(String, Vec<Copy>)> = Vec::new();
    for copy in copies {
        let name = source_name(&copy.snapshot);
        match sources.iter_mut().find(|(known, _)| *known == name) {
            Some((_, copies)) => copies.push(copy),
            None => sources.push((name, vec![copy])),
        }
    }
    let sources = sources.into_iter();
    sources
        .filter_map(|(name, copies)| source_of(name, copies))
        .collect()
}

/// A source of which there is at least one copy.
fn source_of(source: String, mut copies: Vec<Copy>) -> Option<BackupSource> {
    copies.sort_by_key(|copy| !copy.is_whole());
    let first = copies.first()?;
    let summary = first.snapshot.summary.as_ref();
    let by_destination = copies
        .iter()
        .map(|copy| (copy.destination.clone(), copy.id));
    Some(BackupSource {
        source,
        snapshot: first.id,
        bytes: summary.map(|summary| summary.total_bytes_processed),
        new_bytes: summary.map(|summary| summary.data_added),
        files: summary.map(|summary| summary.total_files_processed),
        snapshots: by_destination.collect(),
        copies,
    })
}

/// The id of the backup that a snapshot belongs to.
pub fn backup_id(id: &Id, snapshot: &Snapshot) -> String {
    snapshot
        .tag("run")
        .map_or_else(|| id.to_string(), str::to_owned)
}

/// The source that a snapshot is of.
pub fn source_name(snapshot: &Snapshot) -> String {
    match snapshot.tag("run").and(snapshot.tag("source")) {
        Some(source) => source.to_owned(),
        None => snapshot.paths.join(", "),
    }
}

/// A snapshot as people know it, with its backup's id.
pub fn snapshot_name(id: &Id, snapshot: &Snapshot) -> String {
    let named = format!("snapshot {} of {}", id.short(), source_name(snapshot));
    match snapshot.tag("run") {
        Some(run) => format!("{named} in backup {run}"),
        None => named,
    }
}

#[cfg(test)]
mod tests;
