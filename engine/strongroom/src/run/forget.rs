//! Forgetting by retention, one destination after another: a request in, what was decided and done out.

use std::sync::Arc;

use jiff::Timestamp;
use strongroom_repository::forget::forget;
use strongroom_repository::{Error, ErrorKind, Id, Lock, Progress, Repository, Result};

use super::open::open_all;
use crate::config::Section;
use crate::engine::{Engine, nothing_configured, unknown_name};
use crate::retention::groups::{Held, Hosts, JobRetention, groups};

/// What to forget.
#[derive(Debug, Clone)]
pub struct ForgetRequest {
    /// Of these jobs; of all where none is named.
    pub jobs: Vec<String>,
    /// At these destinations; at all of the jobs where none is named.
    pub destinations: Vec<String>,
    /// Of these hosts.
    pub hosts: Hosts,
    /// Decide only.
    pub dry_run: bool,
    /// The moment that ages are counted from.
    pub now: Timestamp,
}

/// What became of one destination.
pub struct DecidedAt {
    /// Its name.
    pub destination: String,
    /// What was decided; none where not everything there could be read.
    pub held: Option<Held>,
    /// Whether what is not kept is gone.
    pub is_done: bool,
    /// Why it was not done.
    pub error: Option<Error>,
}

/// Decides for each destination, and carries it out unless the request says otherwise. Being cancelled ends it; any other failure is in the
/// result of its destination.
pub fn run(
    engine: &Engine,
    request: &ForgetRequest,
    progress: &Arc<Progress>,
) -> Result<Vec<DecidedAt>> {
    let jobs = jobs(engine)?;
    let names = destinations(engine, request, &jobs)?;
    let prepared = engine.destinations(&names, progress)?;
    let mut done = Vec::new();
    for opened in open_all(&prepared, progress) {
        let mut at = DecidedAt {
            destination: opened.name,
            held: None,
            is_done: false,
            error: None,
        };
        let result = opened
            .repository
            .and_then(|repository| act(&repository, &jobs, request, progress, &mut at));
        match result {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            result => at.error = result.err(),
        }
        done.push(at);
    }
    Ok(done)
}

fn jobs(engine: &Engine) -> Result<Vec<JobRetention>> {
    let config = engine.config();
    let tables = &config.model().jobs;
    let jobs: Vec<JobRetention> = config
        .job_names()
        .iter()
        .filter_map(|name| Some(JobRetention::new(name, tables.get(name)?)))
        .collect::<Result<_>>()?;
    if jobs.is_empty() {
        return Err(nothing_configured("jobs"));
    }
    Ok(jobs)
}

/// The destinations of the request, or those that its jobs name, in the order of the file.
fn destinations(
    engine: &Engine,
    request: &ForgetRequest,
    jobs: &[JobRetention],
) -> Result<Vec<String>> {
    let names: Vec<&String> = jobs.iter().map(|job| &job.name).collect();
    if let Some(unknown) = request.jobs.iter().find(|name| !names.contains(name)) {
        return Err(unknown_name("job", unknown, &names));
    }
    if !request.destinations.is_empty() {
        return Ok(request.destinations.clone());
    }
    let is_used = |destination: &String| {
        let mut wanted = jobs.iter().filter(|job| is_wanted(request, &job.name));
        wanted.any(|job| job.destinations.contains(destination))
    };
    let mut all = engine.config().names(Section::Destinations);
    all.retain(is_used);
    Ok(all)
}

fn is_wanted(request: &ForgetRequest, job: &String) -> bool {
    request.jobs.is_empty() || request.jobs.contains(job)
}

fn act(
    repository: &Arc<Repository>,
    jobs: &[JobRetention],
    request: &ForgetRequest,
    progress: &Progress,
    at: &mut DecidedAt,
) -> Result<()> {
    let lock = match request.dry_run {
        true => None,
        false => Some(Lock::exclusive(repository)?),
    };
    progress.step("reading snapshots");
    let snapshots = repository.snapshots()?;
    if let Some((_, problem)) = snapshots.problems.first() {
        return Err(refused(problem, snapshots.problems.len(), &at.destination));
    }
    let mut held = groups(
        jobs,
        &at.destination,
        &snapshots.good,
        &request.hosts,
        request.now,
    );
    held.groups.retain(|group| is_wanted(request, &group.job));
    let unneeded = unneeded(&held);
    at.held = Some(held);
    match lock {
        None => Ok(()),
        Some(lock) => {
            forget(repository, &lock, &unneeded, progress)?;
            at.is_done = true;
            lock.release()
        }
    }
}

/// What is to be forgotten, the newest first: should it be interrupted, the plan for what is left keeps the same.
fn unneeded(held: &Held) -> Vec<Id> {
    let backups = held.groups.iter().flat_map(|group| &group.backups);
    let mut unneeded: Vec<_> = backups
        .filter(|backup| !backup.is_kept())
        .map(|backup| (backup.time, backup.snapshot))
        .collect();
    unneeded.sort_unstable_by(|a, b| b.cmp(a));
    unneeded.into_iter().map(|(_, id)| id).collect()
}

/// One that cannot be read may be of any job, and the newest complete one of it: counting the others would forget too many.
fn refused(problem: &Error, number: usize, destination: &str) -> Error {
    let others = match number {
        1 => String::new(),
        _ => format!(", and {} more cannot be read", number - 1),
    };
    Error::new(
        problem.kind(),
        format!("{problem}{others}; nothing was forgotten there"),
    )
    .hint(format!(
        "get the file back from a copy of the repository; if it is lost for good, run `strongroom repair snapshots {destination}` first"
    ))
}
