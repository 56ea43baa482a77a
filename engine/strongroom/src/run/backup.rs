//! Backing up: jobs in, backups out. Everything that can be wrong with the configuration shows before the first job begins. What fails besides costs
//! what it touches: a source, or a destination.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_repository::backup::{
    BackupSession, Committed, Expected, OwnFolder, RunInfo, SourceInfo, SourceReport,
};
use strongroom_repository::source::Kind;
use strongroom_repository::{Error, ErrorKind, Progress, Repository, Result, Snapshot};

use super::backups::{Backup, group};
use super::id;
use super::open::open_all;
use super::own_folders::own_folders;
use super::same_place::tell_apart;
use crate::engine::{
    Engine, Fault, PROGRAM, PreparedDestination, PreparedSource, nothing_configured, unknown_name,
};
use crate::retention::groups::Trigger;

/// What to back up.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// Names of jobs; empty for all.
    pub jobs: Vec<String>,
    /// Only these sources of them; empty for all.
    pub sources: Vec<String>,
    /// What the user has to say.
    pub note: Option<String>,
    /// What is asked for. The first backup of a source is full in any case.
    pub kind: Kind,
    /// Whether sources may have lost everything since the last backup, this time.
    pub allow_empty: bool,
    /// Who asked for it.
    pub trigger: Trigger,
}

/// A job that is ready to run.
pub struct PreparedJob {
    name: String,
    /// With those that cannot be asked at present.
    sources: Vec<(String, Result<PreparedSource>)>,
    destinations: Vec<PreparedDestination>,
    /// Why others of its destinations cannot be used at present.
    lacking: Vec<Error>,
    own_folders: Vec<OwnFolder>,
    /// The name that its backup goes by.
    host: String,
}

/// What became of one job. Wherever there is a [`backup`](Self::backup), it counts.
pub struct JobResult {
    /// The job.
    pub job: String,
    /// The backup as `list` shows it, where at least one destination has it.
    pub backup: Option<Backup>,
    /// Why there is no backup, or not of all sources or not at all destinations: each of these fails the job.
    pub errors: Vec<Error>,
    /// The sources that failed. The others of the job were backed up all the same.
    pub failed_sources: Vec<String>,
    /// What each source delivered.
    pub reports: Vec<SourceReport>,
    /// From the first to the last byte.
    pub duration: Duration,
}

impl JobResult {
    /// Whether something is missing: files that could not be read, or what a plugin left out.
    pub fn is_incomplete(&self) -> bool {
        self.reports.iter().any(SourceReport::is_incomplete)
    }
}

impl PreparedJob {
    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why nothing can come of it: none of its sources can be asked, or none of its destinations used.
    fn obstacle(&self) -> Option<Error> {
        let mut sources = self.sources.iter();
        if sources.all(|(_, prepared)| prepared.is_err()) {
            let mut sources = self.sources.iter();
            return sources.find_map(|(_, prepared)| prepared.as_ref().err().cloned());
        }
        let lacking = self.lacking.first();
        lacking.filter(|_| self.destinations.is_empty()).cloned()
    }
}

/// Checks the request and prepares its jobs, in the order of the file. Nothing is touched.
pub fn prepare(
    engine: &Engine,
    request: &BackupRequest,
    progress: &Arc<Progress>,
) -> Result<Vec<PreparedJob>> {
    let all = engine.config().job_names();
    if all.is_empty() {
        return Err(nothing_configured("jobs"));
    }
    if let Some(unknown) = request.jobs.iter().find(|name| !all.contains(name)) {
        return Err(unknown_name("job", unknown, &all));
    }
    let wanted = |name: &&String| request.jobs.is_empty() || request.jobs.contains(name);
    let jobs: Vec<PreparedJob> = all
        .iter()
        .filter(wanted)
        .map(|name| prepare_job(engine, name, &request.sources, progress))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    let is_there = |source: &String| {
        jobs.iter()
            .any(|job| job.sources.iter().any(|(name, _)| name == source))
    };
    if let Some(unknown) = request.sources.iter().find(|source| !is_there(source)) {
        return Err(unknown_source(engine, unknown));
    }
    // Where nothing at all can be done, nothing is begun.
    let obstacles: Option<Vec<Error>> = jobs.iter().map(PreparedJob::obstacle).collect();
    match obstacles.and_then(|all| all.into_iter().next()) {
        Some(obstacle) => Err(obstacle),
        None => Ok(jobs),
    }
}

/// Runs one job to its end. Only being cancelled is an error of its own; anything else is in the result.
pub fn run(
    job: PreparedJob,
    request: &BackupRequest,
    progress: &Arc<Progress>,
) -> Result<JobResult> {
    let started = Instant::now();
    let mut result = JobResult {
        job: job.name.clone(),
        backup: None,
        errors: job.lacking.clone(),
        failed_sources: Vec::new(),
        reports: Vec::new(),
        duration: Duration::ZERO,
    };
    if let Some(error) = job.obstacle().filter(|_| job.lacking.is_empty()) {
        result.errors.push(error);
        return Ok(result);
    }
    let mut repositories = Vec::new();
    for opened in tell_apart(open_all(&job.destinations, progress), progress)? {
        match opened.repository {
            Ok(repository) => repositories.push(repository),
            Err(error) => result.errors.push(error),
        }
    }
    progress.check_cancelled()?;
    if !repositories.is_empty() {
        match run_into(&repositories, job, request, progress, &mut result) {
            Ok(backup) => result.backup = backup,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => result.errors.push(error),
        }
    }
    result.duration = started.elapsed();
    Ok(result)
}

fn run_into(
    repositories: &[Arc<Repository>],
    job: PreparedJob,
    request: &BackupRequest,
    progress: &Arc<Progress>,
    result: &mut JobResult,
) -> Result<Option<Backup>> {
    let run = RunInfo {
        run: id::generate()?,
        job: job.name,
        trigger: request.trigger.as_str().to_owned(),
        note: request.note.clone(),
        sources: job.sources.len(),
        program: PROGRAM.to_owned(),
    };
    let mut session = BackupSession::begin(repositories.to_vec(), run, Arc::clone(progress))?;
    session.made_by(&job.host);
    session.leave_out(job.own_folders);
    for (name, prepared) in job.sources {
        let error = match prepared {
            Ok(prepared) => match add(&mut session, prepared, request) {
                Ok(report) => {
                    result.reports.push(report);
                    continue;
                }
                Err(error) => error,
            },
            Err(error) => {
                session.lack(&name);
                error
            }
        };
        session.check()?;
        result.failed_sources.push(name.clone());
        result
            .errors
            .push(error.or_on(format_args!("source {name}")));
    }
    if session.is_empty() {
        return Ok(None);
    }
    let committed = session.commit()?;
    let failures = committed
        .iter()
        .filter_map(|target| target.snapshots.as_ref().err());
    result.errors.extend(failures.cloned());
    read_back(repositories, &committed)
}

fn add(
    session: &mut BackupSession,
    mut prepared: PreparedSource,
    request: &BackupRequest,
) -> Result<SourceReport> {
    let info = SourceInfo {
        name: prepared.name,
        plugin: prepared.plugin,
        plugin_version: prepared.plugin_version,
        method: prepared.method,
        kind: request.kind,
    };
    let expected = Expected {
        allow_empty: prepared.expected.allow_empty || request.allow_empty,
        ..prepared.expected
    };
    session.add_expecting(&info, &expected, &mut *prepared.source)
}

/// The backup as `list` will show it: from the snapshots themselves.
fn read_back(repositories: &[Arc<Repository>], committed: &[Committed]) -> Result<Option<Backup>> {
    let mut lists = Vec::new();
    for target in committed {
        let repository = repositories
            .iter()
            .find(|repository| repository.name() == target.target);
        let (Some(repository), Ok(snapshots)) = (repository, &target.snapshots) else {
            continue;
        };
        let snapshots = snapshots
            .iter()
            .map(|(_, id)| Ok((*id, Snapshot::load(repository, id)?)))
            .collect::<Result<Vec<_>>>()?;
        lists.push((target.target.clone(), snapshots));
    }
    Ok(group(lists).pop())
}

fn prepare_job(
    engine: &Engine,
    name: &str,
    only: &[String],
    progress: &Arc<Progress>,
) -> Result<Option<PreparedJob>> {
    let Some(table) = engine.config().model().jobs.get(name) else {
        return Ok(None);
    };
    let wanted = |source: &&String| only.is_empty() || only.contains(source);
    let sources: Vec<_> = table.sources.iter().filter(wanted).collect();
    if sources.is_empty() {
        return Ok(None);
    }
    let mut job = PreparedJob {
        name: name.to_owned(),
        sources: Vec::new(),
        destinations: Vec::new(),
        lacking: Vec::new(),
        own_folders: Vec::new(),
        host: engine.host(),
    };
    for source in sources {
        let prepared = unless_misconfigured(engine.source_or_fault(source, progress))?;
        job.sources.push((source.clone(), prepared));
    }
    for destination in &table.destinations {
        match unless_misconfigured(engine.destination_or_fault(destination, progress))? {
            Ok(prepared) => job.destinations.push(prepared),
            Err(error) => {
                let error = error.or_on(format_args!("destination {destination}"));
                job.lacking.push(error);
            }
        }
    }
    job.own_folders = own_folders(engine, &job.destinations);
    Ok(Some(job))
}

/// What is wrong with the configuration itself keeps everything from running.
fn unless_misconfigured<T>(prepared: Result<T, Fault>) -> Result<Result<T>> {
    match prepared {
        Ok(prepared) => Ok(Ok(prepared)),
        Err(Fault::World(error)) => Ok(Err(error)),
        Err(Fault::Configuration(error)) => Err(error),
    }
}

/// A source that is not configured, or in none of the jobs.
fn unknown_source(engine: &Engine, name: &str) -> Error {
    let section = crate::config::Section::Sources;
    if engine
        .config()
        .names(section)
        .iter()
        .any(|known| known == name)
    {
        Error::new(
            ErrorKind::InvalidConfig,
            format!("source {name} is in none of these jobs"),
        )
        .hint("add it to the `sources` of a job")
    } else {
        engine.unknown(section, name)
    }
}
