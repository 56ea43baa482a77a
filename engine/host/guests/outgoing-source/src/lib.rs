//! A source plugin that goes out of its sandbox as its configuration says: `{"mode": "…", …}`. It requires what stands in `connect` and `command`.

mod network;
mod program;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use strongroom_plugin::{
    Attributes, BackupKind, Capability, Error, ErrorKind, Feed, Info, Needs, NoOptions, Outcome,
    Result, Scratch, Sink, Source, Verification, VerifyRequest,
};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// What to do.
    mode: String,
    /// `host:port`s to be granted.
    connect: Vec<String>,
    /// Where to connect.
    host: String,
    port: u16,
    /// What to send.
    text: String,
    /// Programs to be granted.
    command: Vec<String>,
    /// What to run.
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// Whom to expect in TLS, how much to check (`full` if not said), and the authorities to believe.
    server_name: String,
    verify: String,
    authorities: Option<String>,
}

struct Outgoing(Config);

impl Source for Outgoing {
    const INFO: Info = Info {
        name: "outgoing",
        version: env!("CARGO_PKG_VERSION"),
        summary: "goes out of its sandbox",
        features: &["verify"],
    };
    type Config = Config;
    type RestoreOptions = NoOptions;

    fn requirements(config: &Config) -> Result<Vec<Capability>> {
        let connect = config.connect.iter().cloned().map(Capability::Connect);
        let command = config.command.iter().cloned().map(Capability::Command);
        Ok(connect.chain(command).collect())
    }

    fn open(config: Config) -> Result<Self> {
        Ok(Self(config))
    }

    fn check(&mut self) -> Result<Attributes> {
        match self.0.program.is_empty() {
            true => network::check(&self.0),
            false => program::check(&self.0),
        }
    }

    fn backup(&mut self, kind: BackupKind, sink: &Sink) -> Result<Outcome> {
        let attributes = match self.0.program.is_empty() {
            true => network::backup(&self.0, sink)?,
            false => program::backup(&self.0, sink)?,
        };
        Ok(Outcome { kind, attributes })
    }

    fn verify_needs(config: &Config, _: &Attributes, scratch: &Scratch) -> Result<Needs> {
        let mut needs = Needs::of(scratch);
        needs.capabilities.extend(Self::requirements(config)?);
        needs.user = Some("nobody".into());
        Ok(needs)
    }

    /// Leaves a file for the program, and runs it.
    fn verify(&mut self, request: VerifyRequest, _: &Feed) -> Result<Verification> {
        std::fs::write(request.scratch.path("left.txt"), &self.0.text)?;
        if self.0.mode == "held" {
            return program::held(&self.0, &request.scratch);
        }
        Ok(Verification::new(self.check()?))
    }
}

strongroom_plugin::export_source!(Outgoing);

fn unknown(mode: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("no mode '{mode}'"))
}

/// One attribute.
fn attribute(key: &str, value: impl ToString) -> Attributes {
    vec![(key.to_owned(), value.to_string())]
}
