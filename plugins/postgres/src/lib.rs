//! PostgreSQL as a source: databases as dumps that pg_restore reads, or the whole cluster with its write-ahead log for any moment.

mod check;
mod choose;
mod config;
mod link;
mod logical;
mod moment;
mod physical;
mod programs;
mod server;
mod verify;
mod wire;

use strongroom_plugin::{
    Attributes, BackupKind, Capability, Error, ErrorKind, Feed, Info, Needs, Outcome,
    RestoreRequest, Result, Scratch, Sink, Source, Verification, VerifyRequest,
};

use crate::config::{Config, Method, RestoreOptions};

struct Postgres {
    config: Config,
}

impl Source for Postgres {
    const INFO: Info = Info {
        name: "postgres",
        version: env!("CARGO_PKG_VERSION"),
        summary: "backs up PostgreSQL, as dumps or as the whole cluster with its log",
        features: &["incremental", "restore", "point-in-time", "verify"],
    };
    type Config = Config;
    type RestoreOptions = RestoreOptions;

    fn requirements(config: &Config) -> Result<Vec<Capability>> {
        config.check()?;
        config.requirements()
    }

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config })
    }

    fn check(&mut self) -> Result<Attributes> {
        check::check(&self.config)
    }

    fn backup(&mut self, kind: BackupKind, sink: &Sink) -> Result<Outcome> {
        match self.config.method {
            Method::Logical => logical::backup::backup(&self.config, sink),
            Method::Physical => physical::backup::backup(&self.config, kind, sink),
        }
    }

    fn restore(
        &mut self,
        request: RestoreRequest<RestoreOptions>,
        feed: &Feed,
    ) -> Result<Attributes> {
        let attributes = feed.attributes();
        let method = attributes.iter().find(|(name, _)| name == "method");
        match method.map(|(_, method)| method.as_str()) {
            Some("logical") if self.config.method == Method::Logical => {
                logical::restore::restore(&self.config, &request, feed)
            }
            Some("physical") if self.config.method == Method::Physical => {
                physical::restore::restore(&self.config, &request, feed)
            }
            Some(method @ ("logical" | "physical")) => {
                let problem =
                    format!("the backup is a {method} one, and the source it is to go to is not");
                Err(Error::new(ErrorKind::InvalidConfig, problem)
                    .hint(format!("name a source with method = \"{method}\" by --to")))
            }
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                "this is no backup of PostgreSQL",
            )),
        }
    }

    fn verify_needs(_: &Config, backup: &Attributes, scratch: &Scratch) -> Result<Needs> {
        verify::needs(backup, scratch)
    }

    fn verify(&mut self, request: VerifyRequest, feed: &Feed) -> Result<Verification> {
        verify::verify(&request, feed)
    }
}

strongroom_plugin::export_source!(Postgres);
