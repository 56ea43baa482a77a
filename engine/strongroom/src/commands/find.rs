//! `find`: which backups hold something of a name.

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::find::{Finder, Hit};

use super::entries::{Output, shown_path};
use super::host::HostArg;
use super::list::tell_problems;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::text::{clean, truncate, width};
use crate::render::{size, time};
use crate::run::backups::Backup;
use crate::run::latest::find;
use crate::run::names::refuse_unknown;
use crate::run::survey::Survey;

/// Arguments of `find`.
#[derive(Debug, Args)]
pub struct FindArgs {
    /// A name with `*`, `?` and `[…]`; with a slash in it, a path relative to the source, where `**` stands for any folders
    pattern: String,
    /// Only in these backups: ids, their first 4 digits or more, or `latest` [default: all]
    #[arg(value_name = "BACKUP")]
    backups: Vec<String>,
    /// Only in backups of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only in this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// How wide the names of sources are shown.
const SOURCE_WIDTH: usize = 12;

/// Runs `find`.
pub fn run(args: &FindArgs, context: &Context) -> Result<Exit> {
    let mut finder = Finder::new(&args.pattern)?;
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let survey = Survey::take(&engine, None, &context.progress)?;
    let (job, source) = (args.job.as_deref(), args.source.as_deref());
    refuse_unknown(job, source, &engine, &survey.backups)?;
    let whose = args.host.whose(&engine);
    let backups = match args.backups.is_empty() {
        true => survey.backups.iter().collect(),
        false => args
            .backups
            .iter()
            .map(|name| find(&survey.backups, name, source, &whose, &context.progress))
            .collect::<Result<Vec<_>>>()?,
    };
    context.progress.step("searching");
    let mut out = Output::new(context);
    let mut exit = Exit::Done;
    for backup in backups {
        if job.is_some() && backup.job.as_deref() != job {
            continue;
        }
        for in_backup in &backup.sources {
            if source.is_some_and(|name| name != in_backup.source) {
                continue;
            }
            let searched = survey.read(in_backup, &context.progress, |reading| {
                finder.search(&reading.contents, &context.progress)
            });
            match searched {
                Ok((_, hits)) => tell(&mut out, backup, &in_backup.source, &hits)?,
                Err(error) if error.is_damage() => {
                    // The others may be sound.
                    let what = format!("{} in backup {}", in_backup.source, backup.short_id());
                    context.screen.error(&error.on(what));
                    exit = Exit::Failed;
                }
                Err(error) => return Err(error),
            }
        }
    }
    drop(display);
    let is_empty = out.is_empty();
    out.finish()?;
    if is_empty {
        let pattern = clean(&args.pattern);
        context.screen.note(&format!("nothing matches '{pattern}'"));
    }
    Ok(exit.max(tell_problems(&survey, context)))
}

fn tell(out: &mut Output<'_>, backup: &Backup, source: &str, hits: &[Hit]) -> Result<()> {
    for hit in hits {
        if out.is_empty() {
            out.heading(&columns("BACKUP", "TIME", "SOURCE", "TYPE", "SIZE", "PATH"));
        }
        out.entry(
            |out| {
                let created = time::minute(backup.created.point(), &out.zone);
                let bytes = hit.entry.size.map(size::bytes).unwrap_or_default();
                let line = columns(
                    backup.short_id(),
                    &created,
                    source,
                    hit.entry.node_type.as_str(),
                    &bytes,
                    &shown_path(&hit.path, hit.entry.node_type),
                );
                line + "\n"
            },
            || to_json(backup, source, hit),
        )?;
    }
    Ok(())
}

/// Lines are printed as they are found, so columns have their widths beforehand.
fn columns(
    backup: &str,
    created: &str,
    source: &str,
    kind: &str,
    bytes: &str,
    path: &str,
) -> String {
    let (backup, source) = (clean(backup), clean(source));
    let source = truncate(&source, SOURCE_WIDTH);
    let padding = " ".repeat(SOURCE_WIDTH - width(&source));
    format!("{backup:<10}  {created:<16}  {source}{padding}  {kind:<7}  {bytes:>8}  {path}")
}

fn to_json(backup: &Backup, source: &str, hit: &Hit) -> Value {
    json!({
        "backup": backup.id,
        "created": backup.created,
        "job": backup.job,
        "source": source,
        "path": String::from_utf8_lossy(&hit.path),
        "type": hit.entry.node_type.as_str(),
        "size": hit.entry.size,
        "modified": hit.entry.modified,
    })
}
