//! Names of jobs and sources that a person typed: known ones pass.

use strongroom_repository::Result;

use super::backups::Backup;
use crate::config::Section;
use crate::engine::{Engine, unknown_name};

/// A misspelt job or source is no empty list. One that was taken out of the configuration still has backups.
pub fn refuse_unknown(
    job: Option<&str>,
    source: Option<&str>,
    engine: &Engine,
    backups: &[Backup],
) -> Result<()> {
    let config = engine.config();
    if let Some(job) = job {
        let jobs = config.job_names();
        let has_backups = backups
            .iter()
            .any(|backup| backup.job.as_deref() == Some(job));
        if !jobs.iter().any(|known| known == job) && !has_backups {
            return Err(unknown_name("job", job, &jobs));
        }
    }
    if let Some(source) = source {
        let has_backups = backups.iter().any(|backup| backup.holds(source));
        let sources = config.names(Section::Sources);
        if !sources.iter().any(|known| known == source) && !has_backups {
            return Err(engine.unknown(Section::Sources, source));
        }
    }
    Ok(())
}
