//! The option of every command that knows `latest`: whose.

use clap::Args;

use crate::engine::Engine;
use crate::run::latest::Whose;

/// `--host`.
#[derive(Debug, Args)]
pub struct HostArg {
    /// With `latest`: of the backups by this host [default: this one; where it has none, any]
    #[arg(long = "host", value_name = "HOST")]
    host: Option<String>,
}

impl HostArg {
    /// Whose backups are meant.
    pub fn whose(&self, engine: &Engine) -> Whose {
        Whose::new(engine.host(), self.host.as_deref())
    }
}
