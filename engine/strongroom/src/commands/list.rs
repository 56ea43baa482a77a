//! `list`: the backups, newest last.

use clap::Args;
use jiff::tz::TimeZone;
use serde::Serialize;
use strongroom_repository::{Result, Time};

use crate::app::Context;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::table::{Align, Cell, Table};
use crate::render::{size, time};
use crate::run::backups::{Backup, State};
use crate::run::names::refuse_unknown;
use crate::run::proofs::{Known, Proofs, Standing};
use crate::run::survey::Survey;

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only backups of this job
    job: Option<String>,
    /// Only backups that hold this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only backups by this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
}

/// Runs `list`.
pub fn run(args: &ListArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let survey = Survey::take(&engine, None, &context.progress)?;
    drop(display);
    let known = known_proofs(&engine, context);
    let backups: Vec<&Backup> = survey
        .backups
        .iter()
        .filter(|backup| is_wanted(backup, args))
        .collect();
    if backups.is_empty() {
        let (job, source) = (args.job.as_deref(), args.source.as_deref());
        refuse_unknown(job, source, &engine, &survey.backups)?;
    }
    if context.screen.is_json() {
        let listed = backups.iter().map(|backup| Listed {
            backup,
            proof: known.standing(backup),
        });
        context.screen.json(&listed.collect::<Vec<_>>())?;
    } else if backups.is_empty() {
        if survey.problems.is_empty() {
            context.screen.note(&match &args.host {
                Some(host) => format!("there is no backup by host {host}"),
                None => "there is no backup yet".to_owned(),
            });
        }
    } else {
        let style = context.screen.style();
        let width = context.screen.width();
        context
            .screen
            .result(&table(&backups, &known, &engine).render(style, width))?;
    }
    tell_to_come(&backups, context);
    Ok(tell_problems(&survey, context))
}

/// Times that have not come: the clock was wrong, then or now.
fn tell_to_come(backups: &[&Backup], context: &Context) {
    let now = Time::now();
    let to_come = backups.iter().filter(|it| it.created.is_to_come(now));
    let ids: Vec<&str> = to_come.map(|it| it.short_id()).collect();
    if !ids.is_empty() {
        context.screen.warn(&format!(
            "by the clock of this machine the time of these has not come: {}",
            ids.join(", ")
        ));
    }
}

/// A backup, and what verifications found of it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    backup: &'a Backup,
    proof: Option<Standing>,
}

/// What verifications found. That it cannot be read is told, and keeps nobody from their backups.
pub(super) fn known_proofs(engine: &Engine, context: &Context) -> Known {
    Proofs::of(engine).read().unwrap_or_else(|error| {
        context.screen.warn(&error.to_string());
        Known::default()
    })
}

/// Names what could not be read: the list may lack something.
pub fn tell_problems(survey: &Survey, context: &Context) -> Exit {
    for problem in &survey.problems {
        context.screen.error(problem);
    }
    if survey.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    }
}

fn is_wanted(backup: &Backup, args: &ListArgs) -> bool {
    let of_job = args.job.is_none() || backup.job == args.job;
    let of_source = args.source.as_ref().is_none_or(|name| backup.holds(name));
    let of_host = args.host.as_ref().is_none_or(|host| backup.host == *host);
    of_job && of_source && of_host
}

fn table(backups: &[&Backup], known: &Known, engine: &Engine) -> Table {
    let (jobs, host) = (engine.config().job_names(), engine.host());
    let has_others = backups.iter().any(|backup| backup.host != host);
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("TIME", Align::Left),
        ("HOST", Align::Left),
        ("JOB", Align::Left),
        ("SOURCES", Align::Left),
        ("KIND", Align::Left),
        ("TRIGGER", Align::Left),
        ("SIZE", Align::Right),
        ("NEW", Align::Right),
        ("WHERE", Align::Left),
        ("STATE", Align::Left),
        ("PROVEN", Align::Left),
        ("NOTE", Align::Left),
    ])
    .expendable(&["TRIGGER", "WHERE", "KIND", "JOB", "NEW"]);
    let (zone, now) = (TimeZone::system(), Time::now());
    for backup in backups {
        let sources: Vec<_> = backup
            .sources
            .iter()
            .map(|source| source.source.as_str())
            .collect();
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let total = |of: fn(&crate::run::backups::BackupSource) -> Option<u64>| {
            let sum: Option<u64> = backup.sources.iter().map(of).sum();
            sum.map_or_else(|| "-".into(), size::bytes)
        };
        let state = backup.state.as_str();
        let created = time::minute(backup.created.point(), &zone);
        table.row(vec![
            Cell::painted(backup.short_id(), Style::bold),
            match backup.created.is_to_come(now) {
                true => Cell::painted(created, Style::warning),
                false => created.into(),
            },
            match has_others {
                true => backup.host.as_str().into(),
                false => "".into(),
            },
            match &backup.job {
                // Which jobs another host has, its own configuration says.
                Some(job) if !jobs.contains(job) && backup.host == host => {
                    Cell::painted(format!("{job} (orphaned)"), Style::warning)
                }
                job => or_dash(job).into(),
            },
            match backup.missing_sources.as_slice() {
                [] => sources.join(", ").into(),
                missing => Cell::painted(
                    format!("{}, not {}", sources.join(", "), missing.join(", ")),
                    Style::warning,
                ),
            },
            or_dash(&backup.kind).into(),
            or_dash(&backup.trigger).into(),
            total(|source| source.bytes).into(),
            total(|source| source.new_bytes).into(),
            backup.places().into(),
            match backup.state {
                State::Complete => state.into(),
                State::Incomplete => Cell::painted(state, Style::warning),
            },
            proven(known.standing(backup), &zone),
            backup.note.clone().unwrap_or_default().into(),
        ]);
    }
    table
}

fn proven(standing: Option<Standing>, zone: &TimeZone) -> Cell {
    match standing {
        None => "-".into(),
        Some(Standing::Proven { time }) => {
            Cell::painted(time::minute(time.point(), zone), Style::good)
        }
        Some(Standing::Failed { .. }) => Cell::painted("failed", Style::bad),
        Some(Standing::Partly { proven, of }) => format!("{proven} of {of}").into(),
    }
}
