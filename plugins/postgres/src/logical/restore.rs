//! Dumps back into a server: what is in the way is found before anything is written, and a database that is replaced is dropped only when
//! the restored one is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};

use postgres_protocol::escape::{escape_identifier, escape_literal};
use strongroom_plugin::command::Command;
use strongroom_plugin::stream::Output;
use strongroom_plugin::{
    Attributes, Conflict, Context, Error, ErrorKind, Extraction, Feed, OnConflict, Reader,
    RestoreRequest, Result, log, progress,
};

use super::{DATABASES, Dumped, GLOBALS, globals, read_list, read_text};
use crate::config::{Config, RestoreOptions};
use crate::link::{self, Client};
use crate::programs::{Programs, connection_string, finish};
use crate::server::{Database, Version, is_true};

const BUFFER_BYTES: usize = 256 * 1024;
const PG_RESTORE: &str = "pg_restore";

/// Where to look around from while the configured database is replaced.
const OTHER_LOBBY: &str = "template1";

/// Whether somebody has made anything in a database; what comes with every one has lower numbers.
const HOLDS_SOMETHING: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_proc WHERE oid >= 16384) \
    OR EXISTS (SELECT FROM pg_type WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384) \
    OR EXISTS (SELECT FROM pg_largeobject_metadata) OR EXISTS (SELECT FROM pg_extension WHERE oid >= 16384)";

/// What one database becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    dumped: Dumped,
    /// Its name at the target.
    name: String,
    /// Whether one of that name is in the way, to be replaced.
    replaces: bool,
}

impl Step {
    fn is_renamed(&self) -> bool {
        self.name != self.dumped.database.name
    }
}

/// Restores the dumps that the feed holds.
pub(crate) fn restore(
    config: &Config,
    request: &RestoreRequest<RestoreOptions>,
    feed: &Feed,
) -> Result<Attributes> {
    if request.until.is_some() || request.options.until_lsn.is_some() {
        let problem = "a dump can only be restored as it was at a backup";
        return Err(Error::new(ErrorKind::Unsupported, problem)
            .hint("back up with method = \"physical\" to come back to any moment"));
    }
    let options = &request.options;
    options.check(config)?;
    let paths: BTreeSet<String> = feed
        .entries()
        .map(|entry| entry.map(|entry| entry.path))
        .collect::<Result<_>>()?;
    let dumped = dumped(feed, &paths)?;

    let mut client = link::connect(config, &config.database)?;
    let version = Version::of(&mut client)?;
    let programs = Programs::find(config, &version)?;
    let existing = existing(config, &mut client, &dumped, options)?;
    let steps = plan(dumped, options, &existing)?;
    let replaces_own = |it: &Step| it.replaces && it.name == config.database;
    let lobby = match steps.iter().any(replaces_own) {
        true => OTHER_LOBBY,
        false => &config.database,
    };
    if lobby != config.database {
        client.close();
        client = link::connect(config, lobby)?;
    }

    // Whichever databases were asked for: their objects belong to roles.
    if options.globals {
        progress::step("roles and tablespaces");
        globals::apply(&mut client, &globals(feed)?)?;
    }
    let mut restored = Vec::new();
    for step in &steps {
        progress::check_cancelled()?;
        progress::step(&step.name);
        let work = Work {
            config,
            programs: &programs,
            lobby,
            parallel: options.parallel,
            feed,
        };
        work.restore(&mut client, step)
            .on(format_args!("database {}", step.name.escape_debug()))?;
        restored.push(step.name.as_str());
    }
    client.close();
    Ok(vec![
        ("server".into(), config.address().to_string()),
        ("databases".into(), restored.join(", ")),
    ])
}

/// The statements for what belongs to no database.
pub(crate) fn globals(feed: &Feed) -> Result<String> {
    read_text(GLOBALS, feed)
}

/// What the backup says of the dumps that are asked for.
fn dumped(feed: &Feed, paths: &BTreeSet<String>) -> Result<Vec<Dumped>> {
    let all = listed(feed)?.into_iter();
    Ok(all.filter(|it| paths.contains(&it.path)).collect())
}

/// What the backup says of all its dumps.
pub(crate) fn listed(feed: &Feed) -> Result<Vec<Dumped>> {
    read_list(DATABASES, feed).on("the backup's list of databases")
}

/// The databases of the server, and of those that would be in the way whether they hold anything. A new server has an empty one from its beginning.
fn existing(
    config: &Config,
    client: &mut Client,
    dumped: &[Dumped],
    options: &RestoreOptions,
) -> Result<BTreeMap<String, bool>> {
    let wanted: BTreeSet<_> = dumped
        .iter()
        .map(|it| options.name_of(&it.database.name))
        .collect();
    // One that cannot be looked into is taken for one that does.
    let holds_something = |name: &str| {
        let mut inside = link::connect(config, name).ok()?;
        is_true(&mut inside, HOLDS_SOMETHING).ok()
    };
    let names = client.query("SELECT datname FROM pg_database")?;
    let names = names.into_iter().flatten().flatten();
    Ok(names
        .map(|name| {
            let holds = !wanted.contains(&*name) || holds_something(&name).unwrap_or(true);
            (name, holds)
        })
        .collect())
}

/// Decides what becomes of each database. `existing` are there, and hold something or not.
fn plan(
    dumped: Vec<Dumped>,
    options: &RestoreOptions,
    existing: &BTreeMap<String, bool>,
) -> Result<Vec<Step>> {
    let is_dumped = |name: &String| dumped.iter().any(|it| it.database.name == *name);
    if let Some(unknown) = options.rename.keys().find(|name| !is_dumped(name)) {
        let problem = format!(
            "rename: the backup has no database '{}'",
            unknown.escape_debug()
        );
        return Err(Error::new(ErrorKind::InvalidConfig, problem));
    }
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut steps = Vec::new();
    for dumped in dumped {
        let old = dumped.database.name.clone();
        let name = options.name_of(&old).to_owned();
        if let Some(other) = taken.insert(name.clone(), old.clone()) {
            let problem = format!("rename: {other} and {old} would both become {name}");
            return Err(Error::new(ErrorKind::InvalidConfig, problem));
        }
        let is_in_the_way = existing.get(&name) == Some(&true);
        match options.conflict {
            OnConflict::KeepExisting if is_in_the_way => {
                log::info(format!("database {name} exists and is kept"));
                continue;
            }
            OnConflict::Fail if is_in_the_way => {
                let problem = format!("database {name} exists already");
                return Err(Error::new(ErrorKind::AlreadyExists, problem).hint(format!(
                    "--overwrite replaces it, --option rename.{old}=NEW restores beside it"
                )));
            }
            _ => {}
        }
        steps.push(Step {
            dumped,
            replaces: existing.contains_key(&name),
            name,
        });
    }
    Ok(steps)
}

/// Where dumps go, and by what means.
pub(crate) struct Work<'a> {
    config: &'a Config,
    programs: &'a Programs<'a>,
    /// The database to be in while others are made and dropped.
    lobby: &'a str,
    /// How many connections restore one database.
    parallel: u16,
    feed: &'a Feed<'a>,
}

impl<'a> Work<'a> {
    /// With one connection.
    pub(crate) fn new(config: &'a Config, programs: &'a Programs<'a>, feed: &'a Feed<'a>) -> Self {
        Self {
            config,
            programs,
            lobby: &config.database,
            parallel: 1,
            feed,
        }
    }

    /// Restores a database under its own name, where there is none of that name.
    pub(crate) fn restore_new(&self, client: &mut Client, dumped: Dumped) -> Result<()> {
        let step = Step {
            name: dumped.database.name.clone(),
            dumped,
            replaces: false,
        };
        self.restore(client, &step)
    }

    /// Restores one database. The one that it replaces waits under another name, and comes back if the restore fails.
    fn restore(&self, client: &mut Client, step: &Step) -> Result<()> {
        let aside = format!("{}.before-restore", clipped(&step.name, 48));
        if step.replaces {
            rename(client, &step.name, &aside)?;
        }
        let result = match step.is_renamed() {
            true => create(client, &step.name, &step.dumped.database),
            false => Ok(()),
        };
        let result = result.and_then(|()| self.fill(step));
        match result {
            Ok(()) if step.replaces => drop_database(client, &aside),
            Ok(()) => Ok(()),
            Err(error) => {
                // The connection may have been lost with the rest.
                let undone = link::connect(self.config, self.lobby)
                    .and_then(|mut client| undo(&mut client, step, &aside));
                match undone {
                    Ok(()) => Err(error),
                    Err(left) => Err(error.hint(left_behind(step, &aside, &left))),
                }
            }
        }
    }

    fn fill(&self, step: &Step) -> Result<()> {
        match &self.config.work_directory {
            Some(folder) if self.parallel > 1 => self.fill_in_parallel(step, &folder.to_string()),
            _ => self.feed_to(self.filling(step), PG_RESTORE, &step.dumped.path),
        }
    }

    /// The program that makes the database, unless it has another name than before, and fills it.
    fn filling(&self, step: &Step) -> Command {
        match step.is_renamed() {
            true => self.filling_existing(step),
            // With the settings and rights of the database itself, which only its own name brings along.
            false => self.pg_restore(step, self.lobby).arg("--create"),
        }
    }

    fn filling_existing(&self, step: &Step) -> Command {
        self.pg_restore(step, &step.name)
    }

    fn pg_restore(&self, step: &Step, database: &str) -> Command {
        self.programs
            .command(PG_RESTORE, &step.name)
            .arg(format!("--dbname={}", connection_string(database)))
            .arg("--exit-on-error")
    }

    /// By several connections, which read a file.
    ///
    /// Section by section: pg_restore lets what comes after the data wait for the data of its own table only, and a partitioned table has
    /// none. Its triggers would be there, and fire, while rows still come into its partitions.
    fn fill_in_parallel(&self, step: &Step, folder: &str) -> Result<()> {
        let path = &step.dumped.path;
        let extraction = Extraction {
            target: folder.to_owned(),
            on_conflict: Conflict::Overwrite,
            delete_extra: false,
        };
        self.feed.extract(path, &extraction)?;
        let file = format!("{folder}/{path}");
        let jobs = format!("--jobs={}", self.parallel);
        let result = ["pre-data", "data", "post-data"]
            .into_iter()
            .try_for_each(|section| {
                let command = match section {
                    "pre-data" => self.filling(step),
                    _ => self.filling_existing(step).arg(&jobs),
                };
                let command = command.arg(format!("--section={section}"));
                finish(PG_RESTORE, command.arg(&file).spawn()?)
            });
        if let Err(error) = fs::remove_file(&file) {
            log::warn(format!("cannot remove {file}: {error}"));
        }
        result
    }

    /// Has a program read a dump. Not spliced: it has to be known which of the two failed.
    fn feed_to(&self, command: Command, program: &str, path: &str) -> Result<()> {
        let mut dump = self.feed.open(path)?;
        let mut process = command.spawn()?;
        let fed = match process.stdin() {
            Some(mut input) => copy(&mut dump, &mut input),
            None => Err(Broken::Program),
        };
        let finished = finish(program, process);
        match fed {
            Err(Broken::Backup(error)) => Err(error.on(path)),
            Ok(()) => finished,
            Err(Broken::Program) => {
                finished?;
                let problem = format!("{program} stopped reading before the end of {path}");
                Err(Error::new(ErrorKind::Failed, problem))
            }
        }
    }
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

/// pg_restore makes a database only under its old name.
fn create(client: &mut Client, name: &str, like: &Database) -> Result<()> {
    let owner = client.value(&format!(
        "SELECT 1 FROM pg_roles WHERE rolname = {}",
        escape_literal(&like.owner)
    ))?;
    let owner = match owner.as_str() {
        "" => String::new(),
        _ => format!(" OWNER {}", escape_identifier(&like.owner)),
    };
    client.query(&format!(
        "CREATE DATABASE {}{owner} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        escape_identifier(name),
        escape_literal(&like.encoding),
        escape_literal(&like.collate),
        escape_literal(&like.ctype),
    ))?;
    Ok(())
}

fn rename(client: &mut Client, from: &str, to: &str) -> Result<()> {
    client.query(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
        escape_literal(from)
    ))?;
    client.query(&format!(
        "ALTER DATABASE {} RENAME TO {}",
        escape_identifier(from),
        escape_identifier(to)
    ))?;
    Ok(())
}

fn drop_database(client: &mut Client, name: &str) -> Result<()> {
    let name = escape_identifier(name);
    client.query(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
    Ok(())
}

fn undo(client: &mut Client, step: &Step, aside: &str) -> Result<()> {
    drop_database(client, &step.name)?;
    if step.replaces {
        rename(client, aside, &step.name)?;
    }
    Ok(())
}

fn left_behind(step: &Step, aside: &str, error: &Error) -> String {
    let name = &step.name;
    match step.replaces {
        true => format!("drop the half-made {name} and rename \"{aside}\" back to {name}: {error}"),
        false => format!("drop the half-made {name}: {error}"),
    }
}

/// A name of at most `bytes`, so that there is room for more.
fn clipped(name: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    name.get(..end.unwrap_or(0)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumped(name: &str) -> Dumped {
        Dumped {
            path: format!("{name}.dump"),
            database: Database {
                name: name.into(),
                owner: "postgres".into(),
                encoding: "UTF8".into(),
                collate: "C".into(),
                ctype: "C".into(),
                size: None,
            },
        }
    }

    fn check(options: &str, expected: Result<&[(&str, bool)], &str>) {
        let options = serde_json::from_str(options).expect("good options");
        let existing = [("shop".to_owned(), true), ("postgres".to_owned(), false)].into();
        let dumps = vec![dumped("crm"), dumped("postgres"), dumped("shop")];
        let steps = plan(dumps, &options, &existing);
        let steps = steps.map(|steps| {
            let steps = steps.into_iter().map(|step| (step.name, step.replaces));
            steps.collect::<Vec<_>>()
        });
        let expected = expected.map(|steps| {
            let steps = steps
                .iter()
                .map(|&(name, replaces)| (name.to_owned(), replaces));
            steps.collect::<Vec<_>>()
        });
        let steps = steps.map_err(|error| error.message().to_owned());
        assert_eq!(steps, expected.map_err(str::to_owned), "{options:?}");
    }

    #[test]
    fn a_database_that_holds_something_is_touched_only_when_that_is_asked_for() {
        check("{}", Err("database shop exists already"));
        check(
            r#"{"conflict":"overwrite"}"#,
            Ok(&[("crm", false), ("postgres", true), ("shop", true)]),
        );
        check(
            r#"{"rename":{"shop":"shop_2"}}"#,
            Ok(&[("crm", false), ("postgres", true), ("shop_2", false)]),
        );
    }

    #[test]
    fn a_new_name_must_be_of_something_and_its_own() {
        check(
            r#"{"rename":{"sales":"x"}}"#,
            Err("rename: the backup has no database 'sales'"),
        );
        check(
            r#"{"rename":{"shop":"crm"}}"#,
            Err("rename: crm and shop would both become crm"),
        );
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        assert_eq!(clipped("shop", 48), "shop");
        assert_eq!(clipped("größe", 3), "gr");
    }
}
