//! Proving a cluster: its files go into the scratch directory, the log is replayed to its end, every page is checked and every table and index read.

use std::fs;
use std::io::Write;

use strongroom_plugin::command::Command;
use strongroom_plugin::{
    Context, Error, ErrorKind, Feed, Finding, Result, Verdict, Verification, VerifyRequest,
    progress,
};

use super::machine::{check_machine, lack};
use super::server::{self, DATA, LOBBY, Login, Server};
use super::{amcheck, assertions};
use crate::physical::notes::Notes;
use crate::physical::restore;
use crate::programs::{Programs, last_words};
use crate::server::{Database, Version};
use crate::wire::Lsn;

/// Restores everything, and looks at it.
pub(super) fn verify(request: &VerifyRequest, feed: &Feed) -> Result<Verification> {
    let scratch = &request.scratch;
    let notes = Notes::read(&feed.attributes()).ok_or_else(|| {
        let problem = "this backup was not made by this plugin";
        Error::new(ErrorKind::Unsupported, problem)
    })?;
    let data = scratch.path(DATA);
    restore::restore_to(&data, feed, &notes)?;
    let mut verification = Verification::new(Vec::new());
    // No role of the cluster has a password that is known here, and those of the cluster are none of our business.
    let login = Login::new(format!("strongroom_{}", server::random()?))?;
    let recovery = recover(request, &login, notes.segment_bytes)?;
    let is_recovered = recovery.verdict == Verdict::Passed;
    verification.findings.push(recovery);
    if !is_recovered {
        return Ok(verification);
    }
    verification.findings.extend(reached(&data, &notes)?);
    verification.findings.push(checksums(&data)?);

    let server = match Server::start(scratch, &login, notes.segment_bytes) {
        Err(error) if error.kind() == ErrorKind::Failed => {
            check_machine(&error)?;
            check_lack(&error)?;
            verification.findings.push(Finding::failed("start", error));
            return Ok(verification);
        }
        server => server?,
    };
    let mut client = server.connect(LOBBY)?;
    let version = Version::of(&mut client)?;
    let databases = Database::list(&mut client)?;
    client.close();
    let databases: Vec<_> = databases.into_iter().map(|it| it.name).collect();
    let detail = format!("takes connections, with {}", databases.join(", "));
    verification.findings.push(Finding::passed("start", detail));
    let scratch_server = format!("PostgreSQL {}", version.full);
    verification
        .attributes
        .push(("scratch server".into(), scratch_server));
    progress::step("assertions");
    let asserted = assertions::check(&server, &request.assertions, &databases, &[])?;
    verification.findings.extend(asserted);
    let programs = Programs::unchecked(server.config(), version);
    verification
        .findings
        .push(amcheck::check(&server, &programs)?);
    Ok(verification)
}

/// Has a server without connections replay the log, make the role that logs in, and shut down in good order.
fn recover(request: &VerifyRequest, login: &Login, segment_bytes: u64) -> Result<Finding> {
    progress::step("replaying the log");
    let subject = "recovery";
    let program = "postgres";
    // `--single` has to come first.
    let command = server::postgres(&request.scratch, &["--single"], segment_bytes)?;
    let mut process = command.arg(LOBBY).spawn()?;
    if let Some(mut input) = process.stdin() {
        // A line is a statement. What was set for this database or its first role outranks the command line.
        let statement = format!(
            "SET default_transaction_read_only TO off\nSET role TO none\nCREATE ROLE \"{}\" SUPERUSER LOGIN PASSWORD '{}'\n",
            login.role, login.password
        );
        // A server that does not get so far says why at its end.
        let _ = input
            .write_all(statement.as_bytes())
            .and_then(|()| input.flush());
    }
    let exit = process.wait()?;
    if exit.code == 0 && !exit.stderr.contains("] ERROR:") {
        return Ok(Finding::passed(subject, "the log was replayed"));
    }
    let error = Error::new(
        ErrorKind::Failed,
        format!("{program} {}: {}", exit.manner(), last_words(&exit.stderr)),
    );
    if exit.stderr.contains("is not compatible with this version") {
        return Err(Error::new(ErrorKind::Unsupported, error.message())
            .hint("a cluster takes programs of its own major version"));
    }
    check_machine(&error)?;
    check_lack(&error)?;
    Ok(Finding::failed(subject, error))
}

/// Fails with `error` where the cluster needs what this machine lacks.
fn check_lack(error: &Error) -> Result<()> {
    match lack(error.message()) {
        Some(helps) => Err(error.clone().hint(helps)),
        None => Ok(()),
    }
}

/// Where the recovery ended, if there was a log to replay beside the cluster's files: a log that is damaged ends early, and no server minds.
fn reached(data: &str, notes: &Notes) -> Result<Option<Finding>> {
    if !notes.has_log() {
        return Ok(None);
    }
    let subject = "end of the log";
    let history = format!("{data}/pg_wal/{:08X}.history", notes.timeline + 1);
    let text = fs::read_to_string(&history).on(&history)?;
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    let lsn = last.and_then(|line| line.split_whitespace().nth(1)?.parse::<Lsn>().ok());
    Ok(Some(match lsn {
        Some(lsn) if lsn >= notes.log_end => {
            Finding::passed(subject, format!("{lsn}, {}", notes.reaches))
        }
        Some(lsn) => Finding::failed(
            subject,
            format!("{} expected, {lsn} reached", notes.log_end),
        ),
        None => Finding::failed(subject, format!("{history} is not understood")),
    }))
}

/// Every page, if the cluster has checksums. The server is not running.
fn checksums(data: &str) -> Result<Finding> {
    let program = "pg_checksums";
    progress::step(program);
    let command = Command::new(program).args(["--check", "-D", data]);
    let mut process = match command.env("LC_ALL", "C").spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Finding::skipped(program, error.message()));
        }
        process => process?,
    };
    let exit = process.wait()?;
    Ok(match exit.code {
        0 => Finding::passed(program, "every page has the right checksum"),
        _ if exit.stderr.contains("checksums are not enabled") => {
            Finding::skipped(program, "the cluster has no page checksums")
        }
        // It ended before it had looked: killed, or not of this version.
        ..0 | 126.. => Finding::skipped(program, exit.manner()),
        _ if exit.stderr.contains("not compatible with this version") => {
            Finding::skipped(program, last_words(&exit.stderr))
        }
        _ => Finding::failed(program, last_words(&exit.stderr)),
    })
}
