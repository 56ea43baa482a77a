//! A source plugin that does in `check`, `backup` and `restore` what its configuration says: `{"mode": "…", …}`.
//!
//! `describe` gets no configuration. What it does stands in [`DESCRIBE`], which tests overwrite in the component's bytes.

mod backup;
mod check;
mod restore;

use serde_json::Value;

use exports::strongroom::plugin::plugin::{Guest as PluginGuest, Info};
use exports::strongroom::plugin::source::{
    Attributes, BackupKind, Feed, Guest as SourceGuest, GuestSession, Needs, Outcome,
    RestoreRequest, Scratch, Session, Sink, Verification, VerifyRequest,
};
use strongroom::plugin::types::{Capability, Error, ErrorKind};

wit_bindgen::generate!({
    path: "../../../../wit",
    inline: "
        package rogue:source;
        interface unheard-of {
            shout: func();
        }
        world rogue {
            include strongroom:plugin/source-plugin@0.1.0;
            import unheard-of;
        }
    ",
    world: "rogue:source/rogue",
    generate_all,
    with: {
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
    },
});

struct Rogue;
export!(Rogue);

/// What `describe` does: `normal`, `panics`, `spins!`, `babble` (a schema that is no JSON).
static DESCRIBE: &str = "rogue describe: normal";

impl PluginGuest for Rogue {
    fn describe() -> Info {
        // SAFETY: a plain read, kept from being folded at compile time.
        let describe = unsafe { std::ptr::read_volatile(&DESCRIBE) };
        let mut config_schema = r#"{"type":"object"}"#.to_owned();
        match describe.rsplit(' ').next() {
            Some("panics") => panic!("asked to describe itself"),
            Some("spins!") => check::spin(),
            Some("babble") => config_schema = "a word".into(),
            _ => {}
        }
        Info {
            name: "rogue".into(),
            version: "1.2.3".into(),
            summary: "does what it should not".into(),
            config_schema,
            features: vec!["restore".into()],
        }
    }

    /// `"need": {"read": "/srv", "connect": "db:5432"}`.
    fn requirements(config: String) -> Result<Vec<Capability>, Error> {
        let config = parse(&config)?;
        let Some(need) = config.get("need") else {
            return Ok(Vec::new());
        };
        let text = |key: &str| need.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok([
            text("read").map(Capability::Read),
            text("write").map(Capability::Write),
            text("connect").map(Capability::Connect),
            text("http").map(Capability::Http),
            text("command").map(Capability::Command),
        ]
        .into_iter()
        .flatten()
        .collect())
    }
}

impl SourceGuest for Rogue {
    type Session = Config;

    /// As `requirements`.
    fn verify_needs(config: String, _: Attributes, _: Scratch) -> Result<Needs, Error> {
        Ok(Needs {
            capabilities: Self::requirements(config)?,
            folders: Vec::new(),
            user: None,
        })
    }
}

/// The configuration of a session.
struct Config(Value);

impl Config {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

impl GuestSession for Config {
    fn open(config: String) -> Result<Session, Error> {
        Ok(Session::new(Self(parse(&config)?)))
    }

    fn check(&self) -> Result<Attributes, Error> {
        check::check(self)
    }

    fn backup(&self, kind: BackupKind, into: &Sink) -> Result<Outcome, Error> {
        let attributes = backup::backup(self, into)?;
        Ok(Outcome { kind, attributes })
    }

    fn restore(&self, request: RestoreRequest, from: &Feed) -> Result<Attributes, Error> {
        restore::restore(self, &request, from)
    }

    fn verify(&self, request: VerifyRequest, _: &Feed) -> Result<Verification, Error> {
        let attributes = check::check(self)?;
        Ok(Verification {
            findings: Vec::new(),
            attributes: [
                attributes,
                vec![("port".into(), request.scratch.port.to_string())],
            ]
            .concat(),
        })
    }
}

fn parse(config: &str) -> Result<Value, Error> {
    serde_json::from_str(config).map_err(|error| Error {
        kind: ErrorKind::InvalidConfig,
        message: format!("config: {error}"),
        hint: None,
    })
}

fn failed(message: impl std::fmt::Display) -> Error {
    Error {
        kind: ErrorKind::Failed,
        message: message.to_string(),
        hint: None,
    }
}
