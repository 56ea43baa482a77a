//! Proving dumps: an empty server in the scratch directory takes them all, then rows are counted and questions asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use strongroom_plugin::{
    Context, Error, ErrorKind, Feed, Finding, Result, Verification, VerifyRequest, progress,
};

use super::machine::{check_machine, lack};
use super::needs::oldest;
use super::server::{self, LOBBY, Login, SEGMENT_BYTES, Server};
use super::{amcheck, assertions, counts};
use crate::link::Client;
use crate::logical::{globals, restore, rows};
use crate::programs::Programs;
use crate::server::Version;

/// What databases are made by in most clusters, and so owns most of what is in a dump.
const SUPERUSER: &str = "postgres";

/// Restores everything, and looks at it.
pub(super) fn verify(request: &VerifyRequest, feed: &Feed) -> Result<Verification> {
    let scratch = &request.scratch;
    let paths: BTreeSet<String> = feed
        .entries()
        .map(|entry| entry.map(|entry| entry.path))
        .collect::<Result<_>>()?;
    let (dumped, missing): (Vec<_>, Vec<_>) = restore::listed(feed)?
        .into_iter()
        .partition(|it| paths.contains(&it.path));
    let script = restore::globals(feed)?;
    let noted = rows::read(feed)?;

    let login = Login::new(SUPERUSER)?;
    server::init(scratch, &login)?;
    let tablespaces = globals::tablespaces(&script);
    let folders: Vec<_> = (0..tablespaces.len())
        .map(|number| scratch.path(&format!("tablespace-{number}")))
        .collect();
    for folder in &folders {
        fs::create_dir(folder).on(folder)?;
    }
    let server = Server::start(scratch, &login, SEGMENT_BYTES)?;
    let mut client = server.connect(LOBBY)?;
    let version = Version::of(&mut client)?;
    let oldest = oldest(&feed.attributes())?;
    if version.major < oldest {
        let problem = format!(
            "the backup is of PostgreSQL {oldest}, and this machine has {}",
            version.full
        );
        return Err(Error::new(ErrorKind::Unsupported, problem).hint(format!(
            "install PostgreSQL {oldest} or newer on this machine"
        )));
    }
    let programs = Programs::find_by("pg_restore", server.config(), &version)?;
    make_room(&mut client, &tablespaces, &folders)?;
    progress::step("roles");
    globals::apply(&mut client, &script, &BTreeMap::new())?;

    let mut verification = Verification::new(vec![(
        "scratch server".into(),
        format!("PostgreSQL {}", version.full),
    )]);
    verification
        .findings
        .extend(missing.into_iter().map(|lost| {
            let subject = format!("restore of {}", lost.database.name);
            Finding::failed(subject, format!("the backup lacks {}", lost.path))
        }));
    let (mut restored, mut skipped) = (Vec::new(), Vec::new());
    for dumped in dumped {
        progress::check_cancelled()?;
        let name = dumped.database.name.clone();
        progress::step(&name);
        let config = server.config();
        let made =
            restore::restore_new(config, &programs, feed, version.major, &mut client, &dumped);
        match server.explain(made) {
            Ok(()) => restored.push(name),
            // What pg_restore says of the dump, as long as the server is there to take it.
            Err(error) if is_about_the_dump(&error) && server.is_running() => {
                check_machine(&error)?;
                let subject = format!("restore of {name}");
                verification
                    .findings
                    .push(match excuse(&error, &version, oldest) {
                        Some(why) => {
                            skipped.push(name);
                            Finding::skipped(subject, why)
                        }
                        None => Finding::failed(subject, error),
                    });
            }
            Err(error) => return Err(error),
        }
    }
    client.close();
    if !skipped.is_empty() {
        let names = ("not restored here".to_owned(), skipped.join(", "));
        verification.attributes.push(names);
    }
    if restored.is_empty() && !skipped.is_empty() {
        // There is nothing to look at, and an empty server that is sound proves nothing.
        return Ok(verification);
    }
    if !restored.is_empty() {
        let detail = restored.join(", ");
        verification
            .findings
            .insert(0, Finding::passed("restore", detail));
    }
    verification.findings.extend(match &noted {
        Some(counted) => counts::compare(&server, counted, &restored)?,
        None => vec![Finding::skipped(
            "row counts",
            "none were noted at the backup",
        )],
    });
    progress::step("assertions");
    let asserted = assertions::check(&server, &request.assertions, &restored, &skipped)?;
    verification.findings.extend(asserted);
    verification
        .findings
        .push(amcheck::check(&server, &programs)?);
    Ok(verification)
}

/// Tablespaces where the scratch directory is, not where the backup says: that may be in use here. The database that every new cluster has may be in
/// the backup.
fn make_room(client: &mut Client, tablespaces: &[String], folders: &[String]) -> Result<()> {
    client.query("DROP DATABASE IF EXISTS postgres")?;
    for (name, folder) in tablespaces.iter().zip(folders) {
        client.query(&format!(
            "CREATE TABLESPACE {} LOCATION {}",
            escape_identifier(name),
            escape_literal(folder)
        ))?;
    }
    Ok(())
}

/// Whether a database did not come back for what is in its dump, or for what that needs; else something went wrong on the way.
fn is_about_the_dump(error: &Error) -> bool {
    error.kind() == ErrorKind::Failed || lack(error.message()).is_some()
}

/// Why a dump that did not come back is not to blame for it; none where it is.
fn excuse(error: &Error, version: &Version, oldest: u32) -> Option<String> {
    if let Some(helps) = lack(error.message()) {
        return Some(format!("{helps}: {error}"));
    }
    // What one version wrote another may refuse.
    let is_refused = error.message().contains("could not execute query");
    (is_refused && version.major != oldest).then(|| {
        format!(
            "PostgreSQL {} does not take what is of {oldest}, of which this machine needs the programs: {error}",
            version.full
        )
    })
}
