//! Dumps into a server: databases to restore come in, and their tables, routines and events go out, and at last the views, which may be of tables in
//! any of them. All of it goes to the client past a reader that knows what no dump program writes.

use std::io::{self, Write};

use strongroom_plugin::command::Process;
use strongroom_plugin::{Context, Error, ErrorKind, Feed, Result, progress};

use crate::binlog::Position;
use crate::client::Session;
use crate::config::{Config, Kind};
use crate::guard::Guard;
use crate::name::{identifier, literal, shown};
use crate::programs;
use crate::series::Dump;
use crate::session::settings;
use crate::sift::{Target, VIEWS_BYTES, sift};

/// A database that will be restored.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Its dump; none where the log has all of it from the begin.
    pub(crate) file: Option<String>,
    pub(crate) dump: Dump,
    /// From where on the log is replayed into it.
    pub(crate) from: Option<Position>,
    /// What it will be called.
    pub(crate) name: String,
    /// What is there goes first.
    pub(crate) replace: bool,
}

impl Order {
    /// The database under its own name, where nothing is in its way.
    pub(crate) fn new(file: &str, dump: &Dump) -> Self {
        Self {
            file: Some(file.into()),
            dump: dump.clone(),
            from: dump.position(),
            name: dump.database.clone(),
            replace: false,
        }
    }
}

/// Loads dumps into a server.
pub(crate) struct Loader<'a> {
    config: &'a Config,
    feed: &'a Feed<'a>,
    settings: String,
    folds: bool,
    /// What makes the views of each database, by its name.
    views: Vec<(String, Vec<u8>)>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        session: &mut Session,
        config: &'a Config,
        feed: &'a Feed<'a>,
        folds: bool,
    ) -> Result<Self> {
        let settings = settings(session, None)?;
        // What refers to a database that is replaced will find the same there.
        session.query("SET SESSION foreign_key_checks = 0")?;
        Ok(Self {
            config,
            feed,
            settings,
            folds,
            views: Vec::new(),
        })
    }

    /// Makes a database and all in it but its views.
    pub(crate) fn database(&mut self, session: &mut Session, order: &Order) -> Result<()> {
        let name = &order.name;
        progress::step(format!("database {}", shown(name)));
        check_name(&order.dump.database)?;
        let quoted = identifier(name);
        let Some(file) = &order.file else {
            // The log makes it.
            session
                .query(&format!("DROP DATABASE IF EXISTS {quoted}"))
                .on(format!("database {}", shown(name)))?;
            return Ok(());
        };
        if order.replace {
            session
                .query(&format!("DROP DATABASE {quoted}"))
                .on(format!("database {}", shown(name)))?;
        }
        session
            .query(&format!(
                "CREATE DATABASE IF NOT EXISTS {quoted} CHARACTER SET {} COLLATE {}",
                literal(&order.dump.character_set),
                literal(&order.dump.collation)
            ))
            .on(format!("database {}", shown(name)))?;
        let mut reader = self.feed.open(file)?;
        let client = programs::client(self.config, Some(name), &self.settings).spawn()?;
        let waiting = self.views.iter().map(|(_, views)| views.len()).sum();
        let target = Target {
            old: &order.dump.database,
            new: name,
            folds: self.folds,
            room: VIEWS_BYTES.saturating_sub(waiting),
        };
        let views = guarded(client, self.config.server, |to| {
            sift(&mut reader, to, target)
        })
        .on(format!("database {}", shown(name)))?;
        if !views.is_empty() {
            self.views.push((name.clone(), views));
        }
        Ok(())
    }

    /// Makes the views of all databases. Out comes for each what kept its views from being made: the first that cannot be, and with `goes_on` all of
    /// them, and the others are made.
    pub(crate) fn views(&mut self, goes_on: bool) -> Result<Vec<(String, Error)>> {
        let mut failed = Vec::new();
        for (name, views) in std::mem::take(&mut self.views) {
            progress::check_cancelled()?;
            progress::step(format!("views of {}", shown(&name)));
            let client = programs::client(self.config, Some(&name), &self.settings);
            // What stands in for a view is gone by the time that it fails.
            let client = match goes_on {
                true => client.arg("--force").spawn()?,
                false => client.spawn()?,
            };
            let made = guarded_until(
                client,
                self.config.server,
                |to| Ok(to.write_all(&views)?),
                match goes_on {
                    true => without_errors,
                    false => Process::success,
                },
            );
            if let Err(error) = made {
                failed.push((name, error));
            }
        }
        Ok(failed)
    }
}

/// The end of a client that goes on after an error: whatever code it ends with, it has said each.
fn without_errors(mut client: Process) -> Result<()> {
    let exit = client.wait()?;
    let errors = exit.stderr.lines().filter(|line| line.contains("ERROR "));
    let errors: Vec<String> = errors.map(shown).collect();
    match errors.is_empty() && exit.code == 0 {
        true => Ok(()),
        false if errors.is_empty() => Err(Error::new(
            ErrorKind::Failed,
            format!("the client {}", exit.manner()),
        )),
        false => Err(Error::new(ErrorKind::Failed, errors.join("; "))),
    }
}

/// Names of today's dumps have none, and older dumps repeat them in comments.
fn check_name(database: &str) -> Result<()> {
    if !database.contains(char::is_control) {
        return Ok(());
    }
    let problem = format!(
        "the database's name has a control character: {}",
        shown(database)
    );
    Err(Error::new(ErrorKind::Denied, problem).hint(
        "its dump may have lines that were made to be run by others: restore it into a directory, and read it",
    ))
}

/// Has the client run what `write` writes, all of it.
fn guarded<T>(
    client: Process,
    kind: Kind,
    write: impl FnOnce(&mut Guarded<Box<dyn Write>>) -> Result<T>,
) -> Result<T> {
    guarded_until(client, kind, write, Process::success)
}

/// The same, where `end` says whether it did.
fn guarded_until<T>(
    mut client: Process,
    kind: Kind,
    write: impl FnOnce(&mut Guarded<Box<dyn Write>>) -> Result<T>,
    end: impl FnOnce(Process) -> Result<()>,
) -> Result<T> {
    let to: Box<dyn Write> = match client.stdin() {
        Some(stdin) => Box::new(stdin),
        None => Box::new(io::sink()),
    };
    let mut guarded = Guarded {
        guard: Guard::new(kind),
        to,
    };
    let written = write(&mut guarded);
    let Guarded { guard, to } = guarded;
    match written.and_then(|value| guard.finish().map(|()| value)) {
        Ok(value) => {
            drop(to);
            end(client).map(|()| value)
        }
        // The client must not take the end of its input for the end of a statement.
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unsupported) => {
            drop(client);
            Err(error)
        }
        Err(error) => {
            drop(to);
            Err(client.explain(error))
        }
    }
}

/// Hands on what the guard lets pass.
struct Guarded<W> {
    guard: Guard,
    to: W,
}

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.guard.read(bytes)?;
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
