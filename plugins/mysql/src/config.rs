//! What the operator writes as `config`, and what a restore can be asked for.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use strongroom_plugin::{Capability, HostPath, OnConflict, Secret, Server, TlsMode};

/// The server, who we are there, and which of its databases to back up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What the server is. It decides which programs dump and restore: `mysqldump`, `mysql` and `mysqlbinlog`, or `mariadb-dump`, `mariadb` and
    /// `mariadb-binlog`.
    pub(crate) server: Kind,
    /// The server's name or address.
    pub(crate) host: String,
    /// The server's port.
    #[serde(default = "default_port")]
    pub(crate) port: u16,
    /// Whom to log in as.
    pub(crate) user: String,
    /// The user's password.
    pub(crate) password: Option<Secret>,
    /// Which databases: names, or patterns with `*` and `?`. One that begins with `!` leaves out what it matches. The server's own are never
    /// among them.
    #[serde(default = "all")]
    pub(crate) databases: Vec<String>,
    /// Databases to leave out: names, or patterns with `*` and `?`.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// How to back up.
    #[serde(default)]
    #[expect(dead_code, reason = "there is one, which the engine notes")]
    pub(crate) method: Method,
    /// Back up the accounts and what they may do too, as `users.sql`.
    #[serde(default = "yes")]
    pub(crate) users: bool,
    /// Count the rows of each table beside its dump, for a verification to compare.
    #[serde(default = "yes")]
    pub(crate) count_rows: bool,
    /// Whether to speak TLS, and what to check. Left out: `verify-full`, and `disable` where `host` is this machine itself.
    pub(crate) tls: Option<TlsMode>,
    /// A file of PEM certificates to trust in place of the system's.
    pub(crate) tls_authority: Option<HostPath>,
    /// Allow a restore into this server. Without it the plugin asks for what a backup needs only.
    #[serde(default)]
    pub(crate) writable: bool,
}

/// The two families. They share a protocol, and little else that matters to a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// MySQL, from 8.0 on.
    Mysql,
    /// MariaDB, from 10.6 on.
    Mariadb,
}

/// How to back up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    /// By the server's dump program: files of SQL.
    #[default]
    Logical,
}

/// How to restore into a server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreOptions {
    /// What to do with a database that exists and holds something. One that is replaced is dropped first.
    #[serde(default)]
    pub(crate) conflict: OnConflict,
    /// New names of databases, by their old ones.
    #[serde(default)]
    pub(crate) rename: BTreeMap<String, String>,
    /// Restore accounts too. Those that exist are left as they are.
    #[serde(default = "yes")]
    pub(crate) users: bool,
    /// Leave out views that cannot be made, and name them.
    #[serde(default, rename = "go-on")]
    pub(crate) go_on: bool,
}

impl Config {
    /// What the plugin must be granted.
    pub(crate) fn requirements(&self) -> Vec<Capability> {
        let mut needs = vec![
            self.address().capability(),
            Capability::Command(self.server.dump_program().into()),
        ];
        if self.writable {
            needs.push(Capability::Command(self.server.client_program().into()));
            needs.push(Capability::Command(self.server.log_program().into()));
        }
        needs.extend(self.tls_authority.as_ref().map(HostPath::read_as_file));
        needs
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> Server<'_> {
        Server::new(&self.host, self.port)
    }

    pub(crate) fn tls(&self) -> TlsMode {
        self.tls
            .unwrap_or_else(|| TlsMode::default_for(&self.address()))
    }

    pub(crate) fn password(&self) -> &str {
        self.password.as_ref().map_or("", Secret::expose)
    }
}

impl Kind {
    pub(crate) fn server_program(self) -> &'static str {
        match self {
            Self::Mysql => "mysqld",
            Self::Mariadb => "mariadbd",
        }
    }

    pub(crate) fn dump_program(self) -> &'static str {
        match self {
            Self::Mysql => "mysqldump",
            Self::Mariadb => "mariadb-dump",
        }
    }

    pub(crate) fn client_program(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }

    pub(crate) fn log_program(self) -> &'static str {
        match self {
            Self::Mysql => "mysqlbinlog",
            Self::Mariadb => "mariadb-binlog",
        }
    }

    /// As `config` has it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        })
    }
}

fn default_port() -> u16 {
    3306
}

fn all() -> Vec<String> {
    vec!["*".into()]
}

fn yes() -> bool {
    true
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration with these keys beside the required ones.
    pub(crate) fn config(more: &str) -> Config {
        let json = format!(r#"{{"server":"mariadb","host":"db.internal","user":"backup"{more}}}"#);
        serde_json::from_str(&json).expect("a good configuration")
    }

    #[test]
    fn what_restores_need_is_asked_for_only_where_restores_are_wanted() {
        let check = |more: &str, expected: &[&str]| {
            let needs = config(more).requirements();
            let needs: Vec<String> = needs.iter().map(|need| format!("{need:?}")).collect();
            assert_eq!(needs.len(), expected.len(), "{needs:?}");
            for (need, expected) in needs.iter().zip(expected) {
                assert!(need.contains(expected), "{need} for {expected}");
            }
        };
        check("", &["db.internal:3306", "mariadb-dump"]);
        check(
            r#","writable":true,"tls_authority":"/etc/ca.pem","port":1"#,
            &[
                "db.internal:1",
                "mariadb-dump",
                "mariadb",
                "mariadb-binlog",
                "Read(\"/etc\")",
            ],
        );
    }

    #[test]
    fn a_connection_that_leaves_the_machine_is_secret_unless_the_operator_says_otherwise() {
        let check = |more: &str, expected| assert_eq!(config(more).tls(), expected, "{more}");
        check("", TlsMode::VerifyFull);
        check(r#","tls":"require""#, TlsMode::Require);
    }
}
