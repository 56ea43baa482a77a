//! What is in force for the verification of one source: the table of the backup's job and the command line in, settings out.

use std::path::PathBuf;

use strongroom_repository::verification::Assertion;

use crate::config::Config;
use crate::config::model::{self, VerifyTable};
use crate::run::backups::Backup;

/// The share of a volume's files where nothing is said, in percent.
const SAMPLE_PERCENT: f64 = 5.0;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The share of a volume's files.
    pub percent: Option<f64>,
    /// The folder that backups are restored below.
    pub scratch: Option<PathBuf>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The job's name; none for one that is no longer configured.
    job: Option<String>,
    /// The system user of programs.
    pub user: Option<String>,
    /// Folders of programs.
    pub programs: Vec<PathBuf>,
    /// The folder for scratch directories.
    pub scratch: PathBuf,
    /// The share of a volume's files.
    pub percent: f64,
    /// Those of this source.
    pub assertions: Vec<Assertion>,
}

impl Settings {
    /// For `source` of `backup`.
    pub fn of(config: &Config, backup: &Backup, source: &str, options: &Options) -> Self {
        let jobs = &config.model().jobs;
        let job = backup.job.clone().filter(|job| jobs.contains_key(job));
        let table = job.as_ref().and_then(|job| jobs.get(job)?.verify.as_ref());
        let nothing = VerifyTable::default();
        let table = table.unwrap_or(&nothing);
        let from_file = table.scratch.as_ref().map(|path| config.path(path));
        let from_line = options
            .scratch
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        Self {
            job,
            user: table.user.clone(),
            programs: table.programs.iter().map(|it| config.path(it)).collect(),
            scratch: from_line
                .or(from_file)
                .unwrap_or_else(|| config.state_folder().join("scratch")),
            percent: options.percent.or(table.sample).unwrap_or(SAMPLE_PERCENT),
            assertions: table
                .assertions
                .iter()
                .filter_map(|it| assertion(it, source))
                .collect(),
        }
    }

    /// `` `programs` of [jobs.nightly.verify] ``, for hints.
    pub fn programs_setting(&self) -> String {
        self.setting("programs")
    }

    /// A key of the job's table, for hints.
    pub fn setting(&self, key: &str) -> String {
        let job = self.job.as_deref().unwrap_or("NAME");
        format!("`{key}` of [jobs.{job}.verify]")
    }
}

/// The assertion, if it is of this source.
fn assertion(assertion: &model::Assertion, source: &str) -> Option<Assertion> {
    match assertion {
        model::Assertion::Sql(sql) => Some(Assertion {
            database: None,
            sql: sql.clone(),
        }),
        model::Assertion::Of(table) => {
            let is_ours = table.source.as_ref().is_none_or(|it| it == source);
            is_ours.then(|| Assertion {
                database: table.database.clone(),
                sql: table.sql.clone(),
            })
        }
    }
}
