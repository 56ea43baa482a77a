//! A dump into a database that is there and empty, by pg_restore: section by section, so that an error in the data ends it at once, and one in what can
//! be made again from the data does not.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};

use postgres_protocol::escape::escape_identifier;
use strongroom_plugin::command::{Command, Process};
use strongroom_plugin::stream::Output;
use strongroom_plugin::{Conflict, Error, ErrorKind, Extraction, Feed, Reader, Result, log};

use super::conversation::converse;
use super::failures::{self, Failed};
use crate::config::Config;
use crate::link::{self, Client};
use crate::programs::{Programs, connection_string, finish, last_words, tell_remarks};
use crate::wire::Session;

const BUFFER_BYTES: usize = 256 * 1024;
const PG_RESTORE: &str = "pg_restore";

/// What would change what is restored, whoever set it for the role that restores, beside what is told to every session. pg_restore sets others itself.
const SETTINGS: &str =
    "-c array_nulls=on -c default_tablespace= -c default_table_access_method=heap";

/// For a superuser: no event trigger of the database fires, which is there before its materialized views are filled.
const NO_EVENT_TRIGGERS: &str = " -c session_replication_role=replica";

/// From 17 on, also none that fires always.
const NONE_AT_ALL: &str = " -c event_triggers=off";

/// How far to go after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GoOn {
    /// Nowhere.
    Never,
    /// Past what can be made again from the rest.
    Refreshes,
    /// Past anything.
    Always,
}

/// What fills databases.
pub(super) struct Filler<'a> {
    pub(super) config: &'a Config,
    pub(super) programs: &'a Programs<'a>,
    pub(super) feed: &'a Feed<'a>,
    /// How many connections fill one database.
    pub(super) parallel: u16,
    pub(super) go_on: GoOn,
    pub(super) is_superuser: bool,
    /// The server's major version.
    pub(super) server: u32,
}

/// One database to fill.
pub(super) struct Filling<'a> {
    /// The database.
    pub(super) name: &'a str,
    /// The dump.
    pub(super) path: &'a str,
    /// Whether to put everything into the tablespaces that it was in.
    pub(super) uses_tablespaces: bool,
}

impl Filler<'_> {
    /// What was not restored, if it went on without.
    pub(super) fn fill(&self, filling: &Filling) -> Result<Vec<Failed>> {
        match &self.config.work_directory {
            Some(folder) if self.parallel > 1 => self.fill_from_file(filling, &folder.to_string()),
            _ => self.sections(filling, |section, command| {
                self.stream(filling, section, command)
            }),
        }
    }

    /// Which of `tablespaces` a dump puts something into.
    pub(super) fn tablespaces_in_use(
        &self,
        path: &str,
        tablespaces: &[String],
    ) -> Result<Vec<String>> {
        let lines: Vec<_> = tablespaces
            .iter()
            .map(|name| (name, default_tablespace(name)))
            .collect();
        let mut found = vec![false; lines.len()];
        let mut line = Vec::new();
        let command = self.programs.command(PG_RESTORE, &self.config.database);
        let command = command.args(["--schema-only", "--file=-"]);
        converse(PG_RESTORE, command, &mut self.feed.open(path)?, |bytes| {
            for part in bytes.split_inclusive(|&byte| byte == b'\n') {
                line.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    let uses =
                        |(_, it): &(_, [String; 2])| it.iter().any(|it| it.as_bytes() == line);
                    if let Some(at) = lines.iter().position(uses)
                        && let Some(found) = found.get_mut(at)
                    {
                        *found = true;
                    }
                    line.clear();
                } else if line.len() > BUFFER_BYTES {
                    // No name is as long. What follows begins no line that is looked for, either.
                    line.truncate(1);
                }
            }
            Ok(())
        })?;
        let names = lines.into_iter().zip(found);
        Ok(names
            .filter(|(_, found)| *found)
            .map(|((name, _), _)| name.clone())
            .collect())
    }

    fn sections(
        &self,
        filling: &Filling,
        mut run: impl FnMut(&str, Command) -> Result<Vec<Failed>>,
    ) -> Result<Vec<Failed>> {
        let mut failed = Vec::new();
        for section in ["pre-data", "data", "post-data"] {
            failed.extend(run(section, self.pg_restore(filling, section))?);
        }
        Ok(failed)
    }

    /// pg_restore for one section.
    ///
    /// It lets what comes after the data wait for the data of its own table only, and a partitioned table has none. In one go, with several connections, its
    /// triggers would be there, and fire, while rows still come into its partitions.
    fn pg_restore(&self, filling: &Filling, section: &str) -> Command {
        let mut options = format!("{} {SETTINGS}", Session::Pinned.options());
        if self.server >= 14 {
            options.push_str(" -c idle_session_timeout=0");
        }
        if self.is_superuser && section == "post-data" {
            options.push_str(NO_EVENT_TRIGGERS);
            if self.server >= 17 {
                options.push_str(NONE_AT_ALL);
            }
        }
        let command = self
            .programs
            .command(PG_RESTORE, filling.name)
            .env("PGOPTIONS", options)
            .arg(format!("--dbname={}", connection_string(filling.name)))
            .arg(format!("--section={section}"));
        let command = match self.goes_on(section) {
            true => command,
            false => command.arg("--exit-on-error"),
        };
        match filling.uses_tablespaces {
            true => command,
            false => command.arg("--no-tablespaces"),
        }
    }

    fn goes_on(&self, section: &str) -> bool {
        match self.go_on {
            GoOn::Always => true,
            GoOn::Never | GoOn::Refreshes => section == "post-data",
        }
    }

    /// By several connections, which read a file.
    fn fill_from_file(&self, filling: &Filling, folder: &str) -> Result<Vec<Failed>> {
        let path = filling.path;
        let extraction = Extraction {
            target: folder.to_owned(),
            on_conflict: Conflict::Overwrite,
            delete_extra: false,
        };
        self.feed.extract(path, &extraction)?;
        let file = format!("{folder}/{path}");
        let result = self.sections(filling, |section, command| {
            let command = match section {
                "pre-data" => command,
                _ => command.arg(format!("--jobs={}", self.parallel)),
            };
            self.ended(section, command.arg(&file).spawn()?)
        });
        if let Err(error) = fs::remove_file(&file) {
            log::warn(format!("cannot remove {file}: {error}"));
        }
        result
    }

    /// Has it read a dump. Not spliced: it has to be known which of the two failed.
    fn stream(&self, filling: &Filling, section: &str, command: Command) -> Result<Vec<Failed>> {
        let path = filling.path;
        let mut dump = self.feed.open(path)?;
        let mut process = command.spawn()?;
        let fed = match process.stdin() {
            Some(mut input) => copy(&mut dump, &mut input),
            None => Err(Broken::Program),
        };
        let ended = self.ended(section, process);
        match fed {
            Err(Broken::Backup(error)) => Err(error.on(path)),
            Ok(()) => ended,
            // What is no data lies at the beginning.
            Err(Broken::Program) if section != "data" => ended,
            Err(Broken::Program) => {
                ended?;
                let problem = format!("{PG_RESTORE} stopped reading before the end of {path}");
                Err(Error::new(ErrorKind::Failed, problem))
            }
        }
    }

    /// What it left out.
    fn ended(&self, section: &str, mut process: Process) -> Result<Vec<Failed>> {
        if !self.goes_on(section) {
            return finish(PG_RESTORE, process)
                .map(|()| Vec::new())
                .map_err(|error| explained(error, self.go_on));
        }
        let exit = process.wait()?;
        let Some(mut outcome) = failures::read(&exit) else {
            let how = format!("{PG_RESTORE} {}", exit.manner());
            let problem = format!("{how}: {}", last_words(&exit.stderr));
            return Err(explained(
                Error::new(ErrorKind::Failed, problem),
                self.go_on,
            ));
        };
        if exit.code == 0 {
            tell_remarks(PG_RESTORE, &exit.stderr, |_| true);
        }
        let fatal = outcome.failed.iter().find(|it| it.view().is_none());
        match (self.go_on, fatal) {
            (GoOn::Always, _) => {}
            (_, Some(failed)) => {
                let problem = format!("{PG_RESTORE}: {}: {}", failed.object(), failed.reason);
                return Err(explained(
                    Error::new(ErrorKind::Failed, problem),
                    self.go_on,
                ));
            }
            (_, None) if outcome.is_whole => {}
            (_, None) => {
                let problem = format!(
                    "{PG_RESTORE} had {} errors: {}",
                    outcome.count,
                    last_words(&exit.stderr)
                );
                return Err(explained(
                    Error::new(ErrorKind::Failed, problem),
                    self.go_on,
                ));
            }
        }
        if !outcome.is_whole {
            outcome.failed.push(Failed {
                command: format!("more of its {section}"),
                reason: format!("{} errors, of which the first are not known", outcome.count),
            });
        }
        Ok(outcome.failed)
    }
}

/// Fills materialized views that could not be filled before others were, or by the database's own names only. What failed for good comes out.
pub(super) fn refresh_again(
    config: &Config,
    database: &str,
    failed: Vec<Failed>,
    search_path: &str,
    is_superuser: bool,
) -> Result<Vec<Failed>> {
    if failed.iter().all(|it| it.view().is_none()) {
        return Ok(failed);
    }
    let mut client = link::connect(config, database)?;
    // As pg_restore has it: rows are not left out without a word. A view is filled as its owner, and names are those that its owner is used to.
    client.query("SET row_security = off")?;
    client.query(search_path)?;
    if is_superuser {
        client.query("SET session_replication_role = replica")?;
    }
    let unfilled_before = unfilled(&mut client)?;
    let mut unfilled = unfilled_before.clone();
    loop {
        let failed_too = |view: &String| failed.iter().any(|it| it.view() == Some(view));
        for view in unfilled.iter().filter(|view| failed_too(view)) {
            // Why it fails is known.
            let _ = client.query(&format!("REFRESH MATERIALIZED VIEW {view}"));
        }
        let left = self::unfilled(&mut client)?;
        if left.len() == unfilled.len() {
            break;
        }
        unfilled = left;
    }
    client.close();
    let is_filled = |it: &Failed| {
        let view = it.view();
        view.is_some_and(|view| unfilled_before.contains(view) && !unfilled.contains(view))
    };
    Ok(failed.into_iter().filter(|it| !is_filled(it)).collect())
}

/// The materialized views that cannot be read, as statements name them.
fn unfilled(client: &mut Client) -> Result<BTreeSet<String>> {
    let rows = client.query(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         WHERE c.relkind OPERATOR(pg_catalog.=) 'm' AND NOT c.relispopulated",
    )?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Whoever restores makes what belongs to others.
fn explained(error: Error, go_on: GoOn) -> Error {
    let says = |words: &str| error.message().contains(words);
    if says("must be member of role")
        || says("must be able to SET ROLE")
        || says("must be owner of")
    {
        return error.hint(
            "restore as a superuser, or as a member of all roles that own something in the backup",
        );
    }
    match go_on {
        GoOn::Refreshes => error.hint("--go-on restores the rest, and names what is missing"),
        GoOn::Never | GoOn::Always => error,
    }
}

/// As pg_restore writes it: a name with quotes where it needs them.
fn default_tablespace(name: &str) -> [String; 2] {
    let quoted = escape_identifier(name);
    [name, &quoted].map(|name| format!("SET default_tablespace = {name};\n"))
}

/// Why feeding a program ended early.
enum Broken {
    Backup(Error),
    Program,
}

fn copy(from: &mut Reader, to: &mut Output) -> Result<(), Broken> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from
            .read(&mut buffer)
            .map_err(|error| Broken::Backup(error.into()))?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return to.flush().map_err(|_| Broken::Program);
        }
        to.write_all(bytes).map_err(|_| Broken::Program)?;
    }
}
