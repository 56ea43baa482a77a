//! `restore`: a backup into a directory, or into another configured source.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::source::Conflict;

use super::host::HostArg;
use super::list::tell_problems;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::size;
use crate::render::text::clean;
use crate::render::time::instant;
use crate::run::latest::Whose;
use crate::run::plugin_option::PluginOption;
use crate::run::restore::{Prepared, Request, Restored, Target, look, prepare, restore};
use crate::run::survey::Survey;

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["target", "to"])))]
pub struct RestoreArgs {
    /// The backup's id, its first 4 digits or more, or `latest`
    backup: String,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only from this destination [default: the first one that can be read]
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
    /// Restore below this directory, each source in a folder of its own name
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// Restore into this configured source
    #[arg(long, value_name = "SOURCE")]
    to: Option<String>,
    /// Only this path, relative to the source; may be given several times
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<OsString>,
    /// Replace files that exist
    #[arg(long)]
    overwrite: bool,
    /// Leave files that exist as they are
    #[arg(long, conflicts_with = "overwrite")]
    keep_existing: bool,
    /// Restore the rest where something of a database cannot be restored, and name what is missing
    #[arg(long, conflicts_with = "target")]
    go_on: bool,
    /// As it was at this time, where the backup reaches it: `2026-03-01 14:05` here, or `2026-03-01T13:05:00Z`
    #[arg(long, value_name = "TIME", conflicts_with = "target", value_parser = instant)]
    until: Option<Timestamp>,
    /// An option of the source's plugin, such as `rename.shop=shop_copy`; a name that holds a dot in quotes, as in
    /// `'rename."my.shop"=copy'`; may be given several times
    #[arg(long = "option", value_name = "KEY=VALUE", conflicts_with = "target", value_parser = PluginOption::parse)]
    options: Vec<PluginOption>,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// How many names of files a terminal gets.
const NAMES_SHOWN: usize = 20;

/// Runs `restore`.
pub fn run(args: RestoreArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let whose = args.host.whose(&engine);
    let request = request(args, whose);
    if let Target::Source(name) = &request.target {
        // A name or table that is wrong should show before anything is read.
        engine.source(name, &context.progress)?;
    }
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let survey = Survey::take(&engine, request.from.as_deref(), &context.progress)?;
    let Prepared { backup, sources } = prepare(&survey, &request, &context.progress)?;
    if let Some(shortfall) = backup.shortfall(request.source.as_deref()) {
        context.screen.warn(&shortfall);
    }
    // All of them first: what is in the way of one source must show before another one is written.
    let ready = sources
        .iter()
        .map(|source| look(&engine, &survey, source, &request, &context.progress))
        .collect::<Result<Vec<_>>>()?;
    let restored = ready
        .into_iter()
        .map(|ready| restore(ready, &request, &context.progress))
        .collect::<Result<Vec<_>>>()?;
    drop(display);
    if context.screen.is_json() {
        let sources: Vec<_> = restored.iter().map(to_json).collect();
        context
            .screen
            .json(&json!({"backup": backup.id, "sources": sources}))?;
    } else {
        for restored in &restored {
            context.screen.result(&text(restored))?;
            tell_restored_problems(restored, context);
        }
    }
    for error in restored.iter().filter_map(|it| it.damage.as_ref()) {
        context.screen.error(error);
    }
    // What was asked for was read: another destination's trouble is told, and is no trouble of this restore.
    tell_problems(&survey, context);
    let is_whole = |it: &Restored| it.problems.is_empty() && it.damaged.is_empty();
    let is_whole = restored.iter().all(is_whole);
    Ok(if is_whole {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn request(args: RestoreArgs, whose: Whose) -> Request {
    Request {
        backup: args.backup,
        whose,
        source: args.source,
        from: args.from,
        target: match (args.target, args.to) {
            (_, Some(source)) => Target::Source(source),
            (directory, None) => Target::Directory(directory.unwrap_or_default()),
        },
        paths: args.paths,
        go_on: args.go_on,
        until: args.until,
        options: args.options,
        conflict: match (args.overwrite, args.keep_existing) {
            (true, _) => Conflict::Overwrite,
            (_, true) => Conflict::KeepExisting,
            _ => Conflict::Fail,
        },
    }
}

fn to_json(restored: &Restored) -> Value {
    json!({
        "source": restored.source,
        "destination": restored.destination,
        "target": restored.target,
        "files": restored.summary.map(|summary| summary.files),
        "bytes": restored.summary.map(|summary| summary.bytes),
        "kept": restored.kept,
        "problems": restored.problems,
        "damaged": restored.damaged,
        "attributes": restored.attributes.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn text(restored: &Restored) -> String {
    let mut parts = Vec::new();
    if let Some(summary) = &restored.summary {
        parts.push(format!(
            "{} in {}",
            size::bytes(summary.bytes),
            size::counted(summary.files, "file")
        ));
    }
    if restored.kept > 0 {
        parts.push(format!(
            "{} kept as they were",
            size::counted(restored.kept, "file")
        ));
    }
    parts.push(format!("from {}", restored.destination));
    for (name, value) in &restored.attributes {
        parts.push(format!("{}: {}", clean(name), clean(value)));
    }
    format!(
        "restored {} to {}: {}\n",
        clean(&restored.source),
        clean(&restored.target),
        parts.join(" · ")
    )
}

fn tell_restored_problems(restored: &Restored, context: &Context) {
    let all = restored.problems.len() + restored.damaged.len();
    let problems = restored.problems.iter().chain(&restored.damaged);
    for problem in problems.take(NAMES_SHOWN) {
        context
            .screen
            .warn(&format!("{}: {}", problem.path, problem.message));
    }
    if all > NAMES_SHOWN {
        let more = all - NAMES_SHOWN;
        context
            .screen
            .warn(&format!("and {more} more: --json names all"));
    }
}
