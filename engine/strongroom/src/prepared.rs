//! Sources and destinations whose configuration was found good. Nothing of theirs has run yet.

use std::path::PathBuf;
use std::sync::Arc;

use strongroom_repository::backup::Expected;
use strongroom_repository::{Destination, Repository, Result, Source};

/// A source that is ready to run. Nothing has run yet.
pub struct PreparedSource {
    /// The operator's name for it.
    pub name: String,
    /// The plugin's name in the configuration.
    pub plugin: String,
    /// The plugin's version.
    pub plugin_version: String,
    /// How a database is read, where its configuration says so.
    pub method: Option<String>,
    /// What has to be true of a backup of it.
    pub expected: Expected,
    /// The source itself.
    pub source: Box<dyn Source>,
}

/// A destination that is ready to be opened. Nothing has run yet.
pub struct PreparedDestination {
    /// The operator's name for it.
    pub name: String,
    /// The folders of this machine that it writes to.
    pub folders: Vec<PathBuf>,
    /// The destination itself.
    pub destination: Arc<dyn Destination>,
    pub(crate) password: String,
}

impl PreparedDestination {
    /// Opens its repository.
    pub fn open(&self) -> Result<Repository> {
        Repository::open(Arc::clone(&self.destination), &self.password)
    }

    /// The password of its repository.
    pub fn password(&self) -> &str {
        &self.password
    }
}
