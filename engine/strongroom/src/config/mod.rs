//! The configuration: a TOML file in, checked tables out. Secrets stay references until someone asks for them.
//!
//! The engine's own tables are checked when the file is read. A plugin's `config` table is checked when the plugin is known, which a command
//! does for the sources and destinations that it uses: a broken source must not stand in the way of a restore.

mod check;
mod check_verify;
pub mod document;
pub mod file;
pub mod model;
pub mod nearest;
pub mod pointer;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod show;
pub mod unused;
pub mod validate;
mod wording;

use std::path::{Path, PathBuf};

use serde_json::Value;
use strongroom_repository::{Error, ErrorKind, Result};

pub use document::Document;
pub use model::{
    AllowTable, DestinationTable, JobTable, Model, PluginTable, SecretReference, SourceTable,
};
pub use pointer::Pointer;
pub use schema::Section;
pub use secret::{HIDDEN, Secrets};

/// A checked configuration file.
#[derive(Debug, Clone)]
pub struct Config {
    document: Document,
    model: Model,
    folder: PathBuf,
}

impl Config {
    /// Finds, reads and checks the file; fails with the first problem.
    pub fn load(explicit: Option<&Path>) -> Result<Self> {
        Self::from_document(file::read(explicit)?).map_err(first)
    }

    /// Like [`load`](Self::load), but [`empty`](Self::empty) where no file is named and there is none in the usual places.
    pub fn load_if_any(explicit: Option<&Path>) -> Result<Self> {
        match file::read_if_any(explicit)? {
            Some(document) => Self::from_document(document).map_err(first),
            None => Ok(Self::empty()),
        }
    }

    /// Finds, reads and checks the file; fails with all problems in the engine's own tables.
    pub fn load_or_problems(explicit: Option<&Path>) -> Result<Self, Vec<Error>> {
        Self::from_document(file::read(explicit).map_err(|error| vec![error])?)
    }

    /// No file: nothing is configured, and only bundled plugins are there.
    pub fn empty() -> Self {
        Self {
            document: Document::empty(),
            model: Model::default(),
            folder: PathBuf::new(),
        }
    }

    /// Checks a file that was read; fails with all problems in the engine's own tables.
    pub fn from_document(document: Document) -> Result<Self, Vec<Error>> {
        let problems = validate::validate(&document, &Pointer::root(), &schema::engine_schema())
            .map_err(|error| vec![error])?;
        if !problems.is_empty() {
            return Err(problems);
        }
        // The schema is derived from the same structs: what it accepts, they accept.
        let model = serde_json::from_value(document.value().clone())
            .map_err(|error| vec![document.error(&Pointer::root(), error.to_string())])?;
        check::check(&document, &model).map_err(|error| vec![error])?;
        let folder = document
            .path()
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        Ok(Self {
            document,
            model,
            folder,
        })
    }

    /// The file with the place of every key.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The tables.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The folder of the file, from which relative paths count.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path from the file, absolute or relative to the file's folder.
    pub fn path(&self, path: &Path) -> PathBuf {
        let joined = self.folder.join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// The engine's state folder: as configured, or `/var/lib/strongroom` for root, or below `$XDG_STATE_HOME` or `~/.local/state`.
    pub fn state_folder(&self) -> PathBuf {
        match &self.model.engine.state {
            Some(path) => self.path(path),
            None => default_state_folder(),
        }
    }

    /// The names of jobs in the order of the file.
    pub fn job_names(&self) -> Vec<String> {
        self.document.keys(&Pointer::root().key("jobs"))
    }

    /// The names of sources or destinations in the order of the file.
    pub fn names(&self, section: Section) -> Vec<String> {
        self.document.keys(&Pointer::root().key(section.as_str()))
    }

    /// Every problem in the `config` table of `section.name`, by the plugin's `schema`.
    pub fn plugin_problems(
        &self,
        section: Section,
        name: &str,
        schema: &Value,
    ) -> Result<Vec<Error>> {
        let base = config_pointer(section, name);
        validate::validate(&self.document, &base, &schema::with_references(schema))
    }

    /// The `config` table of `section.name` as JSON with its secrets in place, for the plugin and nobody else. It must have no problems.
    pub fn resolved_plugin_config(
        &self,
        section: Section,
        name: &str,
        schema: &Value,
        secrets: &Secrets,
    ) -> Result<String> {
        let base = config_pointer(section, name);
        let mut value = self
            .document
            .value()
            .pointer(base.as_str())
            .cloned()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        self.resolve_in(&mut value, &base, &Pointer::root(), schema, secrets)?;
        Ok(value.to_string())
    }

    /// The password of a destination's repository.
    pub fn password(&self, destination: &str, secrets: &Secrets) -> Result<String> {
        let at = Pointer::root()
            .key("destinations")
            .key(destination)
            .key("password");
        match self.model.destinations.get(destination) {
            Some(table) => secrets
                .resolve(&table.password)
                .map_err(|error| error.on(&at).on(self.document.value_place(&at))),
            None => Err(self.document.error(&at, format!("there is no '{at}'"))),
        }
    }

    fn resolve_in(
        &self,
        value: &mut Value,
        base: &Pointer,
        inner: &Pointer,
        schema: &Value,
        secrets: &Secrets,
    ) -> Result<()> {
        if schema::marks_secret(schema, inner) {
            let at = base.join(inner.as_str());
            let reference: SecretReference = serde_json::from_value(value.clone())
                .map_err(|_| self.document.error(&at, format!("'{at}' is no reference")))?;
            let resolved = secrets
                .resolve_for_plugin(&reference)
                .map_err(|error| error.on(&at).on(self.document.value_place(&at)))?;
            *value = Value::String(resolved);
            return Ok(());
        }
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    self.resolve_in(value, base, &inner.key(key), schema, secrets)?;
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter_mut().enumerate() {
                    self.resolve_in(value, base, &inner.index(index), schema, secrets)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a value is a reference to a secret, or holds one.
pub fn holds_reference(value: &Value) -> bool {
    match value {
        Value::Object(table) => wording::is_reference(value) || table.values().any(holds_reference),
        Value::Array(values) => values.iter().any(holds_reference),
        _ => false,
    }
}

/// Of several problems, the first in the file.
pub fn first(problems: Vec<Error>) -> Error {
    problems
        .into_iter()
        .next()
        .unwrap_or_else(|| Error::new(ErrorKind::InvalidConfig, "the configuration is wrong"))
}

fn config_pointer(section: Section, name: &str) -> Pointer {
    Pointer::root()
        .key(section.as_str())
        .key(name)
        .key("config")
}

fn default_state_folder() -> PathBuf {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| {
        use std::os::unix::fs::MetadataExt;
        metadata.uid() == 0
    });
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if is_root {
        return "/var/lib/strongroom".into();
    }
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .map_or_else(
            || "/var/lib/strongroom".into(),
            |state| state.join("strongroom"),
        )
}

#[cfg(test)]
mod tests;
