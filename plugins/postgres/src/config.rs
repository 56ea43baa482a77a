//! What the operator writes: the `config` table and the options of a restore in, capabilities out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use strongroom_plugin::{
    Capability, Error, ErrorKind, HostPath, OnConflict, Result, Secret, Server, TlsMode,
};

/// Which server, as whom, and what of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The server's name or address.
    #[serde(default = "default_host")]
    pub(crate) host: String,
    /// The server's port.
    #[serde(default = "default_port")]
    pub(crate) port: u16,
    /// The role to log in as.
    #[serde(default = "default_name")]
    pub(crate) user: String,
    /// The role's password.
    #[serde(default)]
    pub(crate) password: Option<Secret>,
    /// The database to connect to for looking around.
    #[serde(default = "default_name")]
    pub(crate) database: String,
    /// Which databases to dump: names, in which `*` stands for anything. Templates are left out.
    #[serde(default = "all_databases")]
    pub(crate) databases: Vec<String>,
    /// Which of these databases to leave out.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// How to back up.
    #[serde(default)]
    pub(crate) method: Method,
    /// Of dumps: whether to count the rows of each table meanwhile, so that a verification can compare them.
    #[serde(default = "yes")]
    pub(crate) count_rows: bool,
    /// Whether to encrypt the connection, and how much of the server's certificate to check. Left out: `verify-full`, and `disable` for a server
    /// on this machine.
    #[serde(default)]
    pub(crate) tls: Option<TlsMode>,
    /// A file with the certificates of those who may vouch for the server, in place of the system's.
    #[serde(default)]
    pub(crate) tls_authority: Option<HostPath>,
    /// Of a physical backup: the replication slot that keeps the log for the next incremental one. Made where it is missing; empty for none.
    #[serde(default = "default_slot")]
    pub(crate) slot: String,
    /// Where a physical backup may be restored to: a directory that is empty or does not exist.
    #[serde(default)]
    pub(crate) restore_directory: Option<HostPath>,
    /// A directory for temporary files, which a dump is put into when it is restored in parallel.
    #[serde(default)]
    pub(crate) work_directory: Option<HostPath>,
}

/// How to back up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// One dump for each database, by pg_dump.
    #[default]
    Logical,
    /// The whole cluster with its write-ahead log.
    Physical,
}

/// How to take a backup back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreOptions {
    /// What to do with a database that exists. One that is replaced goes once the restored one is whole.
    #[serde(default)]
    pub(crate) conflict: OnConflict,
    /// New names for databases, by their old ones.
    #[serde(default)]
    pub(crate) rename: BTreeMap<String, String>,
    /// Whether to make the roles and tablespaces that are missing.
    #[serde(default = "yes")]
    pub(crate) globals: bool,
    /// Directories of the server's machine for tablespaces that are missing, by their names, in place of those in the backup; empty to go without one.
    #[serde(default)]
    pub(crate) tablespaces: BTreeMap<String, String>,
    /// Whether to restore the rest where something of a database cannot be restored, and to name that. Materialized views that cannot be filled are named in any
    /// case.
    #[serde(default, rename = "go-on")]
    pub(crate) go_on: bool,
    /// How many connections restore one database. More than one needs `work_directory`.
    #[serde(default = "one")]
    pub(crate) parallel: u16,
    /// Of a physical backup: replay the log up to this position, such as `0/16B3748`.
    #[serde(default)]
    pub(crate) until_lsn: Option<String>,
}

impl Config {
    pub(crate) fn tls(&self) -> TlsMode {
        self.tls
            .unwrap_or_else(|| TlsMode::default_for(&self.address()))
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> Server<'_> {
        Server::new(&self.host, self.port)
    }

    /// What has to be granted.
    pub(crate) fn requirements(&self) -> Result<Vec<Capability>> {
        let mut required = vec![self.address().capability()];
        if self.method == Method::Logical {
            for program in ["pg_dump", "pg_dumpall", "pg_restore"] {
                required.push(Capability::Command(program.into()));
            }
        }
        required.extend(self.tls_authority.as_ref().map(HostPath::read_as_file));
        for folder in [&self.restore_directory, &self.work_directory] {
            required.extend(folder.iter().map(|it| Capability::Write(it.to_string())));
        }
        Ok(required)
    }

    /// What no schema can say.
    pub(crate) fn check(&self) -> Result<()> {
        let in_slot = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
        if self.slot.len() > 63 || !self.slot.chars().all(in_slot) {
            let problem =
                "a slot's name has lower-case letters, digits and underscores, 63 at most";
            return Err(Error::invalid_config("slot", problem));
        }
        if self.databases.is_empty() && self.method == Method::Logical {
            let error = Error::invalid_config("databases", "names none");
            return Err(error.hint("leave it out for all databases"));
        }
        if self.host.is_empty() || self.host.starts_with('/') {
            let error = Error::invalid_config("host", "is no name or address of a server");
            return Err(
                error.hint("a plugin cannot use a Unix socket: let the server listen on localhost")
            );
        }
        Ok(())
    }
}

impl RestoreOptions {
    /// What a database will be called.
    pub(crate) fn name_of<'a>(&'a self, database: &'a str) -> &'a str {
        self.rename.get(database).map_or(database, |name| name)
    }

    /// What no schema can say.
    pub(crate) fn check(&self, config: &Config) -> Result<()> {
        if self.parallel == 0 {
            return Err(Error::invalid_config("parallel", "must be 1 or more"));
        }
        if self.parallel > 1 && config.work_directory.is_none() {
            let message = "a restore in parallel needs a place for the dump";
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .hint("set work_directory in the source's config"));
        }
        Ok(())
    }
}

fn default_host() -> String {
    "localhost".into()
}

fn default_port() -> u16 {
    5432
}

fn default_name() -> String {
    "postgres".into()
}

fn default_slot() -> String {
    "strongroom".into()
}

fn all_databases() -> Vec<String> {
    vec!["*".into()]
}

fn yes() -> bool {
    true
}

fn one() -> u16 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).expect("a good configuration")
    }

    fn check(json: &str, expected: &[&str]) {
        let required = config(json).requirements().expect("they can be told");
        let required: Vec<_> = required.iter().map(|it| format!("{it:?}")).collect();
        assert_eq!(required, expected, "{json}");
    }

    #[test]
    fn only_what_the_method_uses_is_asked_for() {
        check(
            "{}",
            &[
                r#"Capability::Connect("localhost:5432")"#,
                r#"Capability::Command("pg_dump")"#,
                r#"Capability::Command("pg_dumpall")"#,
                r#"Capability::Command("pg_restore")"#,
            ],
        );
        check(
            r#"{"host":"::1","port":5433,"method":"physical","tls_authority":"/etc/ca.pem","restore_directory":"/srv/new"}"#,
            &[
                r#"Capability::Connect("[::1]:5433")"#,
                r#"Capability::Read("/etc")"#,
                r#"Capability::Write("/srv/new")"#,
            ],
        );
    }

    #[test]
    fn a_connection_is_encrypted_and_checked_unless_it_stays_on_the_machine() {
        let check = |json, expected| assert_eq!(config(json).tls(), expected, "{json}");
        check(r#"{"host":"db.internal"}"#, TlsMode::VerifyFull);
        check("{}", TlsMode::Disable);
        check(r#"{"host":"db","tls":"require"}"#, TlsMode::Require);
        check(r#"{"tls":"verify-ca"}"#, TlsMode::VerifyCa);
    }

    #[test]
    fn what_no_server_could_take_is_refused() {
        let check = |json, expected: Option<&str>| {
            let error = config(json).check().err();
            assert_eq!(error.as_ref().map(Error::message), expected, "{json}");
        };
        check("{}", None);
        check(r#"{"slot":""}"#, None);
        let slot = "slot: a slot's name has lower-case letters, digits and underscores, 63 at most";
        check(r#"{"slot":"Strong room"}"#, Some(slot));
        check(r#"{"databases":[]}"#, Some("databases: names none"));
        let host = "host: is no name or address of a server";
        check(r#"{"host":"/run/postgresql"}"#, Some(host));
    }
}
