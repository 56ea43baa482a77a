//! PostgreSQL's own programs: how they reach the server, whether they fit it, and what they say at their end.

use std::io::Read;

use strongroom_plugin::command::{Command, Exit, Process};
use strongroom_plugin::{Context, Error, ErrorKind, Result, TlsMode, log};

use crate::config::Config;
use crate::server::Version;
use crate::wire::Session;

/// Where Debian and its kin keep the system's authorities, for a libpq that cannot ask the system itself (before 16).
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How many of a program's last lines are repeated.
const LAST_LINES: usize = 4;

/// How much of what a program says is told.
const MAX_REMARKS: usize = 20;

/// The programs of one version, for one server.
pub(crate) struct Programs<'a> {
    config: &'a Config,
    version: Version,
}

impl<'a> Programs<'a> {
    /// Finds out the programs' version. One that is older than the server is refused: it would leave out what it does not know.
    pub(crate) fn find(config: &'a Config, server: &Version) -> Result<Self> {
        Self::find_by("pg_dump", config, server)
    }

    /// Programs of which another one tells the version.
    pub(crate) fn find_by(program: &str, config: &'a Config, server: &Version) -> Result<Self> {
        let mut process = Command::new(program).arg("--version").spawn()?;
        let mut text = String::new();
        if let Some(mut output) = process.stdout() {
            output.read_to_string(&mut text).on(program)?;
        }
        ended(program, &process.wait()?)?;
        let version = text.split_whitespace().find_map(|word| {
            let starts_with_digit = word.starts_with(|letter: char| letter.is_ascii_digit());
            starts_with_digit.then(|| Version::parse(word)).flatten()
        });
        let version = version.ok_or_else(|| {
            let problem = format!("{program} does not tell its version: '{}'", text.trim());
            Error::new(ErrorKind::Failed, problem)
        })?;
        if version.major < server.major {
            let problem = format!(
                "{program} {} is older than the server, which is PostgreSQL {}",
                version.full, server.full
            );
            return Err(Error::new(ErrorKind::Unsupported, problem).hint(format!(
                "install the client programs of PostgreSQL {0} (Debian: postgresql-client-{0}), and name them in allow.command if they are not in PATH",
                server.major
            )));
        }
        Ok(Self { config, version })
    }

    /// Programs whose version is known to fit.
    pub(crate) fn unchecked(config: &'a Config, version: Version) -> Self {
        Self { config, version }
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// A program that will connect to the server, to `database` unless its arguments say otherwise.
    pub(crate) fn command(&self, program: &str, database: &str) -> Command {
        let config = self.config;
        let command = Command::new(program)
            .arg("--no-password")
            .env("PGHOST", config.address().host())
            .env("PGPORT", config.port.to_string())
            .env("PGUSER", &config.user)
            // By the environment: an argument that looks like a connection string would be taken for one.
            .env("PGDATABASE", database)
            .env(
                "PGPASSWORD",
                config.password.as_ref().map_or("", |it| it.expose()),
            )
            // Nothing can be there: libpq warns of a file that is none.
            .env("PGPASSFILE", "/dev/null/none")
            .env("PGAPPNAME", "strongroom")
            .env("PGOPTIONS", Session::Pinned.options())
            .env("PGCONNECT_TIMEOUT", "30")
            .env("PGGSSENCMODE", "disable")
            .env("PGSSLMODE", ssl_mode(config.tls()))
            .env("LC_ALL", "C.UTF-8");
        match config.tls().verifies() {
            true => command.env("PGSSLROOTCERT", self.authorities()),
            false => command,
        }
    }

    fn authorities(&self) -> &str {
        match &self.config.tls_authority {
            Some(file) => file.as_str(),
            // libpq takes "system" only together with verify-full.
            None if self.version.major >= 16 && self.config.tls() == TlsMode::VerifyFull => {
                "system"
            }
            None => SYSTEM_AUTHORITIES,
        }
    }
}

/// Waits for a program. Anything but exit code 0 is an error with its own last words; what it says of a success is told.
pub(crate) fn finish(program: &str, process: Process) -> Result<()> {
    finish_telling(program, process, |_| true)
}

/// The same, where some of what it says may be known already.
pub(crate) fn finish_telling(
    program: &str,
    mut process: Process,
    is_news: impl Fn(&str) -> bool,
) -> Result<()> {
    let exit = process.wait()?;
    ended(program, &exit)?;
    tell_remarks(program, &exit.stderr, is_news);
    Ok(())
}

/// Tells what a program said beside its work.
pub(crate) fn tell_remarks(program: &str, stderr: &str, is_news: impl Fn(&str) -> bool) {
    let remarks = remarks(stderr);
    let news: Vec<_> = remarks.iter().filter(|it| is_news(it)).collect();
    for remark in news.iter().take(MAX_REMARKS) {
        log::warn(match remark.starts_with(program) {
            true => (*remark).clone(),
            false => format!("{program}: {remark}"),
        });
    }
    if let Some(more @ 1..) = news.len().checked_sub(MAX_REMARKS) {
        log::warn(format!("{program}: and {more} warnings more"));
    }
}

/// Anything but exit code 0 is an error with the program's own last words.
pub(crate) fn ended(program: &str, exit: &Exit) -> Result<()> {
    if exit.code == 0 {
        return Ok(());
    }
    let how = format!("{program} {}", exit.manner());
    Err(Error::new(
        ErrorKind::Failed,
        match last_words(&exit.stderr).as_str() {
            "" => how,
            words => format!("{how}: {words}"),
        },
    ))
}

/// What a program says beside its work, each with what explains it on one line.
fn remarks(stderr: &str) -> Vec<String> {
    let explains = |line: &str| {
        let words = ["detail:", "hint:", "DETAIL:", "HINT:", "CONTEXT:"];
        let is_indented = line.starts_with(char::is_whitespace);
        is_indented
            || words
                .iter()
                .any(|it| line.split(' ').take(2).any(|word| word == *it))
    };
    let mut remarks: Vec<String> = Vec::new();
    for line in stderr.lines().filter(|line| !line.trim().is_empty()) {
        match remarks.last_mut() {
            Some(last) if explains(line) => {
                last.push_str("; ");
                last.push_str(line.trim());
            }
            _ => remarks.push(line.trim().replacen(" warning: ", " ", 1)),
        }
    }
    remarks
}

/// A database in a connection string, for programs that take it only so.
pub(crate) fn connection_string(database: &str) -> String {
    let escaped = database.replace('\\', "\\\\").replace('\'', "\\'");
    format!("dbname='{escaped}'")
}

/// The last lines, from the last error on where there is one.
pub(crate) fn last_words(stderr: &str) -> String {
    let lines: Vec<_> = stderr
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    let is_error =
        |line: &&str| line.contains("error:") || line.contains("FATAL") || line.contains("PANIC");
    let from = lines.iter().rposition(is_error);
    let from = from.unwrap_or(lines.len().saturating_sub(LAST_LINES));
    let last: Vec<_> = lines.into_iter().skip(from).take(LAST_LINES).collect();
    last.join("; ")
}

fn ssl_mode(tls: TlsMode) -> &'static str {
    match tls {
        TlsMode::Disable => "disable",
        TlsMode::Require => "require",
        TlsMode::VerifyCa => "verify-ca",
        TlsMode::VerifyFull => "verify-full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_begin_with_the_last_error() {
        let check = |stderr: &str, expected: &str| assert_eq!(last_words(stderr), expected);
        check("", "");
        check("a\nb\n\nc\nd\ne\n", "b; c; d; e");
        check(
            "pg_dump: warning: x\npg_dump: error: query failed: gone\npg_dump: detail: Query was: SELECT 1\n",
            "pg_dump: error: query failed: gone; pg_dump: detail: Query was: SELECT 1",
        );
    }

    #[test]
    fn a_warning_keeps_what_explains_it() {
        let check = |stderr: &str, expected: &[&str]| assert_eq!(remarks(stderr), expected);
        check("\n", &[]);
        check(
            "pg_dump: warning: a\npg_dump: detail: b\npg_dump: hint: c\nWARNING:  d\nDETAIL:  e\npg_dump: warning: f\n",
            &[
                "pg_dump: a; pg_dump: detail: b; pg_dump: hint: c",
                "WARNING:  d; DETAIL:  e",
                "pg_dump: f",
            ],
        );
    }

    #[test]
    fn a_database_is_never_taken_for_a_connection_string() {
        assert_eq!(connection_string("host=evil"), "dbname='host=evil'");
        assert_eq!(connection_string(r"it's \"), r"dbname='it\'s \\'");
    }
}
