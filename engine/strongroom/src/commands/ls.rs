//! `ls`: what a directory of a backup holds.

use std::ffi::{OsStr, OsString};

use clap::Args;
use jiff::tz::TimeZone;
use strongroom_repository::Result;
use strongroom_repository::contents::Found;

use super::entries::{Output, if_any, long_line, shown_path, to_json};
use super::host::HostArg;
use super::list::tell_problems;
use super::show_files::{list_files, no_such_path};
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::run::backups::{Backup, BackupSource};
use crate::run::latest::find;
use crate::run::path::meant;
use crate::run::survey::Survey;

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// The backup's id, its first 4 digits or more, or `latest`
    backup: String,
    /// A directory or file in it, relative to the source [default: everything at the top]
    path: Option<OsString>,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Show mode, size and time too
    #[arg(long, short)]
    long: bool,
    /// Show what lies below, too
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// How an entry is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Its path.
    Short,
    /// As `ls -l` shows it.
    Long,
}

impl Form {
    /// The line for an entry.
    pub fn line(self, found: &Found, zone: &TimeZone) -> String {
        match self {
            Self::Short => format!("{}\n", shown_path(&found.path, found.node.node_type)),
            Self::Long => long_line(found, zone),
        }
    }

    /// Paths alone are for other programs too, as long as one source makes clear what they mean.
    pub fn has_headings(self, sources: &[&BackupSource]) -> bool {
        self == Self::Long || sources.len() > 1
    }
}

/// Runs `ls`.
pub fn run(args: &LsArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let survey = Survey::take(&engine, None, &context.progress)?;
    let backup = find(
        &survey.backups,
        &args.backup,
        args.source.as_deref(),
        &args.host.whose(&engine),
        &context.progress,
    )?;
    let sources = backup.chosen(args.source.as_deref())?;
    drop(display);
    let form = match args.long {
        true => Form::Long,
        false => Form::Short,
    };
    if args.recursive {
        let paths: Vec<OsString> = args.path.clone().into_iter().collect();
        list_files(&survey, backup, &sources, &paths, form, context)?;
    } else {
        let path = args.path.as_deref().unwrap_or_default();
        list_directory(&survey, backup, &sources, path, form, context)?;
    }
    // All that was asked for was shown: another destination's trouble is told, and is no trouble of this one.
    tell_problems(&survey, context);
    Ok(Exit::Done)
}

fn list_directory(
    survey: &Survey,
    backup: &Backup,
    sources: &[&BackupSource],
    path: &OsStr,
    form: Form,
    context: &Context,
) -> Result<()> {
    let mut out = Output::new(context);
    let mut is_found = false;
    for source in sources {
        let (_, found) = survey.read(source, &context.progress, |reading| {
            if_any(reading.contents.list(meant(&reading.contents, path)))
        })?;
        let Some(found) = found else {
            continue;
        };
        is_found = true;
        if form.has_headings(sources) {
            out.heading(&source.source);
        }
        for found in found {
            out.entry(
                |out| form.line(&found, &out.zone),
                || to_json(&source.source, &found),
            )?;
        }
    }
    match is_found {
        true => out.finish(),
        false => Err(no_such_path(path, backup)),
    }
}
