//! A directory of the host as a destination: each object is one file, made under a temporary name, synchronised and renamed.
//!
//! It speaks to WASI directly rather than through `std::fs`: a listing then outlives files that vanish while it is read, a directory can be
//! synchronised through the handle that is open anyway, and the engine copies an object into its file without a detour through here.

mod clean;
mod error;
mod folder;
mod key;
mod list;
mod put;

use schemars::JsonSchema;
use serde::Deserialize;
use strongroom_plugin::{
    Answer, Body, Capability, Destination, Error, ErrorKind, HostPath, Info, Metadata, Page,
    PutOptions, Result,
};

use folder::Folder;
use key::Key;

/// Where the objects go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The directory that holds the repository; an absolute path.
    path: HostPath,
}

struct Filesystem {
    folder: Folder,
}

impl Destination for Filesystem {
    const INFO: Info = Info {
        name: "filesystem",
        version: env!("CARGO_PKG_VERSION"),
        summary: "keeps backups in a directory",
        features: &["create-only", "fills-up"],
    };
    type Config = Config;

    fn requirements(config: &Config) -> Result<Vec<Capability>> {
        Ok(vec![Capability::Write(config.path.to_string())])
    }

    fn open(config: Config) -> Result<Self> {
        let folder = Folder::open(&config.path)?;
        clean::remove_leftovers(&folder);
        Ok(Self { folder })
    }

    fn put(&mut self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        if options.retain_until.is_some() {
            let problem = "a directory cannot keep objects from being deleted";
            return Err(Error::new(ErrorKind::Unsupported, problem));
        }
        put::put(
            &mut self.folder,
            Key::parse(key)?,
            body,
            options.create_only,
        )
    }

    fn get(&mut self, key: &str, offset: u64, length: Option<u64>, into: &Answer) -> Result<()> {
        self.folder.read(Key::parse(key)?, offset, length, into)
    }

    fn stat(&mut self, key: &str) -> Result<Option<Metadata>> {
        self.folder.stat(Key::parse(key)?)
    }

    fn list(&mut self, prefix: &str, token: Option<&str>) -> Result<Page> {
        list::page(&self.folder, prefix, token)
    }

    fn delete(&mut self, key: &str) -> Result<()> {
        self.folder.delete(Key::parse(key)?)
    }
}

strongroom_plugin::export_destination!(Filesystem);
