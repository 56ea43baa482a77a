//! One database, made from its dump: under a name that may be another one, and with what it is beside what it holds.

use std::collections::BTreeSet;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use strongroom_plugin::{Context, Error, ErrorKind, Feed, Result, log};

use super::Dumped;
use super::beside::mark_half_made;
use super::fill::{Filler, Filling, GoOn, refresh_again};
use super::lobby::{is_superuser, subscriptions};
use super::properties::{Properties, Statement};
use crate::config::Config;
use crate::link::Client;
use crate::programs::Programs;

/// What makes databases.
pub(super) struct Maker<'a> {
    pub(super) config: &'a Config,
    pub(super) programs: &'a Programs<'a>,
    pub(super) feed: &'a Feed<'a>,
    /// How many connections fill one database.
    pub(super) parallel: u16,
    pub(super) go_on: GoOn,
    /// The server's major version.
    pub(super) server: u32,
    /// The tablespaces of the server that was backed up which this one does not have.
    pub(super) lost_tablespaces: BTreeSet<String>,
}

/// A database that is made.
#[derive(Debug)]
pub(super) struct Made {
    /// Its own comment, to take the place of ours.
    comment: Option<Statement>,
    /// What was left out, and why.
    pub(super) left_out: Vec<(String, String)>,
    /// Whether that is more than what can be made again from the rest.
    pub(super) lacks_data: bool,
}

impl Made {
    /// The statement for its own comment, under this name.
    pub(super) fn comment(&self, name: &str) -> String {
        match &self.comment {
            Some(statement) => statement.on(name),
            None => format!("COMMENT ON DATABASE {} IS NULL", escape_identifier(name)),
        }
    }
}

impl Maker<'_> {
    /// Makes the database `name`, which does not exist. Until it has the name `becomes`, a comment says what it is.
    pub(super) fn make(
        &self,
        client: &mut Client,
        dumped: &Dumped,
        name: &str,
        becomes: &str,
    ) -> Result<Made> {
        let is_superuser = is_superuser(client)?;
        let old = &dumped.database.name;
        let mut dump = self.feed.open(&dumped.path)?;
        let properties = Properties::read(self.programs, client, &mut dump, old)
            .on(format_args!("the beginning of {}", dumped.path))?;
        drop(dump);
        let lost = self.lost(&dumped.path, &properties, becomes)?;
        let mut left_out = Vec::new();

        let is_lost = |name: &String| lost.contains(name);
        let uses_own = !properties.tablespace.as_ref().is_some_and(is_lost);
        client
            .query(&properties.create(name, self.server, uses_own))
            .map_err(|failure| with_way_out(failure.into()))?;
        client.query(&mark_half_made(name, becomes))?;
        if is_superuser {
            // Nobody else comes in before it is whole.
            client.query(&format!(
                "ALTER DATABASE {} CONNECTION LIMIT 0",
                escape_identifier(name)
            ))?;
        }
        let before = properties.owner.iter().chain(&properties.early);
        left_out.extend(self.apply(client, before, name, becomes)?);

        let filler = Filler {
            config: self.config,
            programs: self.programs,
            feed: self.feed,
            parallel: self.parallel,
            go_on: self.go_on,
            is_superuser,
            server: self.server,
        };
        let failed = filler.fill(&Filling {
            name,
            path: &dumped.path,
            uses_tablespaces: lost.is_empty(),
        })?;
        let failed = refresh_again(
            self.config,
            name,
            failed,
            properties.search_path(),
            is_superuser,
        )?;
        if let (GoOn::Never, Some(failure)) = (self.go_on, failed.first()) {
            let problem = format!("{}: {}", failure.object(), failure.reason);
            return Err(Error::new(ErrorKind::Failed, problem));
        }
        let lacks_data = failed.iter().any(|it| it.view().is_none());
        let named = failed.into_iter();
        left_out.extend(named.map(|it| (format!("{becomes}: {}", it.object()), it.reason)));
        for subscription in subscriptions(client, name)? {
            log::info(format!(
                "{becomes}: subscription {} is restored as a disabled one, and has not connected to anybody",
                subscription.name
            ));
        }
        if is_superuser {
            client.query(&format!(
                "ALTER DATABASE {} CONNECTION LIMIT -1",
                escape_identifier(name)
            ))?;
        }
        left_out.extend(self.apply(client, properties.late.iter(), name, becomes)?);
        Ok(Made {
            comment: properties.comment,
            left_out,
            lacks_data,
        })
    }

    /// Settings, rights and limits. One that this server does not know, or that names a role that is not there, is no reason to go without the rest.
    fn apply<'s>(
        &self,
        client: &mut Client,
        statements: impl Iterator<Item = &'s Statement>,
        name: &str,
        becomes: &str,
    ) -> Result<Vec<(String, String)>> {
        let mut left_out = Vec::new();
        for statement in statements {
            let Err(failure) = client.query(&statement.on(name)) else {
                continue;
            };
            let error = Error::from(failure);
            match (self.go_on, error.kind()) {
                (_, ErrorKind::Unavailable) | (GoOn::Never, _) => {
                    return Err(error.on(statement.gist()));
                }
                _ => left_out.push((
                    format!("{becomes}: {}", statement.gist()),
                    error.to_string(),
                )),
            }
        }
        client.query("RESET SESSION AUTHORIZATION")?;
        Ok(left_out)
    }

    /// The tablespaces that the dump asks for in vain.
    fn lost(&self, path: &str, properties: &Properties, becomes: &str) -> Result<Vec<String>> {
        if self.lost_tablespaces.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = self.lost_tablespaces.iter().cloned().collect();
        let filler = Filler {
            config: self.config,
            programs: self.programs,
            feed: self.feed,
            parallel: 1,
            go_on: self.go_on,
            is_superuser: false,
            server: self.server,
        };
        let mut lost = filler.tablespaces_in_use(path, &names)?;
        let own = properties.tablespace.iter();
        lost.extend(own.filter(|it| names.contains(it)).cloned());
        if !lost.is_empty() {
            log::warn(format!(
                "{becomes}: everything goes to the default tablespace, as the server has none called {}: --option tablespaces.NAME=DIRECTORY makes one in a directory of the server's",
                lost.join(", ")
            ));
        }
        Ok(lost)
    }
}

/// What a server needs beside PostgreSQL itself.
fn with_way_out(error: Error) -> Error {
    match error.message().contains("locale") {
        true => error.hint("generate the locale of the database on the server's machine"),
        false => error,
    }
}

/// Whether a database is there.
pub(super) fn exists(client: &mut Client, name: &str) -> Result<bool> {
    let found = client.query(&format!(
        "SELECT 1 FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) {}",
        escape_literal(name)
    ))?;
    Ok(!found.is_empty())
}
