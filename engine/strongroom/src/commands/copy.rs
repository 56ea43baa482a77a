//! `copy`: brings one destination up to another.

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use strongroom_repository::copy::CopyReport;
use strongroom_repository::{Error, Id, Result, Snapshot};

use super::host::HostArg;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::table::{Align, Cell, Table};
use crate::render::{size, time};
use crate::run::backups::{backup_id, snapshot_name, source_name};
use crate::run::copy::{Request, copy_backups};

/// Arguments of `copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The destination that has the backups
    from: String,
    /// The destination that gets those that it lacks
    to: String,
    /// Only these backups: ids, their first 4 digits or more, or `latest` [default: all]
    #[arg(value_name = "BACKUP")]
    backups: Vec<String>,
    /// Only backups of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Show what would be copied, and copy nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// Runs `copy`.
pub fn run(args: CopyArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let request = Request {
        from: args.from,
        to: args.to,
        backups: args.backups,
        whose: args.host.whose(&engine),
        job: args.job,
        is_dry_run: args.dry_run,
    };
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let report = copy_backups(&engine, &request, &context.progress)?;
    drop(display);
    if context.screen.is_json() {
        context.screen.json(&to_json(&report, &request, context))?;
    } else {
        context.screen.result(&text(&report, &request, context))?;
    }
    for (id, snapshot, error) in &report.failed {
        context.screen.error(&not_copied(id, snapshot, error));
    }
    // Whether a snapshot that cannot be read was meant is only certain where all are.
    let is_all = request.backups.is_empty() && request.job.is_none();
    for error in &report.unreadable {
        match is_all {
            true => context.screen.error(error),
            false => context.screen.warning(error),
        }
    }
    let has_failed = !report.failed.is_empty() || is_all && !report.unreadable.is_empty();
    Ok(if has_failed { Exit::Failed } else { Exit::Done })
}

fn not_copied(id: &Id, snapshot: &Snapshot, error: &Error) -> Error {
    let name = snapshot_name(id, snapshot);
    error.clone().on(format!("{name} was not copied"))
}

fn text(report: &CopyReport, request: &Request, context: &Context) -> String {
    let mut table = Table::new(&[
        ("BACKUP", Align::Left),
        ("TIME", Align::Left),
        ("JOB", Align::Left),
        ("SOURCE", Align::Left),
        ("SIZE", Align::Right),
        ("STATE", Align::Left),
    ])
    .expendable(&["JOB", "SIZE"]);
    let copied = match request.is_dry_run {
        true => Cell::from("would be copied"),
        false => Cell::painted("copied", Style::good),
    };
    for done in &report.copied {
        table.row(row(&done.id, &done.snapshot, copied.clone()));
    }
    for (id, snapshot, _) in &report.failed {
        table.row(row(id, snapshot, Cell::painted("damaged", Style::bad)));
    }
    let mut text = String::new();
    if !table.is_empty() {
        text = table.render(context.screen.style(), context.screen.width());
    }
    let volume = &report.volume;
    let mut parts = vec![format!(
        "{} {}: {} in {}",
        match request.is_dry_run {
            true => "would copy",
            false => "copied",
        },
        size::counted(report.copied.len() as u64, "snapshot"),
        size::bytes(volume.bytes),
        size::counted(volume.blobs, "blob"),
    )];
    if volume.whole_packs > 0 {
        parts.push(format!(
            "{} as they are",
            size::counted(volume.whole_packs, "pack")
        ));
    }
    if report.present > 0 {
        let present = size::counted(report.present as u64, "snapshot");
        parts.push(format!("{} has {present} already", request.to));
    }
    text + &parts.join(" · ") + "\n"
}

fn row(id: &Id, snapshot: &Snapshot, state: Cell) -> Vec<Cell> {
    let bytes = snapshot.summary.as_ref();
    let bytes = bytes.map(|summary| size::bytes(summary.total_bytes_processed));
    vec![
        Cell::painted(short_backup_id(id, snapshot), Style::bold),
        time::minute(snapshot.time.point(), &TimeZone::system()).into(),
        snapshot.tag("job").unwrap_or("-").into(),
        source_name(snapshot).into(),
        bytes.unwrap_or_else(|| "-".into()).into(),
        state,
    ]
}

/// A run's id is short as it is.
fn short_backup_id(id: &Id, snapshot: &Snapshot) -> String {
    match snapshot.tag("run") {
        Some(run) => run.to_owned(),
        None => id.short(),
    }
}

fn to_json(report: &CopyReport, request: &Request, context: &Context) -> Value {
    let object = |id: &Id, snapshot: &Snapshot| {
        json!({
            "backup": backup_id(id, snapshot),
            "source": source_name(snapshot),
            "created": snapshot.time,
            "snapshot": id,
        })
    };
    let with = |mut object: Value, key: &str, value: Value| {
        object[key] = value;
        object
    };
    let copied = report.copied.iter().map(|done| {
        let object = object(&done.id, &done.snapshot);
        with(object, "copy", json!(done.copy))
    });
    let failed = report.failed.iter().map(|(id, snapshot, error)| {
        let object = object(id, snapshot);
        with(object, "error", json!(error.to_string()))
    });
    let unreadable = report.unreadable.iter().map(ToString::to_string);
    let stored_bytes = &context.progress.stored_bytes;
    json!({
        "from": request.from,
        "to": request.to,
        "dry_run": request.is_dry_run,
        "copied": copied.collect::<Vec<_>>(),
        "failed": failed.collect::<Vec<_>>(),
        "unreadable": unreadable.collect::<Vec<_>>(),
        "present": report.present,
        "blobs": report.volume.blobs,
        "bytes": report.volume.bytes,
        "packs": report.volume.packs,
        "whole_packs": report.volume.whole_packs,
        "stored_bytes": stored_bytes.load(std::sync::atomic::Ordering::Relaxed),
    })
}
