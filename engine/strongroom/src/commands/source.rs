//! `source`: looks at what can be backed up, without backing it up.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::json;
use strongroom_repository::Result;

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::table::details;
use crate::render::text::clean;

/// The commands below `source`.
#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// Connect to a source and show what would be backed up and what is missing; no data is moved
    Check {
        /// As in `[sources.NAME]`
        source: String,
    },
}

/// Runs `source`.
pub fn run(command: &SourceCommand, context: &Context) -> Result<Exit> {
    match command {
        SourceCommand::Check { source } => check(source, context),
    }
}

fn check(name: &str, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let mut prepared = engine.source(name, &context.progress)?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let attributes = prepared.source.check()?;
    drop(display);
    if context.screen.is_json() {
        let attributes: BTreeMap<_, _> = attributes.into_iter().collect();
        context
            .screen
            .json(&json!({"source": name, "plugin": prepared.plugin, "attributes": attributes}))?;
        return Ok(Exit::Done);
    }
    let style = context.screen.style();
    let names: Vec<_> = attributes.iter().map(|(name, _)| clean(name)).collect();
    let mut rows = vec![("source", style.bold(&clean(name)))];
    rows.push(("plugin", clean(&prepared.plugin).into_owned()));
    let told = names.iter().zip(&attributes);
    rows.extend(told.map(|(name, (_, value))| (&**name, clean(value).into_owned())));
    context.screen.result(&details(&rows, style))?;
    Ok(Exit::Done)
}
