//! The plugins that a configuration can name: bundled ones and files. A name goes in, a loaded [`Plugin`] comes out, once for each name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use strongroom_host::{Host, Plugin};
use strongroom_repository::{Error, ErrorKind, Id, Result};

use crate::bundled::{BUILD_HINT, BUNDLED};
use crate::config::nearest::did_you_mean_or_list;
use crate::config::{Config, PluginTable, Pointer};

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The engine's own binary.
    Bundled,
    /// A file that the configuration names.
    File(PathBuf),
}

/// Loads plugins and keeps them.
pub struct Plugins {
    host: Host,
    loaded: Mutex<BTreeMap<String, Plugin>>,
}

impl Plugins {
    /// None are loaded yet.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            loaded: Mutex::default(),
        }
    }

    /// The plugin that `config` calls `name`. A file comes before a bundled plugin of the same name.
    pub fn load(&self, config: &Config, name: &str) -> Result<Plugin> {
        if let Some(plugin) = self.lock().get(name) {
            return Ok(plugin.clone());
        }
        let plugin = match config.model().plugins.get(name) {
            Some(table) => {
                let at = Pointer::root().key("plugins").key(name).key("path");
                self.host
                    .load(name, &read_verified(config, name, table)?)
                    .map_err(|error| error.on(config.document().value_place(&at)))?
            }
            None => {
                let bundled = BUNDLED.iter().find(|bundled| bundled.name == name);
                let bundled = bundled.ok_or_else(|| unknown(config, name))?;
                self.host.load(name, bundled.component)?
            }
        };
        self.lock().insert(name.to_owned(), plugin.clone());
        Ok(plugin)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Plugin>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every name that `config` can use and where it comes from.
pub fn known(config: &Config) -> BTreeMap<String, Origin> {
    let bundled = BUNDLED
        .iter()
        .map(|bundled| (bundled.name.to_owned(), Origin::Bundled));
    let files = config
        .model()
        .plugins
        .iter()
        .map(|(name, table)| (name.clone(), Origin::File(config.path(&table.path))));
    bundled.chain(files).collect()
}

fn unknown(config: &Config, name: &str) -> Error {
    let known: Vec<String> = known(config).into_keys().collect();
    let hint = if BUNDLED.is_empty() {
        BUILD_HINT.to_owned()
    } else {
        did_you_mean_or_list(name, "plugins", &known)
    };
    Error::new(
        ErrorKind::InvalidConfig,
        format!("there is no plugin '{}'", name.escape_debug()),
    )
    .hint(hint)
}

/// The bytes of a plugin file, after its checksum was found to be the configured one.
fn read_verified(config: &Config, name: &str, table: &PluginTable) -> Result<Vec<u8>> {
    let path = config.path(&table.path);
    let at = Pointer::root().key("plugins").key(name);
    let bytes = std::fs::read(&path).map_err(|error| {
        let reason = Error::io(
            format!("cannot read the plugin file {}", path.display()),
            error,
        );
        config
            .document()
            .error(&at.key("path"), reason.message())
            .hint("put the component there, or correct the path")
    })?;
    let found = Id::of(&bytes).to_string();
    match &table.sha256 {
        Some(expected) if expected.eq_ignore_ascii_case(&found) => Ok(bytes),
        Some(_) => Err(config
            .document()
            .error(
                &at.key("sha256"),
                format!(
                    "the plugin file {} is not the one whose checksum stands here",
                    path.display()
                ),
            )
            .hint(format!(
                "get the right file, or if this one is to be trusted: sha256 = \"{found}\""
            ))),
        None => Err(config
            .document()
            .error(&at, format!("'{at}' needs the checksum of its file"))
            .hint(format!(
                "if the file is to be trusted: sha256 = \"{found}\""
            ))),
    }
}
