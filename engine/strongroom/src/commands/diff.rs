//! `diff`: what is different between two backups, in restic's signs.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::diff::{Change, DiffSummary, Side, diff};
use strongroom_repository::restore::normal;
use strongroom_repository::tree::Node;
use strongroom_repository::{Error, ErrorKind, Result};

use super::entries::{Output, if_any, shown_path, to_json};
use super::host::HostArg;
use super::list::tell_problems;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::size;
use crate::run::backups::{Backup, BackupSource};
use crate::run::latest::find;
use crate::run::survey::{Reading, Survey};

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
+ added  - removed  M content changed  U metadata changed  T type changed")]
pub struct DiffArgs {
    /// The earlier backup: its id, its first 4 digits or more, or `latest`
    before: String,
    /// The later backup
    after: String,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only this path and what is below it, relative to the source
    #[arg(long, value_name = "PATH", default_value = "")]
    path: OsString,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// Runs `diff`.
pub fn run(args: &DiffArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let survey = Survey::take(&engine, None, &context.progress)?;
    let source = args.source.as_deref();
    let (whose, progress) = (args.host.whose(&engine), &context.progress);
    let before = find(&survey.backups, &args.before, source, &whose, progress)?;
    let after = find(&survey.backups, &args.after, source, &whose, progress)?;
    let pairs = pairs(before, after, source)?;
    drop(display);
    let path = normal(args.path.as_bytes());
    let path = &*String::from_utf8_lossy(&path);
    let mut out = Output::within(context, "changes");
    let mut total = DiffSummary::default();
    let mut is_found = false;
    for pair in &pairs {
        if pairs.len() > 1 {
            out.heading(pair.name);
        }
        if let Some(summary) = compare(pair, &survey, path, &mut out, context)? {
            is_found = true;
            total.add(&summary);
        }
    }
    if !is_found {
        let (before, after) = (before.short_id(), after.short_id());
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("no '{path}' in backup {before} or {after}"),
        )
        .hint("paths are relative to the source: leave out --path to compare everything"));
    }
    out.finish_with(|| text(&total), summary_to_json(&total))?;
    // All that was asked for was shown: another destination's trouble is told, and is no trouble of this one.
    tell_problems(&survey, context);
    Ok(Exit::Done)
}

/// One source in both backups.
struct Pair<'a> {
    name: &'a str,
    before: Option<&'a BackupSource>,
    after: Option<&'a BackupSource>,
}

/// The sources of both backups, those of the earlier one first.
fn pairs<'a>(before: &'a Backup, after: &'a Backup, source: Option<&str>) -> Result<Vec<Pair<'a>>> {
    fn of<'a>(backup: &'a Backup, name: &str) -> Option<&'a BackupSource> {
        backup.sources.iter().find(|source| source.source == name)
    }
    let mut names: Vec<&str> = Vec::new();
    for known in before.sources.iter().chain(&after.sources) {
        if !names.contains(&known.source.as_str()) {
            names.push(&known.source);
        }
    }
    if let Some(source) = source {
        if !names.contains(&source) {
            return after.source(source).map(|_| Vec::new());
        }
        names.retain(|name| *name == source);
    }
    let pair = |name: &'a str| Pair {
        name,
        before: of(before, name),
        after: of(after, name),
    };
    Ok(names.into_iter().map(pair).collect())
}

/// `None` where neither backup has anything at `path`.
fn compare(
    pair: &Pair<'_>,
    survey: &Survey,
    path: &str,
    out: &mut Output<'_>,
    context: &Context,
) -> Result<Option<DiffSummary>> {
    let open = |source: Option<&BackupSource>| {
        let opened = source.map(|source| open(survey, source, path, context));
        opened.transpose()
    };
    let (before, after) = (open(pair.before)?, open(pair.after)?);
    // Where a source is in one backup only, nothing is read of the other.
    let Some((any, _)) = before.as_ref().or(after.as_ref()) else {
        return Ok(None);
    };
    let before = side(before.as_ref(), any);
    let after = side(after.as_ref(), any);
    if before.root.is_none() && after.root.is_none() {
        return Ok(None);
    }
    diff(path, before, after, &context.progress, &mut |change| {
        out.entry(|_| line(change), || change_to_json(pair.name, change))
    })
    .map(Some)
}

/// A source of a backup, and what it has at a path.
type Opened = (Reading, Option<Node>);

fn open(survey: &Survey, source: &BackupSource, path: &str, context: &Context) -> Result<Opened> {
    survey.read(source, &context.progress, |reading| {
        if_any(reading.contents.find(path))
    })
}

fn side<'a>(opened: Option<&'a Opened>, any: &'a Reading) -> Side<'a> {
    match opened {
        Some((reading, root)) => Side {
            contents: &reading.contents,
            root: root.as_ref(),
        },
        None => Side {
            contents: &any.contents,
            root: None,
        },
    }
}

/// `M    photos/a.jpg`.
fn line(change: &Change) -> String {
    let found = &change.found;
    let path = match found.path.is_empty() {
        true => shown_path(b".", found.node.node_type),
        false => shown_path(&found.path, found.node.node_type),
    };
    format!("{}    {path}\n", change.kind.sign())
}

fn change_to_json(source: &str, change: &Change) -> Value {
    let mut value = to_json(source, &change.found);
    value["change"] = json!(change.kind.sign().to_string());
    value
}

fn text(total: &DiffSummary) -> String {
    if *total == DiffSummary::default() {
        return "no differences\n".into();
    }
    let counted = |number, singular| size::counted(number, singular);
    let mut parts = vec![format!(
        "{} added, {} removed, {} changed",
        counted(total.files_added, "file"),
        size::count(total.files_removed),
        size::count(total.files_changed),
    )];
    if total.dirs_added + total.dirs_removed > 0 {
        parts.push(format!(
            "{} added, {} removed",
            counted(total.dirs_added, "folder"),
            size::count(total.dirs_removed)
        ));
    }
    if total.metadata_changed > 0 {
        let entries = counted(total.metadata_changed, "entry");
        parts.push(format!("{entries} with other metadata"));
    }
    parts.push(format!(
        "{} added, {} removed",
        size::bytes(total.bytes_added),
        size::bytes(total.bytes_removed)
    ));
    format!("\n{}\n", parts.join(" · "))
}

fn summary_to_json(total: &DiffSummary) -> Value {
    json!({
        "files_added": total.files_added,
        "files_removed": total.files_removed,
        "files_changed": total.files_changed,
        "folders_added": total.dirs_added,
        "folders_removed": total.dirs_removed,
        "metadata_changed": total.metadata_changed,
        "bytes_added": total.bytes_added,
        "bytes_removed": total.bytes_removed,
    })
}
