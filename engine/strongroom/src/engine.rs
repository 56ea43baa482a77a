//! The engine with its configuration: names from the file in, sources, destinations and repositories out. Every problem of the
//! configuration shows before anything is touched.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use strongroom_host::{
    Allow, Capability, Grants, Ground, Host, HostOptions, Limits, Plugin, PluginKind, grant,
};
use strongroom_repository::identity::Identity;
use strongroom_repository::retry::Retry;
use strongroom_repository::verification::Scratch;
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use crate::config::{self, AllowTable, Config, Pointer, Secrets, Section};
use crate::plugins::{self, Origin, Plugins};

mod faults;

pub use self::faults::{Fault, nothing_configured, unknown_name};
pub use crate::prepared::{PreparedDestination, PreparedSource};

use self::faults::{as_config_error, bad_schema};

/// The name and version that stand in snapshots and manifests.
pub const PROGRAM: &str = concat!("strongroom ", env!("CARGO_PKG_VERSION"));

/// How many requests a destination gets at once where the configuration says nothing.
const PARALLEL_REQUESTS: u16 = 8;

/// What a plugin requires, and whether it is allowed.
pub type Requirements = Vec<(Capability, bool)>;

/// A configuration, and the means to do what it says.
pub struct Engine {
    config: Config,
    secrets: Arc<Secrets>,
    plugins: Plugins,
    without_cache: Option<Error>,
}

impl Engine {
    /// Starts the host of plugins, whose compiled code is kept in the state folder.
    pub fn new(config: Config, secrets: Arc<Secrets>) -> Result<Self> {
        let options = HostOptions {
            cache: config.state_folder().join("plugins"),
            limits: Limits::default(),
        };
        let host = Host::new(options).map_err(|error| match error.hint_text() {
            Some(_) => error,
            None => error.hint("the folder is below engine.state of the configuration"),
        })?;
        Ok(Self {
            without_cache: host.without_cache().cloned(),
            config,
            secrets,
            plugins: Plugins::new(host),
        })
    }

    /// Why plugins are compiled anew each time, where that is so.
    pub fn without_cache(&self) -> Option<&Error> {
        self.without_cache.as_ref()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The name that backups made here go by: as configured, else the machine's own.
    pub fn host(&self) -> String {
        let configured = self.config.model().engine.host.clone();
        configured.unwrap_or_else(|| Identity::current().hostname)
    }

    /// The plugin that the configuration calls `name`.
    pub fn plugin(&self, name: &str) -> Result<Plugin> {
        self.plugins.load(&self.config, name)
    }

    /// Prepares the source `name`: its table is checked, its secrets are resolved, its capabilities granted.
    pub fn source(&self, name: &str, progress: &Arc<Progress>) -> Result<PreparedSource> {
        self.source_or_fault(name, progress).map_err(Error::from)
    }

    /// As [`source`](Self::source), and says whose fault it is where it cannot be prepared.
    pub fn source_or_fault(
        &self,
        name: &str,
        progress: &Arc<Progress>,
    ) -> Result<PreparedSource, Fault> {
        let table = self.config.model().sources.get(name);
        let unknown = || Fault::Configuration(self.unknown(Section::Sources, name));
        let table = table.ok_or_else(unknown)?;
        let member = Member {
            section: Section::Sources,
            name,
            plugin: &table.plugin,
            allow: table.allow.as_ref(),
        };
        let (plugin, config, grants) = self.prepare(&member)?;
        Ok(PreparedSource {
            name: name.to_owned(),
            plugin: table.plugin.clone(),
            plugin_version: plugin.info().version.clone(),
            expected: table.expected(),
            method: table
                .config
                .get("method")
                .and_then(Value::as_str)
                .map(str::to_owned),
            source: plugin
                .source(name, &config, grants, Arc::clone(progress))
                .map_err(Fault::World)?,
        })
    }

    /// The plugin of the source `name` with its checked configuration, and the ground that a verification has there. Nothing is granted yet.
    pub fn verifier(&self, name: &str, scratch: &Scratch) -> Result<(Plugin, String, Ground)> {
        let table = self.config.model().sources.get(name);
        let table = table.ok_or_else(|| self.unknown(Section::Sources, name))?;
        let (plugin, schema) = self
            .checked_schema(Section::Sources, name, &table.plugin)
            .map_err(config::first)?;
        let config = &self.config;
        let resolved =
            config.resolved_plugin_config(Section::Sources, name, &schema, &self.secrets)?;
        let ground = Ground {
            section: Pointer::root().key("sources").key(name).to_string(),
            allow: table.allow.as_ref().map(allow),
            is_bundled: plugins::known(config).get(&table.plugin) == Some(&Origin::Bundled),
            scratch: scratch.clone(),
            folders: Vec::new(),
            folders_setting: String::new(),
            account: None,
        };
        Ok((plugin, resolved, ground))
    }

    /// Prepares the destination `name`: its table is checked, its secrets are resolved, its capabilities granted.
    pub fn destination(&self, name: &str, progress: &Arc<Progress>) -> Result<PreparedDestination> {
        self.destination_or_fault(name, progress)
            .map_err(Error::from)
    }

    /// As [`destination`](Self::destination), and says whose fault it is where it cannot be prepared.
    pub fn destination_or_fault(
        &self,
        name: &str,
        progress: &Arc<Progress>,
    ) -> Result<PreparedDestination, Fault> {
        let table = self.config.model().destinations.get(name);
        let unknown = || Fault::Configuration(self.unknown(Section::Destinations, name));
        let table = table.ok_or_else(unknown)?;
        let member = Member {
            section: Section::Destinations,
            name,
            plugin: &table.plugin,
            allow: table.allow.as_ref(),
        };
        let (plugin, config, grants) = self.prepare(&member)?;
        let password = self.config.password(name, &self.secrets);
        let password = password.map_err(Fault::World)?;
        let instances = table.parallel_requests.unwrap_or(PARALLEL_REQUESTS);
        let folders = written_folders(grants.capabilities());
        let destination = plugin
            .destination(
                name,
                &config,
                grants,
                usize::from(instances),
                Arc::clone(progress),
            )
            .map_err(Fault::World)?;
        Ok(PreparedDestination {
            name: name.to_owned(),
            folders,
            destination: Arc::new(Retry::new(destination, Arc::clone(progress))),
            password,
        })
    }

    /// The folders of this machine that the destination `name` writes to, as far as that can be told without a secret.
    pub fn folders_of(&self, name: &str) -> Vec<PathBuf> {
        let Some(table) = self.config.model().destinations.get(name) else {
            return Vec::new();
        };
        if table.config.values().any(config::holds_reference) {
            return Vec::new();
        }
        let member = Member {
            section: Section::Destinations,
            name,
            plugin: &table.plugin,
            allow: table.allow.as_ref(),
        };
        // Whoever uses it is told what is wrong with it.
        match self.required(&member) {
            Ok((_, _, required)) => written_folders(&required),
            Err(_) => Vec::new(),
        }
    }

    /// The destinations of these names, or all in the order of the file.
    pub fn destinations(
        &self,
        names: &[String],
        progress: &Arc<Progress>,
    ) -> Result<Vec<PreparedDestination>> {
        let all;
        let names = if names.is_empty() {
            all = self.config.names(Section::Destinations);
            if all.is_empty() {
                return Err(nothing_configured("destinations"));
            }
            &all
        } else {
            names
        };
        names
            .iter()
            .map(|name| self.destination(name, progress))
            .collect()
    }

    /// Every problem in the tables that belong to plugins, without touching anything outside.
    pub fn problems(&self) -> Vec<Error> {
        let model = self.config.model();
        let sources = model
            .sources
            .iter()
            .map(|(name, table)| (Section::Sources, name, &table.plugin));
        let destinations = model
            .destinations
            .iter()
            .map(|(name, table)| (Section::Destinations, name, &table.plugin));
        let mut problems: Vec<Error> = sources
            .chain(destinations)
            .flat_map(|(section, name, plugin)| {
                self.checked_schema(section, name, plugin)
                    .err()
                    .unwrap_or_default()
            })
            .collect();
        // A plugin that nobody uses yet may be wrong too.
        for name in model.plugins.keys() {
            let used = model.sources.values().any(|table| table.plugin == *name)
                || model
                    .destinations
                    .values()
                    .any(|table| table.plugin == *name);
            if !used {
                problems.extend(self.plugin(name).err());
            }
        }
        problems
    }

    /// An unknown name of a source or a destination.
    pub fn unknown(&self, section: Section, name: &str) -> Error {
        let what = match section {
            Section::Sources => "source",
            Section::Destinations => "destination",
        };
        unknown_name(what, name, &self.config.names(section))
    }

    /// What the plugin of a source or destination requires for its configuration, and whether it is allowed. Nothing of it runs but
    /// that question; its secrets are resolved.
    pub fn requirements(&self, section: Section, name: &str) -> Result<Requirements> {
        let model = self.config.model();
        let (plugin, allow) = match section {
            Section::Sources => {
                let table = model.sources.get(name);
                let table = table.ok_or_else(|| self.unknown(section, name))?;
                (&table.plugin, &table.allow)
            }
            Section::Destinations => {
                let table = model.destinations.get(name);
                let table = table.ok_or_else(|| self.unknown(section, name))?;
                (&table.plugin, &table.allow)
            }
        };
        let member = Member {
            section,
            name,
            plugin,
            allow: allow.as_ref(),
        };
        let (_, _, required) = self.required(&member)?;
        // One by one, to tell which.
        let tell = |capability: Capability| {
            let granted = self.granted(&member, std::slice::from_ref(&capability));
            (capability, granted.is_ok())
        };
        Ok(required.into_iter().map(tell).collect())
    }

    fn prepare(&self, member: &Member<'_>) -> Result<(Plugin, String, Grants), Fault> {
        let (plugin, config, required) = self.required(member)?;
        let grants = self.granted(member, &required);
        Ok((plugin, config, grants.map_err(Fault::Configuration)?))
    }

    fn required(&self, member: &Member<'_>) -> Result<(Plugin, String, Vec<Capability>), Fault> {
        let checked = self.checked_schema(member.section, member.name, member.plugin);
        let (plugin, schema) = checked.map_err(|problems| {
            let error = config::first(problems);
            // Loaded by now, unless that was what failed.
            let is_known = plugins::known(&self.config).contains_key(member.plugin);
            match is_known && self.plugin(member.plugin).is_err() {
                true => Fault::World(error),
                false => Fault::Configuration(error),
            }
        })?;
        let config = self
            .config
            .resolved_plugin_config(member.section, member.name, &schema, &self.secrets)
            .map_err(Fault::World)?;
        let at = Pointer::root()
            .key(member.section.as_str())
            .key(member.name);
        let place = || self.config.document().value_place(&at.key("config"));
        let required = plugin.requirements(&config).map_err(|error| {
            let is_wrong = error.kind() == ErrorKind::InvalidConfig;
            let error = error.on(place());
            match is_wrong {
                true => Fault::Configuration(error),
                false => Fault::World(error),
            }
        })?;
        Ok((plugin, config, required))
    }

    /// What is not allowed is a matter of the configuration: nothing was touched.
    fn granted(&self, member: &Member<'_>, required: &[Capability]) -> Result<Grants> {
        let at = Pointer::root()
            .key(member.section.as_str())
            .key(member.name);
        let bundled = plugins::known(&self.config).get(member.plugin) == Some(&Origin::Bundled);
        let allow = member.allow.map(allow);
        let section = at.to_string();
        grant(&section, required, allow.as_ref(), bundled)
            .map_err(|error| as_config_error(&error, self.config.document().key_place(&at)))
    }

    /// The plugin of `section.name` and its schema, after the table was checked against it.
    fn checked_schema(
        &self,
        section: Section,
        name: &str,
        plugin_name: &str,
    ) -> Result<(Plugin, Value), Vec<Error>> {
        let at = Pointer::root()
            .key(section.as_str())
            .key(name)
            .key("plugin");
        let here = |error: Error| match self.config.model().plugins.contains_key(plugin_name) {
            // The place of the plugin's own table is in the error already, or the file itself is at fault.
            true => vec![error],
            false => vec![error.on(self.config.document().value_place(&at))],
        };
        let plugin = self.plugin(plugin_name).map_err(here)?;
        let wanted = match section {
            Section::Sources => PluginKind::Source,
            Section::Destinations => PluginKind::Destination,
        };
        if plugin.info().kind != wanted {
            let error = self.config.document().error(
                &at,
                format!(
                    "'{at}' names '{plugin_name}', which is no plugin for {}",
                    section.as_str()
                ),
            );
            return Err(vec![
                error.hint("`strongroom plugin list` shows which plugins are for what"),
            ]);
        }
        let schema = serde_json::from_str(&plugin.info().config_schema)
            .map_err(|error| vec![bad_schema(plugin_name, &error)])?;
        let problems = self
            .config
            .plugin_problems(section, name, &schema)
            .map_err(|error| vec![error.on(format!("plugin {plugin_name}"))])?;
        if problems.is_empty() {
            Ok((plugin, schema))
        } else {
            Err(problems)
        }
    }
}

/// The folders that these let a plugin write to.
fn written_folders(capabilities: &[Capability]) -> Vec<PathBuf> {
    let folders = capabilities.iter();
    folders
        .filter_map(|capability| match capability {
            Capability::Write(folder) => Some(PathBuf::from(folder)),
            _ => None,
        })
        .collect()
}

/// A table of the configuration that names a plugin.
struct Member<'a> {
    section: Section,
    name: &'a str,
    plugin: &'a str,
    allow: Option<&'a AllowTable>,
}

fn allow(table: &AllowTable) -> Allow {
    Allow {
        read: table.read.clone(),
        write: table.write.clone(),
        connect: table.connect.clone(),
        http: table.http.clone(),
        command: table.command.clone(),
    }
}
