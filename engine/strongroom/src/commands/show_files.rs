//! `show --files` and `ls --recursive`: everything that a backup holds, in the words that `restore --path` takes.

use std::ffi::{OsStr, OsString};

use strongroom_repository::restore::Selection;
use strongroom_repository::{Error, ErrorKind, Result};

use super::entries::{Output, to_json};
use super::ls::Form;
use crate::app::Context;
use crate::run::backups::{Backup, BackupSource};
use crate::run::path::all_meant;
use crate::run::survey::Survey;

/// Prints the entries of `sources` at or below `paths`, or all entries where there are none.
pub fn list_files(
    survey: &Survey,
    backup: &Backup,
    sources: &[&BackupSource],
    paths: &[OsString],
    form: Form,
    context: &Context,
) -> Result<()> {
    let mut missing = vec![true; paths.len()];
    let mut out = Output::new(context);
    for source in sources {
        // What was printed cannot be taken back, so a copy that turns out to be damaged ends it.
        let (reading, ()) = survey.read(source, &context.progress, |_| Ok(()))?;
        // A source in which nothing was asked for is left out, an empty one is not.
        let mut needs_heading = form.has_headings(sources);
        if needs_heading && paths.is_empty() {
            out.heading(&source.source);
            needs_heading = false;
        }
        let contents = &reading.contents;
        let wanted = all_meant(contents, paths);
        let selection = Selection::new(&wanted);
        for found in contents.walk_selected(contents.root().clone(), &selection) {
            context.progress.check_cancelled()?;
            let found = found?;
            for (missing, path) in missing.iter_mut().zip(&wanted) {
                *missing &= *path != found.path;
            }
            // The directories on the way to what is selected are not asked for.
            if !found.path.is_empty() && selection.includes(&found.path) {
                if std::mem::take(&mut needs_heading) {
                    out.heading(&source.source);
                }
                out.entry(
                    |out| form.line(&found, &out.zone),
                    || to_json(&source.source, &found),
                )?;
            }
        }
    }
    out.finish()?;
    match missing.iter().zip(paths).find(|(missing, _)| **missing) {
        None => Ok(()),
        Some((_, path)) => Err(no_such_path(path, backup)),
    }
}

/// What was asked for is in none of the sources.
pub fn no_such_path(path: &OsStr, backup: &Backup) -> Error {
    let id = backup.short_id();
    let path = path.display();
    Error::new(ErrorKind::NotFound, format!("no '{path}' in backup {id}")).hint(format!(
        "paths are relative to the source: `strongroom ls --recursive {id}` shows them all"
    ))
}
