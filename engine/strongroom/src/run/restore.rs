//! Restoring: a backup in, files in a directory or in another source out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use strongroom_repository::backup::Problem;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::restore::{Outlook, RestoreOptions, look_ahead, restore_seen};
use strongroom_repository::source::{Attributes, Conflict, RestoreRequest, Summary};
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use super::backups::{Backup, BackupSource};
use super::latest::{Wanted, Whose, find};
use super::outside::{check_folder, check_source};
use super::path::all_meant;
use super::plugin_option::PluginOption;
use super::survey::{Reading, Survey, not_found_at};
use crate::engine::{Engine, PreparedSource};

const GOES_ON: &str = "--keep-existing goes on from here: every file that was restored is whole";

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// The backup's id, its first digits, or `latest`.
    pub backup: String,
    /// Whose backup `latest` is.
    pub whose: Whose,
    /// Only this source.
    pub source: Option<String>,
    /// Only from this destination.
    pub from: Option<String>,
    /// Where to.
    pub target: Target,
    /// Only these paths, relative to the source; empty for all.
    pub paths: Vec<OsString>,
    /// What to do with files that exist.
    pub conflict: Conflict,
    /// Whether a plugin that takes the backup is to restore the rest where something cannot be restored.
    pub go_on: bool,
    /// The moment to come back to, where a plugin takes the backup.
    pub until: Option<Timestamp>,
    /// What the plugin that takes the backup is told beside that.
    pub options: Vec<PluginOption>,
}

/// Where to restore.
#[derive(Debug, Clone)]
pub enum Target {
    /// Below this directory, each source in a folder of its own name.
    Directory(PathBuf),
    /// Into this configured source.
    Source(String),
}

/// What was restored of one source.
pub struct Restored {
    /// The source.
    pub source: String,
    /// The destination that it came from.
    pub destination: String,
    /// Where it is now: a directory, or a source.
    pub target: String,
    /// Files and bytes that were written, where the engine wrote them.
    pub summary: Option<Summary>,
    /// Files that were left as they were.
    pub kept: u64,
    /// What could not be restored as it was.
    pub problems: Vec<Problem>,
    /// Files and directories that were left out because they are damaged in the repository.
    pub damaged: Vec<Problem>,
    /// The error that says so, and what to do.
    pub damage: Option<Error>,
    /// What the plugin tells, where it took the backup back.
    pub attributes: Attributes,
}

/// What will be restored.
pub struct Prepared<'a> {
    /// The backup.
    pub backup: &'a Backup,
    /// Its sources that will be restored.
    pub sources: Vec<&'a BackupSource>,
}

/// One source of a backup, opened, and found free to go where it shall go. Nothing of it was written yet.
pub struct Ready {
    source: String,
    reading: Reading,
    way: Way,
}

/// How a source goes where it shall go.
enum Way {
    /// The engine writes it into a folder.
    Files(RestoreOptions, Outlook),
    /// The plugin takes it back.
    Plugin(String, PreparedSource),
}

/// Finds the backup and its sources. Nothing is touched.
pub fn prepare<'a>(
    survey: &'a Survey,
    request: &Request,
    progress: &Progress,
) -> Result<Prepared<'a>> {
    let from = request.from.as_deref();
    let source = request.source.as_deref();
    let wanted = match request.target {
        Target::Source(_) => Wanted::Ours(source),
        Target::Directory(_) => source.into(),
    };
    let backup = find(
        &survey.backups,
        &request.backup,
        wanted,
        &request.whose,
        progress,
    )
    .map_err(|error| not_found_at(from, error))?;
    let sources = match &request.source {
        Some(name) => vec![
            backup
                .source(name)
                .map_err(|error| not_found_at(from, error))?,
        ],
        None => backup.sources.iter().collect(),
    };
    let needs_one = !request.paths.is_empty() || matches!(request.target, Target::Source(_));
    if needs_one {
        backup.only_one(&sources)?;
    }
    Ok(Prepared { backup, sources })
}

/// Opens one source of a backup and looks at all that it will write, so that what is in the way is known before anything is written.
pub fn look(
    engine: &Engine,
    survey: &Survey,
    source: &BackupSource,
    request: &Request,
    progress: &Arc<Progress>,
) -> Result<Ready> {
    let (reading, way) = match &request.target {
        Target::Source(name) => {
            // Before anything is read: whether the target can be written to at all.
            let prepared = engine.source(name, progress)?;
            check_source(engine, name)?;
            let (reading, ()) = survey.read(source, progress, |_| Ok(()))?;
            (reading, Way::Plugin(name.clone(), prepared))
        }
        Target::Directory(directory) => {
            let look = |reading: &Reading| -> Result<(RestoreOptions, Outlook)> {
                let is_ours = reading.contents.manifest().is_some();
                let folder = folder_for(directory, is_ours.then_some(&source.source))?;
                check_folder(engine, &folder, progress)?;
                let options = RestoreOptions {
                    target: folder.into(),
                    conflict: request.conflict,
                    delete_extra: false,
                    paths: all_meant(&reading.contents, &request.paths),
                };
                let root = reading.contents.root();
                let outlook = look_ahead(&reading.contents, root, &options, progress)?;
                Ok((options, outlook))
            };
            let whole = survey.read(source, progress, |reading| {
                let (options, outlook) = look(reading)?;
                match outlook.damaged().first() {
                    Some(damaged) => Err(damaged.to_error()),
                    None => Ok((options, outlook)),
                }
            });
            let (reading, (options, outlook)) = match whole {
                // Where no copy is whole, what is left of one is better than nothing.
                Err(error) if error.kind() == ErrorKind::Corrupted => {
                    survey.read(source, progress, look)?
                }
                whole => whole?,
            };
            (reading, Way::Files(options, outlook))
        }
    };
    Ok(Ready {
        source: source.source.clone(),
        reading,
        way,
    })
}

/// Restores what was looked at.
pub fn restore(ready: Ready, request: &Request, progress: &Arc<Progress>) -> Result<Restored> {
    let Ready {
        source,
        reading,
        way,
    } = ready;
    let mut restored = Restored {
        source,
        destination: reading.destination.clone(),
        target: String::new(),
        summary: None,
        kept: 0,
        problems: Vec::new(),
        damaged: Vec::new(),
        damage: None,
        attributes: Vec::new(),
    };
    match way {
        Way::Files(options, outlook) => {
            restored.target = options.target.path().display().to_string();
            let root = reading.contents.root().clone();
            let report = restore_seen(&reading.contents, root, &options, outlook, progress)
                .map_err(|error| match error.kind() {
                    ErrorKind::Cancelled => error.hint(GOES_ON),
                    _ => reading.with_way_out(error),
                })?;
            restored.summary = Some(report.summary);
            restored.kept = report.kept;
            restored.damage = report.damage().map(|error| reading.with_way_out(error));
            restored.problems = report.refused;
            restored.problems.extend(report.problems);
            restored.damaged = report.damaged;
        }
        Way::Plugin(name, mut prepared) => {
            restored.target = name;
            let contents = Arc::clone(&reading.contents);
            let paths = all_meant(&contents, &request.paths);
            // A plugin knows paths as text; those of files that are no text are the feed's alone.
            let texts = paths
                .iter()
                .map(|path| String::from_utf8_lossy(path).into_owned());
            let texts = texts.collect();
            let feed = SnapshotFeed::new(contents, paths, Arc::clone(progress));
            let order = RestoreRequest {
                until: request.until.map(nanoseconds).transpose()?,
                paths: texts,
                options: options(request)?,
            };
            restored.attributes = prepared
                .source
                .restore(&order, &feed)
                .map_err(|error| reading.with_way_out(error))?;
            restored.problems = feed.into_missing();
        }
    }
    Ok(restored)
}

/// A source goes into a folder of its own name, as stock restic would put it; what stock restic backed up has its own folders.
fn folder_for(directory: &Path, source: Option<&String>) -> Result<PathBuf> {
    let directory = std::path::absolute(directory)
        .map_err(|error| Error::io(format!("cannot use {}", directory.display()), error))?;
    Ok(match source {
        Some(source) => directory.join(source),
        None => directory,
    })
}

/// What plugins agree on, `conflict` where the person said something, and what this plugin was told.
fn options(request: &Request) -> Result<String> {
    let mut options = Map::new();
    match request.conflict {
        Conflict::Overwrite => drop(options.insert("conflict".into(), json!("overwrite"))),
        Conflict::KeepExisting => drop(options.insert("conflict".into(), json!("keep-existing"))),
        Conflict::Fail => {}
    }
    if request.go_on {
        options.insert("go-on".into(), json!(true));
    }
    for option in &request.options {
        option.put_into(&mut options)?;
    }
    Ok(Value::Object(options).to_string())
}

fn nanoseconds(time: Timestamp) -> Result<i64> {
    i64::try_from(time.as_nanosecond()).map_err(|_| {
        Error::new(ErrorKind::InvalidConfig, format!("{time} is too far away"))
            .hint("name a time between 1678 and 2261")
    })
}
