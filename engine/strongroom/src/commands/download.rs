//! `download`: a backup as ordinary files.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use strongroom_repository::Result;

use super::host::HostArg;
use super::list::tell_problems;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::size;
use crate::render::text::clean;
use crate::run::download::{Downloaded, Request, download};
use crate::run::latest::find;
use crate::run::outside::check_folder;
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
    /// Only this path, relative to the source; may be given several times. A single file comes as it is
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<OsString>,
    /// The folder to write to; made where it is missing
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// Runs `download`.
pub fn run(args: &DownloadArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let from = args.from.as_deref();
    let survey = Survey::take(&engine, from, &context.progress)?;
    let backup = find(
        &survey.backups,
        &args.backup,
        args.source.as_deref(),
        &args.host.whose(&engine),
        &context.progress,
    )
    .map_err(|error| not_found_at(from, error))?;
    let sources = backup
        .chosen(args.source.as_deref())
        .map_err(|error| not_found_at(from, error))?;
    if !args.paths.is_empty() {
        backup.only_one(&sources)?;
    }
    if let Some(shortfall) = backup.shortfall(args.source.as_deref()) {
        context.screen.warn(&shortfall);
    }
    let request = Request {
        output: args.output.clone(),
        paths: args.paths.clone(),
    };
    check_folder(&engine, &args.output, &context.progress)?;
    let mut files = Vec::new();
    for source in sources {
        let progress = &context.progress;
        files.extend(download(&survey, backup, source, &request, progress)?);
    }
    drop(display);
    if context.screen.is_json() {
        let files: Vec<_> = files.iter().map(to_json).collect();
        context
            .screen
            .json(&json!({"backup": backup.id, "files": files}))?;
    } else {
        for file in &files {
            context.screen.result(&text(file))?;
        }
    }
    // What was asked for was read: another destination's trouble is told, and is no trouble of this download.
    tell_problems(&survey, context);
    Ok(Exit::Done)
}

fn text(file: &Downloaded) -> String {
    let path = file.path.to_string_lossy();
    let archived = file.archived.map(|archived| archived.files);
    let holds = archived.map(|files| format!(", {}", size::counted(files, "file")));
    format!(
        "{}  {}{}\n",
        clean(&path),
        size::bytes(file.size),
        holds.unwrap_or_default()
    )
}

fn to_json(file: &Downloaded) -> serde_json::Value {
    json!({
        "source": file.source,
        "path": file.path,
        "size": file.size,
        "files": file.archived.map_or(1, |archived| archived.files),
        "bytes": file.archived.map_or(file.size, |archived| archived.bytes),
    })
}
