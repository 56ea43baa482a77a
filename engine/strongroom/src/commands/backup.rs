//! `backup`: a run of jobs, now.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::backup::{Problem, SourceReport};
use strongroom_repository::source::Kind;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::app::Context;
use crate::config::unused::not_acted_on;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::text::clean;
use crate::render::{size, time};
use crate::retention::groups::Trigger;
use crate::run::backup::{BackupRequest, JobResult, PreparedJob, prepare};
use crate::run::backups::{Backup, State};

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The jobs [default: all]
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Only this source of the jobs; may be given several times
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// A note, shown in the list
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Read everything afresh
    #[arg(long)]
    full: bool,
    /// Read only what has changed since the last backup [default]
    #[arg(long, conflicts_with = "full")]
    incremental: bool,
    /// Take it that a source which holds nothing any more, or next to nothing, is meant to: this backup takes the place of the fuller ones
    #[arg(long)]
    allow_empty: bool,
    /// Made by the clock (cron, a timer), not by hand: the job's `retention` counts it, not `on_demand_retention`
    #[arg(long)]
    scheduled: bool,
}

/// How many names of what is missing a terminal gets.
const NAMES_SHOWN: usize = 20;

/// Runs `backup`.
pub fn run(args: BackupArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let request = BackupRequest {
        kind: if args.full {
            Kind::Full
        } else {
            Kind::Incremental
        },
        jobs: args.jobs,
        sources: args.sources,
        note: args.note,
        allow_empty: args.allow_empty,
        trigger: if args.scheduled {
            Trigger::Scheduled
        } else {
            Trigger::OnDemand
        },
    };
    if request
        .note
        .as_ref()
        .is_some_and(|note| note.trim().is_empty())
    {
        return Err(Error::new(ErrorKind::InvalidConfig, "the note is empty"));
    }
    let jobs = prepare(&engine, &request, &context.progress)?;
    if let Some(warning) = not_acted_on(engine.config()) {
        context.screen.warn(&warning.to_string());
    }
    let mut exit = Exit::Done;
    for job in jobs {
        exit = exit.max(run_job(job, &request, context)?);
    }
    Ok(exit)
}

fn run_job(job: PreparedJob, request: &BackupRequest, context: &Context) -> Result<Exit> {
    let display = Display::begin(&context.screen, &context.progress, Shown::Events);
    let result = crate::run::backup::run(job, request, &context.progress)?;
    drop(display);
    if context.screen.is_json() {
        context.screen.json_line(&to_json(&result))?;
    } else {
        if let Some(backup) = &result.backup {
            context
                .screen
                .result(&text(backup, &result, context.screen.style()))?;
        }
        tell_lacking(&result.reports, context);
    }
    for error in &result.errors {
        context.screen.error(error);
    }
    if !result.errors.is_empty() && !context.screen.is_json() {
        tell_state(&result, context);
    }
    Ok(if let Some(error) = result.errors.first() {
        // Something may have been touched: only what `prepare` finds is a matter of usage.
        match Exit::of(error) {
            Exit::Usage => Exit::Failed,
            exit => exit,
        }
    } else if result.is_incomplete() {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

/// The object of `list` for the backup just made, with what is known only now.
fn to_json(result: &JobResult) -> Value {
    let mut value = json!(result.backup);
    if value.is_null() {
        value = json!({"id": null, "job": result.job, "missing_sources": result.failed_sources});
    }
    value["seconds"] = json!((result.duration.as_secs_f64() * 1000.0).round() / 1000.0);
    value["errors"] = result
        .errors
        .iter()
        .map(|error| error.to_string())
        .collect();
    value["unreadable"] = per_source(&result.reports, |report| json!(report.unreadable));
    value["missing"] = per_source(&result.reports, |report| json!(report.missing));
    value["changed"] = per_source(&result.reports, |report| json!(report.changed));
    let stored: u64 = result
        .reports
        .iter()
        .map(|report| report.counts.data_added_packed)
        .sum();
    value["stored_bytes"] = json!(stored);
    value
}

fn per_source(reports: &[SourceReport], of: impl Fn(&SourceReport) -> Value) -> Value {
    let pairs = reports
        .iter()
        .map(|report| (report.source.clone(), of(report)));
    Value::Object(pairs.collect())
}

fn text(backup: &Backup, result: &JobResult, style: Style) -> String {
    let mut text = format!(
        "{} {}  {} · {} · {}\n",
        match backup.state {
            State::Complete => style.good("backup"),
            State::Incomplete => style.warning("incomplete backup"),
        },
        style.bold(&backup.id),
        clean(&result.job),
        backup.kind.as_deref().unwrap_or_default(),
        time::duration(result.duration),
    );
    for report in &result.reports {
        text.push_str(&source_text(report, backup, result.duration));
    }
    for source in &result.failed_sources {
        text.push_str(&format!(
            "  {}  {}\n",
            clean(source),
            style.bad("failed, and is not in this backup")
        ));
    }
    text
}

/// The source's name, and its figures below each other.
fn source_text(report: &SourceReport, backup: &Backup, duration: Duration) -> String {
    let counts = &report.counts;
    let mut read = format!(
        "{} in {}",
        size::bytes(report.summary.bytes),
        size::counted(report.summary.files, "file")
    );
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        let rate = size::rate(report.summary.bytes as f64 / seconds);
        read.push_str(&format!(" · {rate}"));
    }
    let mut lines = vec![read];
    if counts.files_unmodified > 0 || counts.files_changed > 0 {
        lines.push(format!(
            "{} new, {} changed, {} unchanged",
            size::count(counts.files_new),
            size::count(counts.files_changed),
            size::count(counts.files_unmodified)
        ));
    }
    lines.push(format!(
        "{} of new data, stored as {}",
        size::bytes(counts.data_added),
        size::bytes(counts.data_added_packed)
    ));
    let copies = backup
        .sources
        .iter()
        .filter(|source| source.source == report.source)
        .flat_map(|source| &source.copies);
    lines
        .extend(copies.map(|copy| format!("snapshot {} at {}", copy.id.short(), copy.destination)));
    let source = clean(&report.source);
    let indent = " ".repeat(crate::render::text::width(&source) + 4);
    format!("  {source}  {}\n", lines.join(&format!("\n{indent}")))
}

fn tell_lacking(reports: &[SourceReport], context: &Context) {
    for report in reports {
        let lacks = [
            (&report.unreadable, "file", "could not be read"),
            (&report.missing, "thing", "missing"),
        ];
        for (problems, noun, what) in lacks {
            tell_problems_of(&report.source, problems, noun, what, context);
        }
    }
    for report in reports.iter().filter(|report| !report.changed.is_empty()) {
        context.screen.warn(&format!(
            "{} of {} changed while it was read",
            size::counted(report.changed.len() as u64, "file"),
            report.source
        ));
    }
}

fn tell_problems_of(source: &str, problems: &[Problem], noun: &str, what: &str, context: &Context) {
    if problems.is_empty() {
        return;
    }
    context.screen.warn(&format!(
        "the backup of {source} is incomplete: {} {what}",
        size::counted(problems.len() as u64, noun)
    ));
    for problem in problems.iter().take(NAMES_SHOWN) {
        context.screen.message(&format!(
            "  {}: {}",
            clean(&problem.path),
            clean(&problem.message)
        ));
    }
    if let Some(more) = problems
        .len()
        .checked_sub(NAMES_SHOWN)
        .filter(|more| *more > 0)
    {
        context.screen.message(&format!(
            "  and {more} more: `strongroom show --json` names all"
        ));
    }
}

/// After a failure: what there is all the same.
fn tell_state(result: &JobResult, context: &Context) {
    let state = match &result.backup {
        Some(backup) if !result.failed_sources.is_empty() => format!(
            "job {} failed; its backup lacks {}, and has the rest at {}",
            result.job,
            result.failed_sources.join(", "),
            backup.partial_destinations.join(", ")
        ),
        Some(backup) if backup.destinations.is_empty() => format!(
            "job {} failed; its backup is incomplete at {}",
            result.job,
            backup.partial_destinations.join(", ")
        ),
        Some(backup) => format!(
            "job {} failed; its backup is complete at {}",
            result.job,
            backup.destinations.join(", ")
        ),
        None => format!("job {} failed; no backup was made", result.job),
    };
    context.screen.message(&clean(&state));
}
