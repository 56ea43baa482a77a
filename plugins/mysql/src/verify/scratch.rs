//! A server of a verification's own: a folder and a port come in, a server with nothing in it goes out. It ends with the value.

use std::time::{Duration, Instant};

use serde_json::json;
use strongroom_plugin::command::{Command, Process};
use strongroom_plugin::{Error, ErrorKind, Needs, Result, Scratch, progress};
use wasip2::random::random::get_random_u64;

use crate::client::{Session, connect};
use crate::config::{Config, Kind};

/// Whom we log in as. Nobody else can by TCP.
const USER: &str = "strongroom";

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(100);

/// Where systems keep servers, beside `PATH`.
const FOLDERS: [&str; 4] = [
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/usr/local/mysql/bin",
];

/// Programs are scripts in part, and look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A server that runs.
pub(super) struct ScratchServer {
    /// To reach it by.
    pub(super) config: Config,
    process: Process,
}

/// What such a server takes.
pub(super) fn needs(kind: Kind, scratch: &Scratch, has_log: bool) -> Needs {
    let mut programs = vec![kind.server_program(), kind.client_program()];
    if kind == Kind::Mariadb {
        programs.push(INSTALL);
    }
    if has_log {
        programs.push(kind.log_program());
    }
    Needs {
        folders: FOLDERS.map(str::to_owned).into(),
        user: Some("mysql".into()),
        ..Needs::of(scratch).server(scratch).programs(&programs)
    }
}

/// Names are the same whatever their capitals. MySQL must know it when its data are made.
const FOLDS: &str = "--lower-case-table-names=1";

/// The only folder that statements may read files from and write them to.
const FILES: &str = "files";

/// Makes the data of a MariaDB.
const INSTALL: &str = "mariadb-install-db";

impl ScratchServer {
    /// Makes it, and waits until it answers. `folds` says whether names that differ in capitals only are the same to it.
    pub(super) fn start(kind: Kind, scratch: &Scratch, folds: bool) -> Result<Self> {
        let password = format!("{:016x}{:016x}", get_random_u64(), get_random_u64());
        let config = config(kind, scratch, &password)?;
        progress::step("making a server");
        create(kind, scratch, folds)?.success()?;
        std::fs::create_dir(scratch.path(FILES))?;
        let accounts = scratch.path("accounts.sql");
        std::fs::write(&accounts, first_accounts(kind, &password))?;
        progress::step("starting the server");
        let server = Self {
            config,
            process: server(kind, scratch, folds).spawn()?,
        };
        server.wait_until_ready()?;
        // It was read, and holds the password.
        std::fs::remove_file(&accounts)?;
        Ok(server)
    }

    /// A session with it.
    pub(super) fn connect(&self) -> Result<Session> {
        connect(&self.config)
    }

    /// What an error is really about: the server's end, where it has ended.
    pub(super) fn explain(&self, error: Error) -> Error {
        match self.process.ended() {
            None => error,
            Some(exit) => {
                let last = exit.stderr.lines().rfind(|line| line.contains("[ERROR]"));
                let last = last.map(|line| format!(": {}", line.trim()));
                let problem = format!(
                    "{} {}{}",
                    self.config.server.server_program(),
                    exit.manner(),
                    last.unwrap_or_default()
                );
                Error::new(ErrorKind::Failed, problem)
            }
        }
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&self) -> bool {
        self.process.ended().is_none()
    }

    fn wait_until_ready(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            progress::check_cancelled()?;
            match self.connect() {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::Unavailable || !self.is_alive() => {
                    return Err(self.explain(error));
                }
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

fn config(kind: Kind, scratch: &Scratch, password: &str) -> Result<Config> {
    let table = json!({
        "server": kind.key(),
        "host": "127.0.0.1",
        "port": scratch.port,
        "user": USER,
        "password": password,
        "tls": "disable",
        "writable": true,
    });
    serde_json::from_value(table)
        .map_err(|error| Error::new(ErrorKind::Failed, format!("the scratch server: {error}")))
}

fn create(kind: Kind, scratch: &Scratch, folds: bool) -> Result<Process> {
    let data = format!("--datadir={}", scratch.path("data"));
    let command = match kind {
        Kind::Mariadb => Command::new(INSTALL)
            .arg("--no-defaults")
            .arg(data)
            // Nobody comes in by TCP.
            .arg("--auth-root-authentication-method=socket")
            .arg("--skip-test-db"),
        Kind::Mysql => Command::new(kind.server_program())
            .arg("--no-defaults")
            .arg("--initialize-insecure")
            .arg("--secure-file-priv=NULL")
            .arg(data),
    };
    let command = match (folds, kind) {
        (true, Kind::Mysql) => command.arg(FOLDS),
        _ => command,
    };
    command.env("PATH", PATH).spawn()
}

fn server(kind: Kind, scratch: &Scratch, folds: bool) -> Command {
    let command = Command::new(kind.server_program())
        .arg("--no-defaults")
        .arg(format!("--datadir={}", scratch.path("data")))
        .arg(format!("--tmpdir={}", scratch.directory))
        .arg(format!("--init-file={}", scratch.path("accounts.sql")))
        .arg(format!("--port={}", scratch.port))
        .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
        // In the data directory, where only the server's user comes in.
        .args(["--socket=socket", "--pid-file=pid"])
        // What was restored is looked at, and does nothing by itself.
        .arg("--event-scheduler=OFF")
        .arg("--max-allowed-packet=1G")
        // It need not survive anything.
        .args([
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=OFF",
        ])
        .env("PATH", PATH);
    let command = match folds {
        true => command.arg(FOLDS),
        false => command,
    };
    match kind {
        // It takes a directory, and then no other one.
        Kind::Mariadb => command.arg(format!("--secure-file-priv={}", scratch.path(FILES))),
        Kind::Mysql => command.args([
            "--disable-log-bin",
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
        ]),
    }
}

/// What the server does before it lets anybody in.
fn first_accounts(kind: Kind, password: &str) -> String {
    let root = match kind {
        Kind::Mariadb => String::new(),
        Kind::Mysql => format!("ALTER USER root@localhost IDENTIFIED BY '{password}';\n"),
    };
    format!(
        "{root}CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL ON *.* TO {USER}@'127.0.0.1' WITH GRANT OPTION;\n"
    )
}
