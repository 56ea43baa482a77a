//! `download`: a backup as ordinary files.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use strongroom_repository::Result;

use super::list::tell_problems;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::size;
use crate::run::backups::find;
use crate::run::download::{Downloaded, download};
use crate::run::survey::{Survey, not_found_at};

/// Arguments of `download`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The backup's id, its first 4 digits or more, or `latest`
    backup: String,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only from this destination [default: the first one that can be read]
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
    /// The folder to write to, one file a source; made where it is missing
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Runs `download`.
pub fn run(args: &DownloadArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let from = args.from.as_deref();
    let survey = Survey::take(&engine, from, &context.progress)?;
    let backup = find(&survey.backups, &args.backup, args.source.as_deref())
        .map_err(|error| not_found_at(from, error))?;
    let sources = match &args.source {
        Some(name) => vec![
            backup
                .source(name)
                .map_err(|error| not_found_at(from, error))?,
        ],
        None => backup.sources.iter().collect(),
    };
    let files = sources
        .iter()
        .map(|source| download(&survey, backup, source, &args.output, &context.progress))
        .collect::<Result<Vec<_>>>()?;
    drop(display);
    if context.screen.is_json() {
        let files: Vec<_> = files.iter().map(to_json).collect();
        context
            .screen
            .json(&json!({"backup": backup.id, "files": files}))?;
    } else {
        for file in &files {
            context.screen.result(&format!(
                "{}  {}, {}\n",
                file.path.display(),
                size::bytes(file.size),
                size::counted(file.summary.files, "file")
            ))?;
        }
    }
    // What was asked for was read: another destination's trouble is told, and is no trouble of this download.
    tell_problems(&survey, context);
    Ok(Exit::Done)
}

fn to_json(file: &Downloaded) -> serde_json::Value {
    json!({
        "source": file.source,
        "path": file.path,
        "size": file.size,
        "files": file.summary.files,
        "bytes": file.summary.bytes,
    })
}
