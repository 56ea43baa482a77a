//! The configuration file as it is written: one struct a table. Its JSON Schema is derived from these structs, so the doc comments here are
//! what an editor shows to the person who writes the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_repository::backup::Expected;

/// Names of sources, destinations, jobs and plugins. They become tags, directories and file names.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// Names of hosts.
const HOST: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$";

/// The whole file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Strongroom configuration")]
pub struct Model {
    /// The engine itself.
    #[serde(default)]
    pub engine: EngineTable,
    /// Plugin files beside the bundled plugins, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub plugins: BTreeMap<String, PluginTable>,
    /// What is backed up, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub sources: BTreeMap<String, SourceTable>,
    /// Where backups are kept, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub destinations: BTreeMap<String, DestinationTable>,
    /// Which sources go to which destinations, and when, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub jobs: BTreeMap<String, JobTable>,
}

/// The engine itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineTable {
    /// Folder for the catalog, caches and prepared downloads. A relative path counts from the folder of this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// The name that this machine's backups go by: each name has a history of its own. The machine's own name where nothing is said; one that was
    /// renamed, or that takes the place of another, goes on with the earlier name here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = HOST))]
    pub host: Option<String>,
    /// Address and port of the web pages, for `serve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}

/// A plugin file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginTable {
    /// The component's file. A relative path counts from the folder of this file.
    pub path: PathBuf,
    /// SHA-256 of the file in hex: nothing else is run. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9a-fA-F]{64}$"))]
    pub sha256: Option<String>,
}

/// Something that is backed up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceTable {
    /// The plugin that reads it.
    pub plugin: String,
    /// The plugin's own configuration.
    #[serde(default)]
    pub config: PluginConfig,
    /// What the plugin may touch. For a bundled plugin, an absent table allows what its `config` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<AllowTable>,
    /// A backup of it may hold nothing, or next to nothing of what the one before held. Else that is an error: a disk is not mounted, say.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_empty: bool,
    /// How many files a backup of it holds at least. One with as many has lost nothing, however many the one before held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_files: Option<u64>,
    /// The folder that is backed up has to be a mount point.
    #[serde(default, skip_serializing_if = "is_false")]
    pub expect_mount: bool,
}

impl SourceTable {
    /// What has to be true of a backup of it.
    pub fn expected(&self) -> Expected {
        Expected {
            allow_empty: self.allow_empty,
            min_files: self.min_files,
            expect_mount: self.expect_mount,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A place that keeps backups.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationTable {
    /// The plugin that reaches it.
    pub plugin: String,
    /// The plugin's own configuration.
    #[serde(default)]
    pub config: PluginConfig,
    /// What the plugin may touch. For a bundled plugin, an absent table allows what its `config` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<AllowTable>,
    /// The repository's password.
    pub password: SecretReference,
    /// How many requests run at once: 8 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub parallel_requests: Option<u16>,
}

/// A plugin's own table. Its schema comes from the plugin.
pub type PluginConfig = serde_json::Map<String, serde_json::Value>;

/// What a plugin may touch.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowTable {
    /// Host directories to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// Host directories to read, create, change and delete files in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
    /// `host:port` of TCP connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<String>,
    /// `scheme://authority` of HTTP requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Programs: bare names, which are looked up in PATH, or absolute paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// Where a secret is found: exactly one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1, "writeOnly" = true))]
pub struct SecretReference {
    /// An environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub env: Option<String>,
    /// A file; one newline at its end does not count. A relative path counts from the folder of this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A program and its arguments; what it prints is the secret. One newline at the end does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
}

/// Which sources go to which destinations, and when.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobTable {
    /// Names of sources.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub sources: Vec<String>,
    /// Names of destinations. Each gets a whole copy.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub destinations: Vec<String>,
    /// When it runs by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The IANA time zone of the schedule, such as "Europe/Zurich". The machine's own where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// How long scheduled backups are kept. All of them where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How long backups made by hand are kept. All of them where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand_retention: Option<Retention>,
    /// How its backups are proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyTable>,
}

/// How the backups of a job are proven.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyTable {
    /// When the newest backup is verified by itself: a cron expression of five fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The system user that scratch servers run as where the engine is root. Where nothing is said: the one that such a server commonly has, else
    /// `nobody`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub user: Option<String>,
    /// Folders of programs that a verification may run, such as "/usr/lib/postgresql/15/bin". They come before all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<PathBuf>,
    /// The folder that backups are restored below: `scratch` in the state folder where nothing is said. Each verification makes a folder of its
    /// own there and removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch: Option<PathBuf>,
    /// How many percent of a volume's files are restored: 5 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 100))]
    pub sample: Option<f64>,
    /// Queries that the restored data has to answer with true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<Assertion>,
}

/// A query that the restored data has to answer with true.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Assertion {
    /// Of the job's only source, and its only database.
    Sql(String),
    /// Of a certain source or database.
    Of(AssertionTable),
}

/// A query with where to ask it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssertionTable {
    /// A source of the job. Where it has only one, that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A database of the source. Where the backup holds only one, that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// A query of one row with one column, such as "select count(*) > 0 from orders".
    #[schemars(length(min = 1))]
    pub sql: String,
}

/// Cron expressions of five fields: minute, hour, day of month, month, day of week.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Schedule {
    /// When to run; full where there is nothing to continue, incremental otherwise.
    One(String),
    /// Full and incremental backups apart.
    Kinds(ScheduleKinds),
}

/// Full and incremental backups apart.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct ScheduleKinds {
    /// When everything is read afresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<String>,
    /// When only what has changed is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incremental: Option<String>,
}

/// Which backups are kept. A backup that any of these rules names is kept; an empty table keeps everything. `hourly` to `yearly` follow on each
/// other: the finest one keeps the newest backup of each period, each coarser one the oldest of those that the finer one no longer keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The newest complete ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// The newest complete ones of those that are older than `within`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_beyond: Option<u32>,
    /// All that are not older than the newest complete one by more than this: a number and `h`, `d`, `w`, `m` (months) or `y`, such as "30d".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[1-9][0-9]{0,4}[hdwmy]$"))]
    pub within: Option<String>,
    /// One of an hour, for so many hours that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// One of a day, for so many days that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// One of a week, for so many weeks that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// One of a month, for so many months that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// One of a year, for so many years that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
}
