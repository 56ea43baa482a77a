//! A server in the scratch directory, which nobody but this plugin gets into: it listens on the loopback address only, takes one role, and that with
//! a random password.
//!
//! What a cluster that was backed up would do besides stays off: archive its log, follow or publish to other servers, load libraries.

use std::fs;
use std::time::Duration;

use serde_json::json;
use strongroom_plugin::command::{Command, Exit, Process};
use strongroom_plugin::{Context, Error, ErrorKind, Result, Scratch, progress};

use crate::config::Config;
use crate::link::{self, Client};
use crate::programs::{finish, last_words};
use crate::wire::Session;

/// Where the cluster is.
pub(super) const DATA: &str = "data";

/// The database to look around from. Every cluster has it, no backup holds it, and no database is made like it.
pub(super) const LOBBY: &str = "template1";

/// Of a cluster that initdb made.
pub(super) const SEGMENT_BYTES: u64 = 16 << 20;

/// How often it is tried whether the server is ready.
const LOOK: Duration = Duration::from_millis(100);

/// Where a restore command finds `cp`.
const PATH: &str = "/usr/bin:/bin";

/// What every scratch server is told on its command line, which no file of the cluster can overrule. Settings that belong to a database or a role can.
const SETTINGS: &[(&str, &str)] = &[
    ("archive_cleanup_command", ""),
    ("archive_mode", "off"),
    ("autovacuum", "off"),
    ("default_transaction_read_only", "off"),
    // In the scratch directory, not in the machine's memory, where it stays when the server is killed.
    ("dynamic_shared_memory_type", "mmap"),
    ("external_pid_file", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("hot_standby", "off"),
    ("jit", "off"),
    ("lc_messages", "C"),
    ("listen_addresses", "127.0.0.1"),
    ("local_preload_libraries", ""),
    ("log_destination", "stderr"),
    ("log_error_verbosity", "default"),
    ("log_line_prefix", "%m [%p] "),
    ("log_min_error_statement", "panic"),
    ("log_min_messages", "warning"),
    ("log_statement", "none"),
    ("logging_collector", "off"),
    ("max_connections", "20"),
    ("max_locks_per_transaction", "256"),
    ("max_logical_replication_workers", "0"),
    ("max_prepared_transactions", "200"),
    ("max_wal_senders", "0"),
    ("password_encryption", "scram-sha-256"),
    ("primary_conninfo", ""),
    ("recovery_end_command", ""),
    ("recovery_min_apply_delay", "0"),
    ("session_preload_libraries", ""),
    ("shared_preload_libraries", ""),
    ("ssl", "off"),
    ("synchronous_commit", "off"),
    ("synchronous_standby_names", ""),
    ("unix_socket_directories", ""),
    ("wal_level", "minimal"),
];

/// Who may log in.
pub(super) struct Login {
    pub(super) role: String,
    pub(super) password: String,
}

/// A server that runs.
pub(super) struct Server {
    process: Process,
    config: Config,
}

impl Login {
    /// With a password that nobody can guess.
    pub(super) fn new(role: impl Into<String>) -> Result<Self> {
        Ok(Self {
            role: role.into(),
            password: random()?,
        })
    }
}

/// 32 hexadecimal digits.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let problem = format!("there are no random numbers: {error}");
        Error::new(ErrorKind::Failed, problem)
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `postgres` on the cluster, with settings of its own in place of the cluster's files.
///
/// `first` are arguments that have to come before all others.
pub(super) fn postgres(scratch: &Scratch, first: &[&str], segment_bytes: u64) -> Result<Command> {
    let own = |name: &str| scratch.path(name);
    for (name, text) in [("server.conf", ""), ("hba.conf", ""), ("ident.conf", "")] {
        let path = own(name);
        if !fs::exists(&path).on(&path)? {
            fs::write(&path, text).on(&path)?;
        }
    }
    let files = [
        ("config_file", own("server.conf")),
        ("hba_file", own("hba.conf")),
        ("ident_file", own("ident.conf")),
        ("port", scratch.port.to_string()),
        // A server insists on room for some segments.
        ("min_wal_size", format!("{}MB", (2 * segment_bytes) >> 20)),
        (
            "max_wal_size",
            format!("{}MB", ((8 * segment_bytes) >> 20).max(1024)),
        ),
    ];
    let fixed = SETTINGS
        .iter()
        .map(|&(name, value)| (name, value.to_owned()));
    let settings = files.into_iter().chain(fixed);
    let settings = settings.flat_map(|(name, value)| ["-c".into(), format!("{name}={value}")]);
    Ok(Command::new("postgres")
        .args(first.iter().copied())
        .arg("-D")
        .arg(own(DATA))
        .args(settings)
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8"))
}

impl Server {
    /// Starts it, and waits until it lets us in. An error is not about the backup, unless the caller knows better: [`Error::kind`] is `failed` where the
    /// server itself ended.
    pub(super) fn start(scratch: &Scratch, login: &Login, segment_bytes: u64) -> Result<Self> {
        let hba = scratch.path("hba.conf");
        let line = format!("host all \"{}\" 127.0.0.1/32 scram-sha-256\n", login.role);
        fs::write(&hba, line).on(&hba)?;
        let mut process = postgres(scratch, &[], segment_bytes)?.spawn()?;
        // It is nobody's to answer, and what it says goes to its standard error.
        drop(process.stdin());
        let config = config(scratch, login)?;
        let server = Self { process, config };
        server.wait()?;
        Ok(server)
    }

    /// How to reach it.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it still runs.
    pub(super) fn is_running(&self) -> bool {
        self.process.ended().is_none()
    }

    /// A connection to one of its databases.
    pub(super) fn connect(&self, database: &str) -> Result<Client> {
        self.explain(link::connect(&self.config, database))
    }

    /// The same with the names and settings of that database, for questions that the operator wrote.
    pub(super) fn connect_as_it_is(&self, database: &str) -> Result<Client> {
        let client = link::connect_in(&self.config, database, Session::OfTheDatabase);
        self.explain(client)
    }

    /// Where the server ended, that is the reason for whatever went wrong.
    pub(super) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        match (result, self.process.ended()) {
            (Err(_), Some(exit)) => Err(ended(&exit)),
            (result, _) => result,
        }
    }

    fn wait(&self) -> Result<()> {
        progress::step("waiting for the scratch server");
        loop {
            progress::check_cancelled()?;
            if let Some(exit) = self.process.ended() {
                return Err(ended(&exit));
            }
            match link::connect(&self.config, LOBBY) {
                Ok(client) => {
                    client.close();
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => std::thread::sleep(LOOK),
                Err(error) => return Err(error),
            }
        }
    }
}

fn ended(exit: &Exit) -> Error {
    let how = format!("the scratch server {}", exit.manner());
    let words = last_words(&exit.stderr);
    Error::new(
        ErrorKind::Failed,
        match words.as_str() {
            "" => how,
            words => format!("{how}: {words}"),
        },
    )
}

/// As if it were the source.
fn config(scratch: &Scratch, login: &Login) -> Result<Config> {
    let config = json!({
        "host": "127.0.0.1",
        "port": scratch.port,
        "user": login.role,
        "password": login.password,
        "database": LOBBY,
        "tls": "disable",
    });
    serde_json::from_value(config).map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))
}

/// An empty cluster whose superuser is the one that logs in.
pub(super) fn init(scratch: &Scratch, login: &Login) -> Result<()> {
    progress::step("making a scratch server");
    let password = scratch.path("password");
    fs::write(&password, &login.password).on(&password)?;
    let program = "initdb";
    let process = Command::new(program)
        .arg(format!("--pgdata={}", scratch.path(DATA)))
        .arg(format!("--username={}", login.role))
        .arg(format!("--pwfile={password}"))
        // Databases bring their own encoding and locale.
        .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
        .arg("--no-sync")
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .spawn()?;
    finish(program, process)?;
    fs::remove_file(&password).on(&password)
}
