//! What a Strongroom plugin is written with.
//!
//! A plugin is a WebAssembly component that knows one kind of thing to back up (a [`Source`]) or one kind of place to keep backups in
//! (a [`Destination`]). Implement the trait for a type, hand it to [`export_source!`] or [`export_destination!`], and build a `cdylib`
//! for `wasm32-wasip2`. The engine gives it its configuration and what the operator allowed, and nothing else.
//!
//! A source that backs up one greeting, complete:
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use strongroom_plugin::{
//!     Attributes, BackupKind, Begun, Capability, Entry, Feed, Info, NoOptions, Outcome, RestoreRequest, Result, Sink, Source, log,
//! };
//!
//! /// What the operator writes as `config`. The schema and the error messages are made from this.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// Whom to greet.
//!     name: String,
//! }
//!
//! struct Greeting {
//!     config: Config,
//! }
//!
//! impl Source for Greeting {
//!     const INFO: Info = Info {
//!         name: "greeting",
//!         version: env!("CARGO_PKG_VERSION"),
//!         summary: "backs up a greeting",
//!         features: &["restore"],
//!     };
//!     type Config = Config;
//!     type RestoreOptions = NoOptions;
//!
//!     fn requirements(_: &Config) -> Result<Vec<Capability>> {
//!         Ok(Vec::new())
//!     }
//!
//!     fn open(config: Config) -> Result<Self> {
//!         Ok(Self { config })
//!     }
//!
//!     fn check(&mut self) -> Result<Attributes> {
//!         Ok(vec![("name".into(), self.config.name.clone())])
//!     }
//!
//!     fn backup(&mut self, _: BackupKind, sink: &Sink) -> Result<Outcome> {
//!         let entry = Entry { path: "greeting.txt".into(), ..Entry::default() };
//!         if let Begun::Write(mut writer) = sink.file(&entry)? {
//!             writeln!(writer, "Hello, {}!", self.config.name)?;
//!             writer.finish()?;
//!         }
//!         Ok(Outcome { kind: BackupKind::Full, attributes: Vec::new() })
//!     }
//!
//!     fn restore(&mut self, _: RestoreRequest<NoOptions>, feed: &Feed) -> Result<Attributes> {
//!         let mut text = String::new();
//!         feed.open("greeting.txt")?.read_to_string(&mut text)?;
//!         log::info(text.trim_end());
//!         Ok(Vec::new())
//!     }
//! }
//!
//! strongroom_plugin::export_source!(Greeting);
//! # fn main() {}
//! ```
//!
//! Its `Cargo.toml` depends on `strongroom-plugin`, `serde` and `schemars`, and says `[lib] crate-type = ["cdylib"]`.

mod error;
mod info;
mod name;
mod path;
mod secret;
mod server;

mod conflict;
mod feed;
mod sink;
mod source;
mod verify;

mod destination;

pub mod command;
pub mod log;
pub mod net;
pub mod progress;
pub mod stream;
pub mod tls;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod component;
mod config;

pub use bindings::plugin::strongroom::plugin::types::{Attributes, Timestamp};
pub use conflict::OnConflict;
pub use destination::{Answer, Body, BodyReader, Content, Destination, Metadata, Page, PutOptions};
pub use error::{Context, Error, ErrorKind, Result};
pub use feed::{Conflict, Extraction, Feed, Reader, Sampled};
pub use info::{Capability, Info};
pub use name::{file_name, other_file_name};
pub use path::HostPath;
pub use secret::Secret;
pub use server::{Server, TlsMode};
pub use sink::{Begun, Entry, Parent, Sink, Summary, Tree, Writer};
pub use source::{BackupKind, NoOptions, Outcome, RestoreRequest, Source};
pub use verify::{
    Assertion, Finding, Needs, Scratch, Verdict, Verification, VerifyRequest, several,
};
