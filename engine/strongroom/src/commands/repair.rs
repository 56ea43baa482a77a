//! `repair`: makes a damaged repository whole again, as far as its bytes are there, and names what is lost.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::check::Finding;
use strongroom_repository::repair::{Fate, IndexRepair, IndexRepairOptions, SnapshotsRepair};

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::size;
use crate::render::text::clean;
use crate::run::open::AtDestination;
use crate::run::repair::{repair_all_snapshots, repair_indexes};

/// What to repair.
#[derive(Debug, Subcommand)]
pub enum RepairCommand {
    /// Make the index anew: from what is left of it, and from the packs that it does not describe
    Index(IndexArgs),
    /// Replace backups that lack something by what is left of them, and drop those that cannot be read
    Snapshots(SnapshotsArgs),
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
    #[arg(long)]
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
            show(&done, context, index_json, |done| {
                index_text(done, args.dry_run)
            })
        }
        RepairCommand::Snapshots(args) => {
            let done = repair_all_snapshots(&engine, &args.destinations, args.dry_run, progress)?;
            drop(display);
            show(&done, context, snapshots_json, |done| {
                snapshots_text(done, args.dry_run)
            })
        }
    }
}

/// Shows what became of each destination.
fn show<T>(
    done: &[AtDestination<T>],
    context: &Context,
    to_json: impl Fn(&T) -> Value,
    to_text: impl Fn(&T) -> String,
) -> Result<Exit> {
    if context.screen.is_json() {
        let repositories = done.iter().map(|done| {
            let mut value = match &done.result {
                Ok(result) => to_json(result),
                Err(error) => json!({"error": error.to_string()}),
            };
            value["destination"] = json!(done.destination);
            value
        });
        let repositories: Vec<_> = repositories.collect();
        context
            .screen
            .json(&json!({"repositories": repositories}))?;
    }
    let mut exit = Exit::Done;
    for done in done {
        match &done.result {
            Ok(_) if context.screen.is_json() => {}
            Ok(result) => {
                let text = format!("{}: {}", done.destination, to_text(result));
                context.screen.result(&text)?;
            }
            Err(error) => {
                context.screen.error(error);
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
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
    for pack in &done.missing_packs {
        text.push_str(&format!("  pack {} is missing\n", pack.short()));
    }
    text
}

fn snapshots_json(done: &SnapshotsRepair) -> Value {
    let repairs = done.repairs.iter().map(|repair| {
        let id = repair.id.to_string();
        match &repair.fate {
            Fate::Dropped(why) => json!({"snapshot": id, "fate": "dropped", "message": why}),
            Fate::NotUnderstood(why) => json!({"snapshot": id, "fate": "kept", "message": why}),
            Fate::Replaced { new, changes } => {
                let changes = changes.iter();
                let changes: Vec<_> = changes
                    .map(|change| json!({"path": change.path, "message": change.message}))
                    .collect();
                let new = new.map(|id| id.to_string());
                json!({"snapshot": id, "fate": "replaced", "new": new, "changes": changes})
            }
        }
    });
    let repairs: Vec<_> = repairs.collect();
    json!({"sound": done.sound, "repairs": repairs})
}

fn snapshots_text(done: &SnapshotsRepair, dry_run: bool) -> String {
    let would = if dry_run { "would be" } else { "was" };
    let sound = size::counted(done.sound as u64, "sound snapshot");
    let mut text = match done.repairs.len() {
        0 => format!("{sound}, nothing to repair\n"),
        number => format!("{sound}, {number} not\n"),
    };
    for repair in &done.repairs {
        let id = repair.id.short();
        let line = match &repair.fate {
            Fate::Dropped(why) => format!("{would} dropped: {}", clean(why)),
            Fate::NotUnderstood(why) => format!("was left alone: {}", clean(why)),
            Fate::Replaced { new: None, .. } => format!("{would} replaced"),
            Fate::Replaced { new: Some(new), .. } => format!("{would} replaced by {}", new.short()),
        };
        text.push_str(&format!("  snapshot {id} {line}\n"));
        if let Fate::Replaced { changes, .. } = &repair.fate {
            for change in changes {
                let (path, message) = (clean(&change.path), clean(&change.message));
                text.push_str(&format!("    {path} {message}\n"));
            }
        }
    }
    text
}
