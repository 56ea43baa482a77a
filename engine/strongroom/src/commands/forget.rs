//! `forget`: what retention keeps and why, and the rest removed.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::prune::{PruneOptions, Pruned};
use strongroom_repository::{Error, ErrorKind, Result, Time};

use super::prune;
use crate::app::Context;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::table::{Align, Cell, Table};
use crate::render::text::clean;
use crate::render::{size, time};
use crate::retention::groups::{Decided, Group, Held, Hosts};
use crate::run::forget::{DecidedAt, ForgetRequest, run as run_forget};
use crate::run::forget_named::{self, NamedAt, NamedRequest};
use crate::run::latest::Whose;
use crate::run::open::AtDestination;
use crate::run::prune::prune_all;

/// Arguments of `forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The jobs [default: all]
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Only at this destination; may be given several times
    #[arg(long = "destination", value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Of the backups by this host; may be given several times [default: this one]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Of the backups by all hosts
    #[arg(long, conflicts_with_all = ["hosts", "backups"])]
    all_hosts: bool,
    /// Show what is kept and why, and forget nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Then give back the space at the destinations where this succeeded, as `prune` does
    #[arg(long, conflicts_with = "dry_run")]
    prune: bool,
    /// With --prune: packs that no index names stay until they are so old; see `prune`
    #[arg(long, value_name = "TIME", default_value = "1d", requires = "prune", value_parser = prune::grace)]
    grace: Duration,
    /// Forget this backup instead, whatever the retention says: its id, its first 4 digits or more, or `latest`; may be given several times
    #[arg(long = "backup", value_name = "BACKUP", conflicts_with = "jobs")]
    backups: Vec<String>,
    /// With --backup: even the newest complete backup of a source
    #[arg(long, requires = "backups")]
    force: bool,
}

/// What a person who forgets to have space again should know.
const SPACE_IS_TAKEN: &str =
    "the space that only forgotten backups needed is still taken: `strongroom prune` frees it";

/// Runs `forget`.
pub fn run(args: ForgetArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    if !args.backups.is_empty() {
        return forget_named(&engine, args, context);
    }
    let request = ForgetRequest {
        jobs: args.jobs,
        destinations: args.destinations,
        hosts: match (args.all_hosts, args.hosts.is_empty()) {
            (true, _) => Hosts::All,
            (false, true) => Hosts::These(vec![engine.host()]),
            (false, false) => Hosts::These(args.hosts),
        },
        dry_run: args.dry_run,
        now: Time::now().point(),
    };
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let done = run_forget(&engine, &request, &context.progress)?;
    let succeeded = done.iter().filter(|at| at.error.is_none());
    let succeeded = succeeded.map(|at| at.destination.clone()).collect();
    let pruned = prune_after(
        args.prune.then_some(args.grace),
        succeeded,
        &engine,
        context,
    )?;
    drop(display);
    if context.screen.is_json() {
        let destinations = done.iter().map(to_json).collect();
        show_json(request.dry_run, destinations, pruned.as_deref(), context)?;
    } else {
        for at in &done {
            if let Some(held) = &at.held {
                let text = text(at, held, &engine.host(), request.dry_run, context);
                context.screen.result(&text)?;
            }
        }
    }
    let mut exit = Exit::Done;
    for error in done.iter().filter_map(|at| at.error.as_ref()) {
        context.screen.error(error);
        exit = Exit::Failed;
    }
    let has_forgotten = |at: &DecidedAt| {
        let held = at.held.as_ref().filter(|_| at.is_done);
        held.is_some_and(|held| decided(held).any(|backup| !backup.is_kept()))
    };
    if done.iter().any(has_forgotten) && !args.prune {
        context.screen.note(SPACE_IS_TAKEN);
    }
    if let Some(pruned) = &pruned {
        exit = exit.max(prune::show(pruned, false, context)?);
    }
    Ok(exit)
}

fn forget_named(engine: &Engine, args: ForgetArgs, context: &Context) -> Result<Exit> {
    let asked = match args.hosts.as_slice() {
        [] => None,
        [host] => Some(host.as_str()),
        _ => return Err(one_host()),
    };
    let request = NamedRequest {
        // What is removed is no guess.
        whose: Whose::new(engine.host(), asked).strictly(),
        backups: args.backups,
        destinations: args.destinations,
        force: args.force,
        dry_run: args.dry_run,
    };
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let done = forget_named::run(engine, &request, &context.progress)?;
    let succeeded = done.iter().filter(|at| at.error.is_none());
    let succeeded = succeeded.map(|at| at.destination.clone()).collect();
    let pruned = prune_after(args.prune.then_some(args.grace), succeeded, engine, context)?;
    drop(display);
    if context.screen.is_json() {
        let destinations = done.iter().map(named_to_json).collect();
        show_json(request.dry_run, destinations, pruned.as_deref(), context)?;
    } else {
        let verb = match request.dry_run {
            true => "would forget",
            false => "forgot",
        };
        for at in done.iter().filter(|at| at.error.is_none()) {
            for named in &at.found {
                context.screen.result(&format!(
                    "{}: {verb} {} of backup {}\n",
                    clean(&at.destination),
                    clean(&named.source),
                    clean(&named.short)
                ))?;
            }
        }
    }
    let mut exit = Exit::Done;
    for error in done.iter().flat_map(|at| &at.unreadable) {
        context.screen.error(error);
        exit = Exit::Incomplete;
    }
    for error in done.iter().filter_map(|at| at.error.as_ref()) {
        context.screen.error(error);
        exit = Exit::Failed;
    }
    if !request.dry_run
        && !args.prune
        && done
            .iter()
            .any(|at| at.error.is_none() && !at.found.is_empty())
    {
        context.screen.note(SPACE_IS_TAKEN);
    }
    if let Some(pruned) = &pruned {
        exit = exit.max(prune::show(pruned, false, context)?);
    }
    Ok(exit)
}

fn one_host() -> Error {
    let message = "--host names several hosts, and `latest` is the backup of one";
    Error::new(ErrorKind::InvalidConfig, message).hint("name one host, or each backup by its id")
}

/// Prunes `destinations` if that is wanted, with this grace.
fn prune_after(
    grace: Option<Duration>,
    destinations: Vec<String>,
    engine: &Engine,
    context: &Context,
) -> Result<Option<Vec<AtDestination<Pruned>>>> {
    // No name would mean all of them.
    let Some(grace) = grace.filter(|_| !destinations.is_empty()) else {
        return Ok(None);
    };
    let options = PruneOptions {
        grace,
        ..PruneOptions::default()
    };
    prune_all(engine, &destinations, &options, false, &context.progress).map(Some)
}

fn show_json(
    dry_run: bool,
    destinations: Vec<Value>,
    pruned: Option<&[AtDestination<Pruned>]>,
    context: &Context,
) -> Result<()> {
    let mut document = json!({"dry_run": dry_run, "destinations": destinations});
    if let Some(pruned) = pruned {
        document["pruned"] = pruned.iter().map(prune::to_json).collect();
    }
    context.screen.json(&document)
}

fn named_to_json(at: &NamedAt) -> Value {
    let found = at.found.iter().map(
        |named| json!({"id": named.backup, "source": named.source, "snapshot": named.snapshot}),
    );
    json!({
        "destination": at.destination,
        "error": at.error.as_ref().map(|error| error.to_string()),
        "unreadable": at.unreadable.iter().map(|error| error.to_string()).collect::<Vec<_>>(),
        "backups": found.collect::<Vec<_>>(),
    })
}

fn decided(held: &Held) -> impl Iterator<Item = &Decided> {
    held.groups.iter().flat_map(|group| &group.backups)
}

fn to_json(at: &DecidedAt) -> Value {
    let held = at.held.as_ref();
    let groups = held.map(|held| held.groups.iter().map(group_to_json).collect::<Vec<_>>());
    json!({
        "destination": at.destination,
        "error": at.error.as_ref().map(|error| error.to_string()),
        "groups": groups,
        "other_hosts": held.map(|held| &held.others),
        "unconfigured": held.map(|held| held.unconfigured),
        "foreign": held.map(|held| held.foreign),
    })
}

fn group_to_json(group: &Group) -> Value {
    let backups = group.backups.iter().map(|backup| {
        json!({
            "id": backup.run,
            "snapshot": backup.snapshot,
            "created": backup.time,
            "state": match backup.is_complete {
                true => "complete",
                false => "incomplete",
            },
            "almost_empty": backup.is_almost_empty,
            "keep": backup.is_kept(),
            "reasons": backup.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    json!({
        "job": group.job,
        "source": group.source,
        "host": group.host,
        "trigger": group.trigger.as_str(),
        "policy": group.policy.sentence(),
        "backups": backups.collect::<Vec<_>>(),
    })
}

/// What keeps a backup from standing for its source.
fn shortfall(backup: &Decided) -> Option<&'static str> {
    match (backup.is_complete, backup.is_almost_empty) {
        (false, _) => Some("incomplete"),
        (true, true) => Some("almost empty"),
        (true, false) => None,
    }
}

fn text(at: &DecidedAt, held: &Held, here: &str, dry_run: bool, context: &Context) -> String {
    let (style, width) = (context.screen.style(), context.screen.width());
    let mut text = String::new();
    for group in &held.groups {
        text.push_str(&format!(
            "{} · job {} · source {}{} · {}\n{}\n",
            style.bold(&clean(&at.destination)),
            clean(&group.job),
            clean(&group.source),
            match group.host == here {
                true => String::new(),
                false => format!(" · host {}", clean(&group.host)),
            },
            group.trigger.as_str(),
            group.policy.sentence()
        ));
        text.push_str(&table(group).render(style, width));
        if let Some(backup) = group.backups.iter().find(|it| it.is_almost_empty) {
            text.push_str(&format!(
                "{} holds next to nothing of what there was, and takes no other's place: if that is meant, `strongroom backup {} --source {} --allow-empty` \
                 makes one that does\n",
                clean(&backup.run),
                clean(&group.job),
                clean(&group.source)
            ));
        }
        text.push('\n');
    }
    let all = decided(held).count();
    let kept = decided(held).filter(|backup| backup.is_kept()).count();
    let forgotten = size::count((all - kept) as u64);
    text.push_str(&format!(
        "{}: {}, {} kept, {}\n",
        style.bold(&clean(&at.destination)),
        size::counted(all as u64, "backup"),
        size::count(kept as u64),
        match (at.is_done, dry_run) {
            (true, _) => format!("{forgotten} forgotten"),
            (false, true) => format!("{forgotten} would be forgotten"),
            (false, false) => format!("{forgotten} to forget"),
        }
    ));
    for (host, number) in &held.others {
        text.push_str(&format!(
            "left alone: {} by host {host}: `--host {host}` decides about them\n",
            size::counted(*number as u64, "backup"),
            host = clean(host)
        ));
    }
    if held.unconfigured > 0 {
        text.push_str(&format!(
            "left alone: {} of jobs or sources that the configuration does not send here\n",
            size::counted(held.unconfigured as u64, "backup")
        ));
    }
    if held.foreign > 0 {
        text.push_str(&format!(
            "left alone: {} that another program made\n",
            size::counted(held.foreign as u64, "snapshot")
        ));
    }
    text
}

fn table(group: &Group) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("TIME", Align::Left),
        ("STATE", Align::Left),
        ("PLAN", Align::Left),
        ("WHY", Align::Left),
    ]);
    for backup in &group.backups {
        let reasons: Vec<String> = backup.reasons.iter().map(ToString::to_string).collect();
        table.row(vec![
            Cell::painted(&backup.run, Style::bold),
            time::minute(backup.time.point(), &group.zone).into(),
            match shortfall(backup) {
                None => "".into(),
                Some(shortfall) => Cell::painted(shortfall, Style::warning),
            },
            match backup.is_kept() {
                true => Cell::painted("keep", Style::good),
                false => Cell::painted("forget", Style::warning),
            },
            reasons.join(", ").into(),
        ]);
    }
    table
}
