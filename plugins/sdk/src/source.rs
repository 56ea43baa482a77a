//! Something that can be backed up and restored.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::source::exports::strongroom::plugin::source;
use crate::verify::{Needs, Scratch, Verification, VerifyRequest};
use crate::{Attributes, Capability, Error, ErrorKind, Feed, Info, Result, Sink, Timestamp};

/// Whether to start afresh or to continue the parent.
pub use source::BackupKind;
/// What was made, and what is worth keeping in the manifest.
pub use source::Outcome;

/// Something that can be backed up and restored. Hand the type to [`export_source!`](crate::export_source).
///
/// One value serves one run. The engine calls it from one thread, one call at a time, each with a deadline.
pub trait Source: Sized + 'static {
    /// What the plugin says of itself.
    const INFO: Info;

    /// The `config` table. Give it `#[serde(deny_unknown_fields)]`, so that a mistyped key is an error.
    type Config: DeserializeOwned + JsonSchema;

    /// The options of a restore; [`NoOptions`] where there are none.
    type RestoreOptions: DeserializeOwned + JsonSchema;

    /// What this configuration needs, and no more. Called with no capability granted: it must not look at anything outside.
    fn requirements(config: &Self::Config) -> Result<Vec<Capability>>;

    /// Called before the methods below, with the capabilities granted.
    fn open(config: Self::Config) -> Result<Self>;

    /// Connects and looks, and moves no data: server version, what would be backed up, what is missing.
    fn check(&mut self) -> Result<Attributes>;

    /// Writes a backup. An error fails the run, and nothing of it counts as a backup.
    ///
    /// An [`Incremental`](BackupKind::Incremental) one may use [`Sink::parent`], [`Sink::carry`] and fingerprints to leave out what has
    /// not changed; it must be complete by itself all the same.
    fn backup(&mut self, kind: BackupKind, sink: &Sink) -> Result<Outcome>;

    /// Takes a backup back. A plugin that can say so with the feature `restore`.
    fn restore(
        &mut self,
        request: RestoreRequest<Self::RestoreOptions>,
        feed: &Feed,
    ) -> Result<Attributes> {
        let _ = (request, feed);
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("plugin {} cannot restore in place", Self::INFO.name),
        )
        .hint("restore into a directory"))
    }

    /// What [`verify`](Self::verify) takes for a backup with these attributes. Called with no capability granted: it must not look at
    /// anything outside. A plugin that can verify says so with the feature `verify`.
    fn verify_needs(
        config: &Self::Config,
        backup: &Attributes,
        scratch: &Scratch,
    ) -> Result<Needs> {
        let _ = (config, backup, scratch);
        Err(cannot_verify::<Self>())
    }

    /// Brings a backup to life in the scratch directory, and looks whether it is what it should be. That it is not is a
    /// [finding](crate::Finding), and no error: an error says nothing about the backup.
    fn verify(&mut self, request: VerifyRequest, feed: &Feed) -> Result<Verification> {
        let _ = (request, feed);
        Err(cannot_verify::<Self>())
    }
}

fn cannot_verify<T: Source>() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("plugin {} cannot verify a backup", T::INFO.name),
    )
    .hint("`strongroom check --read-data` reads every byte of the repository")
}

/// What to restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest<Options> {
    /// Restore to this point in time, where the backup reaches it.
    pub until: Option<Timestamp>,
    /// Only these paths; empty for all.
    pub paths: Vec<String>,
    /// The plugin's own options.
    pub options: Options,
}

/// A restore without options.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
