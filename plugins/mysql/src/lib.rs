//! Databases of MySQL and MariaDB as a source: dumps by the server's own program, accounts, and the binary log for what happened since.

mod binlog;
mod wire;

mod accounts_file;
mod client;
mod config;
mod contents;
mod floats;
mod grants;
mod guard;
mod guard_statement;
mod moment;
mod name;
mod programs;
mod selection;
mod server;
mod version;
mod views;

mod backup;
mod check;
mod dump;
mod rows;
mod series;
mod users;

mod load;
mod pump;
mod replay;
mod restore;
mod session;
mod settings;
mod sift;
mod verify;

use strongroom_plugin::{
    Attributes, BackupKind, Capability, Error, Feed, Info, Needs, Outcome, RestoreRequest, Result,
    Scratch, Sink, Source, TlsMode, Verification, VerifyRequest,
};

use crate::config::{Config, Kind, RestoreOptions};

struct Mysql {
    config: Config,
}

impl Source for Mysql {
    const INFO: Info = Info {
        name: "mysql",
        version: env!("CARGO_PKG_VERSION"),
        summary: "backs up databases of MySQL and MariaDB",
        features: &["incremental", "restore", "verify"],
    };
    type Config = Config;
    type RestoreOptions = RestoreOptions;

    fn requirements(config: &Config) -> Result<Vec<Capability>> {
        if config.server == Kind::Mariadb && config.tls() == TlsMode::VerifyCa {
            let problem = "MariaDB's programs cannot check the authority without the name";
            return Err(Error::invalid_config("tls", problem).hint("use \"verify-full\""));
        }
        Ok(config.requirements())
    }

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config })
    }

    fn check(&mut self) -> Result<Attributes> {
        check::check(&self.config)
    }

    fn backup(&mut self, kind: BackupKind, sink: &Sink) -> Result<Outcome> {
        backup::backup(&self.config, kind, sink)
    }

    fn restore(
        &mut self,
        request: RestoreRequest<RestoreOptions>,
        feed: &Feed,
    ) -> Result<Attributes> {
        restore::restore(&self.config, &request, feed)
    }

    fn verify_needs(config: &Config, backup: &Attributes, scratch: &Scratch) -> Result<Needs> {
        verify::needs(config, backup, scratch)
    }

    fn verify(&mut self, request: VerifyRequest, feed: &Feed) -> Result<Verification> {
        verify::verify(&self.config, &request, feed)
    }
}

strongroom_plugin::export_source!(Mysql);
