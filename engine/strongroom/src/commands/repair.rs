//! `repair`: makes a damaged repository whole again, as far as its bytes are there, and names what is lost.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::check::Finding;
use strongroom_repository::repair::{
    Fate, IndexRepair, IndexRepairOptions, SnapshotRepair, SnapshotsRepair,
};
use strongroom_repository::snapshot::NOT_UNDERSTOOD;
use strongroom_repository::upgrade::Upgrade;

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::size;
use crate::render::text::clean;
use crate::run::backups::{backup_id, snapshot_name, source_name};
use crate::run::open::AtDestination;
use crate::run::repair::{repair_all_snapshots, repair_indexes};
use crate::run::upgrade::{FormatUpgrade, upgrade_formats};

/// What to repair.
#[derive(Debug, Subcommand)]
pub enum RepairCommand {
    /// Make the index anew: from what is left of it, and from the packs that it does not describe
    Index(IndexArgs),
    /// Replace backups that lack something by what is left of them, and drop those that cannot be read
    Snapshots(SnapshotsArgs),
    /// Bring a repository of format version 1, which compresses nothing, to version 2; restic reads it from 0.14 on then
    Format(FormatArgs),
}

/// Arguments of `repair index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// The destinations [default: all]
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Only show what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Ask every pack what it holds, not only those that no good index describes
    // As restic calls it.
    #[arg(long, alias = "read-all-packs")]
    all: bool,
}

/// Arguments of `repair snapshots`.
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// The destinations [default: all]
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Only show what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

/// Arguments of `repair format`.
#[derive(Debug, Args)]
pub struct FormatArgs {
    /// The destinations
    // Every one is to be named: there is no way back.
    #[arg(value_name = "DESTINATION", required = true)]
    destinations: Vec<String>,
    /// Only check whether it can be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

/// Runs `repair`.
pub fn run(command: &RepairCommand, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let progress = &context.progress;
    let display = Display::begin(&context.screen, progress, Shown::People);
    match command {
        RepairCommand::Index(args) => {
            let options = IndexRepairOptions {
                all: args.all,
                dry_run: args.dry_run,
            };
            let done = repair_indexes(&engine, &args.destinations, options, progress)?;
            drop(display);
            let kind = Kind {
                to_json: index_json,
                to_text: index_text,
                is_complete: |done| {
                    done.missing_packs.is_empty() && done.unreadable_packs.is_empty()
                },
                next: |_, destination| {
                    Some(format!(
                        "`strongroom repair snapshots {destination} --dry-run` names the files that this costs"
                    ))
                },
            };
            show(&done, args.dry_run, context, kind)
        }
        RepairCommand::Snapshots(args) => {
            let done = repair_all_snapshots(&engine, &args.destinations, args.dry_run, progress)?;
            drop(display);
            let kind = Kind {
                to_json: snapshots_json,
                to_text: snapshots_text,
                is_complete: |done| done.repairs.is_empty(),
                next: |done, destination| {
                    let is_lost =
                        |repair: &SnapshotRepair| !matches!(repair.fate, Fate::NotUnderstood(_));
                    done.repairs.iter().any(is_lost).then(|| {
                        format!(
                            "a new backup to {destination} stores again what its source still has"
                        )
                    })
                },
            };
            show(&done, args.dry_run, context, kind)
        }
        RepairCommand::Format(args) => {
            let done = upgrade_formats(&engine, &args.destinations, args.dry_run, progress)?;
            drop(display);
            let kind = Kind {
                to_json: format_json,
                to_text: format_text,
                is_complete: |_| true,
                next: |_, _| None,
            };
            show(&done, args.dry_run, context, kind)
        }
    }
}

/// How a kind of repair is shown.
struct Kind<T> {
    to_json: fn(&T) -> Value,
    to_text: fn(&T, bool) -> String,
    /// Nothing is lost, dropped or left alone.
    is_complete: fn(&T) -> bool,
    /// What to do at a destination where it is not so.
    next: fn(&T, &str) -> Option<String>,
}

/// Shows what became of each destination.
fn show<T>(
    done: &[AtDestination<T>],
    dry_run: bool,
    context: &Context,
    kind: Kind<T>,
) -> Result<Exit> {
    if context.screen.is_json() {
        let destinations = done.iter().map(|done| {
            let mut value = match &done.result {
                Ok(result) => (kind.to_json)(result),
                Err(error) => json!({"error": error.to_string()}),
            };
            value["destination"] = json!(done.destination);
            value
        });
        let destinations: Vec<_> = destinations.collect();
        context
            .screen
            .json(&json!({"dry_run": dry_run, "destinations": destinations}))?;
    }
    let (mut is_complete, mut has_failed) = (true, false);
    for done in done {
        match &done.result {
            Ok(result) => {
                if !context.screen.is_json() {
                    let text = (kind.to_text)(result, dry_run);
                    context
                        .screen
                        .result(&format!("{}: {text}", done.destination))?;
                }
                if !(kind.is_complete)(result) {
                    is_complete = false;
                    if let Some(next) = (kind.next)(result, &done.destination) {
                        context.screen.note(&next);
                    }
                }
            }
            Err(error) => {
                context.screen.error(error);
                has_failed = true;
            }
        }
    }
    Ok(match (has_failed, is_complete) {
        (true, _) => Exit::Failed,
        (false, false) => Exit::Incomplete,
        (false, true) => Exit::Done,
    })
}

fn index_json(done: &IndexRepair) -> Value {
    let findings = |findings: &[Finding]| -> Value {
        findings
            .iter()
            .map(|finding| json!({"subject": finding.subject, "message": finding.message}))
            .collect()
    };
    let missing: Vec<String> = done.missing_packs.iter().map(ToString::to_string).collect();
    json!({
        "changed": done.changed,
        "damaged_indexes": findings(&done.damaged_indexes),
        "missing_packs": missing,
        "unreadable_packs": findings(&done.unreadable_packs),
        "leftover_packs": findings(&done.leftover_packs),
        "packs_read": done.packs_read,
        "packs": done.packs,
        "blobs": done.blobs,
    })
}

fn index_text(done: &IndexRepair, dry_run: bool) -> String {
    let mut text = match (done.changed, dry_run) {
        (false, _) => "the index is sound\n".to_owned(),
        (true, true) => "the index would be made anew".to_owned(),
        (true, false) => "the index was made anew".to_owned(),
    };
    if done.changed {
        text.push_str(&format!(
            " · {} in {}, of which {}\n",
            size::counted(done.blobs as u64, "blob"),
            size::counted(done.packs as u64, "pack"),
            match done.packs_read {
                1 => "1 was asked".to_owned(),
                packs => format!("{} were asked", size::count(packs as u64)),
            },
        ));
    }
    // These messages begin with the object's name.
    for finding in &done.damaged_indexes {
        text.push_str(&format!("  {}\n", clean(&finding.message)));
    }
    for finding in &done.unreadable_packs {
        let subject = clean(&finding.subject);
        text.push_str(&format!("  {subject} {}\n", clean(&finding.message)));
    }
    for finding in &done.leftover_packs {
        text.push_str(&format!(
            "  note: {} {}; no index describes it: a run that was killed left it behind, and `strongroom prune` removes it\n",
            clean(&finding.subject),
            clean(&finding.message)
        ));
    }
    for pack in &done.missing_packs {
        text.push_str(&format!("  pack {} is missing\n", pack.short()));
    }
    text
}

fn format_json(done: &FormatUpgrade) -> Value {
    let Upgrade { from, to } = done.upgrade;
    json!({"from": from, "to": to, "old_config": done.old_config})
}

fn format_text(done: &FormatUpgrade, dry_run: bool) -> String {
    let Upgrade { from, to } = done.upgrade;
    if !done.upgrade.is_needed() {
        return format!("has format version {to} already\n");
    }
    if dry_run {
        return format!("would be brought from format version {from} to {to}\n");
    }
    let mut text = format!(
        "was brought from format version {from} to {to}; what is stored from now on is compressed\n"
    );
    if let Some(path) = &done.old_config {
        text.push_str(&format!("  the old config is kept as {}\n", path.display()));
    }
    text
}

fn snapshots_json(done: &SnapshotsRepair) -> Value {
    let repairs = done.repairs.iter().map(|repair| {
        let mut value = match &repair.fate {
            Fate::Dropped(why) => json!({"fate": "dropped", "message": why}),
            Fate::NotUnderstood(why) => json!({"fate": "kept", "message": why}),
            Fate::Replaced { new, changes } => {
                let changes = changes.iter();
                let changes: Vec<_> = changes
                    .map(|change| json!({"path": change.path, "message": change.message}))
                    .collect();
                let new = new.map(|id| id.to_string());
                json!({"fate": "replaced", "new": new, "changes": changes})
            }
        };
        value["snapshot"] = json!(repair.id);
        if let Some(snapshot) = &repair.snapshot {
            value["backup"] = json!(backup_id(&repair.id, snapshot));
            value["source"] = json!(source_name(snapshot));
        }
        value
    });
    let repairs: Vec<_> = repairs.collect();
    json!({"sound": done.sound, "repairs": repairs})
}

fn snapshots_text(done: &SnapshotsRepair, dry_run: bool) -> String {
    let is = if dry_run { "would be" } else { "was" };
    let sound = size::counted(done.sound as u64, "sound snapshot");
    let mut text = match done.repairs.len() {
        0 => format!("{sound}, nothing to repair\n"),
        number => format!("{sound}, {number} not\n"),
    };
    for repair in &done.repairs {
        let name = match &repair.snapshot {
            Some(snapshot) => snapshot_name(&repair.id, snapshot),
            None => format!("snapshot {}", repair.id.short()),
        };
        let line = match &repair.fate {
            Fate::Dropped(why) => format!("{is} dropped: {}", clean(why)),
            Fate::NotUnderstood(why) => {
                format!("{is} left alone: {}\n    {NOT_UNDERSTOOD}", clean(why))
            }
            Fate::Replaced { new: None, .. } => format!("{is} replaced"),
            Fate::Replaced { new: Some(new), .. } => format!("{is} replaced by {}", new.short()),
        };
        text.push_str(&format!("  {} {line}\n", clean(&name)));
        if let Fate::Replaced { changes, .. } = &repair.fate {
            for change in changes {
                let (path, message) = (clean(&change.path), clean(&change.message));
                text.push_str(&format!("    {path} {message}\n"));
            }
        }
    }
    text
}
