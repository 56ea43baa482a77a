//! The server's own programs: a configuration comes in, commands that are ready to start go out. Passwords go by the environment only, where other
//! users of the host cannot see them.

use std::io::Read;

use strongroom_plugin::command::Command;
use strongroom_plugin::{Error, ErrorKind, Result, TlsMode};

use crate::config::{Config, Kind};
use crate::contents::Contents;
use crate::version::Version;

/// Where systems keep the authorities that they trust, for programs that do not know by themselves.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs";

/// How much of an answer to `--version` is read.
const VERSION_BYTES: u64 = 4096;

/// The first release of mysqldump that says `source` where it said `master`.
const SAYS_SOURCE: (u16, u16, u16) = (8, 0, 26);

/// What is dumped.
pub(crate) struct DumpOrder<'a> {
    pub(crate) database: &'a str,
    /// Note where in the binary log the dump stands.
    pub(crate) with_position: bool,
    /// With what its tables remember of their rows.
    pub(crate) with_history: bool,
    /// What it is told to pass over.
    pub(crate) contents: &'a Contents,
    /// Of the dump program.
    pub(crate) program: Version,
}

/// The dump of one database: all that is in it, without what would name it.
pub(crate) fn dump(config: &Config, order: &DumpOrder<'_>) -> Command {
    let mut command = with_connection(config.server.dump_program(), config).args([
        "--single-transaction",
        "--quick",
        "--triggers",
        "--hex-blob",
        // They repeat names, and a name may have line ends: what follows one would be run by whoever loads the dump.
        "--skip-comments",
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        "--no-tablespaces",
        // Two dumps of the same are the same.
        "--skip-dump-date",
    ]);
    if config.server == Kind::Mysql {
        // A restore makes transactions of its own; the numbers of the old ones would keep it from the server that they come from.
        command = command.arg("--set-gtid-purged=OFF");
    }
    if order.with_position {
        let says_source = order.program.kind == Kind::Mysql && order.program.number >= SAYS_SOURCE;
        command = command.arg(match says_source {
            true => "--source-data=2",
            false => "--master-data=2",
        });
    }
    if order.with_history {
        command = command.arg("--dump-history");
    }
    let contents = order.contents;
    command = command.arg(match contents.without_routines {
        true => "--skip-routines",
        false => "--routines",
    });
    command = command.arg(match contents.without_events {
        true => "--skip-events",
        false => "--events",
    });
    let database = order.database;
    for view in &contents.left_out {
        command = command.arg(format!("--ignore-table={database}.{view}"));
    }
    let empty = match config.server {
        Kind::Mariadb => "--ignore-table-data",
        // It knows nothing like it.
        Kind::Mysql => "--ignore-table",
    };
    for table in &contents.without_rows {
        command = command.arg(format!("{empty}={database}.{table}"));
    }
    command.arg("--").arg(database)
}

/// The client, which runs the SQL that it reads. `database` is where it begins, `settings` what its session sets first.
pub(crate) fn client(config: &Config, database: Option<&str>, settings: &str) -> Command {
    let command = with_connection(config.server.client_program(), config).args([
        "--batch",
        // What comes from a backup is SQL and not commands for the client, some of which start programs.
        "--binary-mode",
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        // A server, or a statement, may not ask for files of this machine.
        "--local-infile=0",
        // A connection that is made anew would have none of the settings that the statements before have made.
        "--skip-reconnect",
    ]);
    let command = command.arg(format!("--init-command={settings}"));
    match database {
        Some(database) => command.arg(format!("--database={database}")),
        None => command,
    }
}

/// The program that makes SQL of the binary log which it reads.
pub(crate) fn log_reader(kind: Kind) -> Command {
    let command = Command::new(kind.log_program()).arg("--no-defaults");
    let command = match kind {
        // A server skips transactions whose numbers it has seen, be it in a database that was dropped.
        Kind::Mysql => command.arg("--skip-gtids"),
        // After a restore the log has transactions twice. Releases before 10.8 do not look, and do not know the option.
        Kind::Mariadb => command
            .arg("--loose-gtid-strict-mode=0")
            // They would be repeated as comments, and are anybody's.
            .arg("--skip-annotate-row-events"),
    };
    command.arg("-")
}

/// Asks a program for its version. One of the other family is refused.
pub(crate) fn version(program: &str, kind: Kind) -> Result<Version> {
    let mut process = Command::new(program).arg("--version").spawn()?;
    let mut text = String::new();
    if let Some(stdout) = process.stdout() {
        stdout.take(VERSION_BYTES).read_to_string(&mut text)?;
    }
    process.success()?;
    let found = Version::find(&text).ok_or_else(|| {
        let problem = format!("{program} does not say which version it is");
        Error::new(ErrorKind::Unsupported, problem)
    })?;
    if found.kind != kind {
        let problem = format!("{program} is of {found}, and the server is {kind}");
        return Err(Error::new(ErrorKind::Unsupported, problem).hint(to_install(kind)));
    }
    Ok(found)
}

/// Refuses a dump program that is too old for the server.
pub(crate) fn check_dump_program(program: Version, server: Version) -> Result<()> {
    // MySQL renames and removes what older programs ask for. MariaDB keeps it.
    if server.kind == Kind::Mysql && program.release() < server.release() {
        let (major, minor) = server.release();
        let name = server.kind.dump_program();
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{name} is of {program}, older than the server, {server}"),
        )
        .hint(format!(
            "install the client programs of MySQL {major}.{minor} or newer"
        )));
    }
    Ok(())
}

fn to_install(kind: Kind) -> &'static str {
    match kind {
        Kind::Mysql => "install MySQL's client programs (mysql-client), and name them in `allow`",
        Kind::Mariadb => {
            "install MariaDB's client programs (mariadb-client), and name them in `allow`"
        }
    }
}

fn with_connection(program: &str, config: &Config) -> Command {
    Command::new(program)
        // What is in the host's option files is not this backup's.
        .arg("--no-defaults")
        // To these programs `localhost` is a socket, which may lead to another server.
        .arg("--protocol=tcp")
        .arg(format!("--host={}", config.address().host()))
        .arg(format!("--port={}", config.port))
        .arg(format!("--user={}", config.user))
        .args(tls_arguments(config))
        .env("MYSQL_PWD", config.password())
}

fn tls_arguments(config: &Config) -> Vec<String> {
    let authority = config
        .tls_authority
        .as_ref()
        .map(|path| format!("--ssl-ca={path}"));
    let mut arguments: Vec<String> = match (config.server, config.tls()) {
        // Without TLS the password of a user who has not logged in lately is sent under the server's own key.
        (Kind::Mysql, TlsMode::Disable) => vec![
            "--ssl-mode=DISABLED".into(),
            "--get-server-public-key".into(),
        ],
        (Kind::Mysql, TlsMode::Require) => vec!["--ssl-mode=REQUIRED".into()],
        (Kind::Mysql, TlsMode::VerifyCa) => vec!["--ssl-mode=VERIFY_CA".into()],
        (Kind::Mysql, TlsMode::VerifyFull) => vec!["--ssl-mode=VERIFY_IDENTITY".into()],
        (Kind::Mariadb, TlsMode::Disable) => vec!["--skip-ssl".into()],
        (Kind::Mariadb, TlsMode::Require) => {
            vec!["--ssl".into(), "--skip-ssl-verify-server-cert".into()]
        }
        (Kind::Mariadb, TlsMode::VerifyCa | TlsMode::VerifyFull) => {
            vec!["--ssl".into(), "--ssl-verify-server-cert".into()]
        }
    };
    let verifies = config.tls().verifies();
    match authority {
        Some(authority) if verifies => arguments.push(authority),
        None if verifies && config.server == Kind::Mysql => {
            arguments.push(format!("--ssl-capath={SYSTEM_AUTHORITIES}"));
        }
        _ => {}
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    fn shown(command: &Command) -> String {
        format!("{command:?}")
    }

    #[test]
    fn a_password_is_in_the_environment_and_in_no_argument() {
        let config = config(r#","password":"hunter2""#);
        let contents = Contents::default();
        let client = client(&config, Some("shop"), "SET SESSION a = 1");
        for command in [client, dump(&config, &order(&contents))] {
            let text = shown(&command);
            let (arguments, environment) = text.split_once("environment").expect("both are shown");
            assert!(!arguments.contains("hunter2"), "{arguments}");
            assert!(environment.contains("hunter2"), "{environment}");
        }
    }

    #[test]
    fn a_database_cannot_be_taken_for_an_option() {
        let contents = Contents::default();
        let order = DumpOrder {
            database: "--result-file=/tmp/x",
            ..order(&contents)
        };
        let text = shown(&dump(&config(""), &order));
        assert!(text.contains(r#""--", "--result-file=/tmp/x"]"#), "{text}");
    }

    #[test]
    fn an_older_mysqldump_is_refused_and_an_older_mariadb_dump_is_not() {
        let version = |text| Version::find(text).expect("a version");
        let check = |program, server| check_dump_program(version(program), version(server));
        assert!(check("8.0.36", "8.0.40").is_ok());
        assert!(check("9.1.0", "8.0.40").is_ok());
        let error = check("8.0.36", "8.4.2").expect_err("too old");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("8.4")));
        assert!(check("10.6.1-MariaDB", "11.4.2-MariaDB").is_ok());
    }

    #[test]
    fn programs_check_what_the_plugin_checks() {
        let check = |more: &str, expected: &[&str]| {
            assert_eq!(tls_arguments(&config(more)), expected, "{more}");
        };
        check(r#","tls":"disable""#, &["--skip-ssl"]);
        check(
            r#","tls_authority":"/ca.pem""#,
            &["--ssl", "--ssl-verify-server-cert", "--ssl-ca=/ca.pem"],
        );
        check(
            r#","tls":"require","tls_authority":"/ca.pem""#,
            &["--ssl", "--skip-ssl-verify-server-cert"],
        );
    }

    fn order(contents: &Contents) -> DumpOrder<'_> {
        DumpOrder {
            database: "shop",
            with_position: true,
            with_history: false,
            contents,
            program: Version {
                kind: Kind::Mariadb,
                number: (10, 11, 2),
            },
        }
    }
}
