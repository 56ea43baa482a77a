//! A backup: what the server holds comes in, dumps, accounts and the files of the log go out.

use std::io::Write;

use strongroom_plugin::{
    Attributes, BackupKind, Context, Entry, Error, ErrorKind, Outcome, Result, Sink, Writer, log,
    progress,
};

use crate::binlog::{LogFiles, Part, Position, Scope, identify, read_log, review};
use crate::check::Look;
use crate::client::connect;
use crate::config::{Config, Kind};
use crate::dump::dump;
use crate::floats;
use crate::moment::utc;
use crate::name::{USERS_FILE, dump_file, literal, shown};
use crate::programs::{self, DumpOrder};
use crate::rows::{Rows, Still};
use crate::selection::Selection;
use crate::series::{Dump, Lacks, Log, Series};
use crate::server::{self, Database};
use crate::users;

/// The folder of a backup that holds the files of the log.
pub(crate) const LOG_FOLDER: &str = "binlog";

/// What a backup of a server notes to which names that differ in capitals only are the same.
pub(crate) const FOLDS: &str = "lower_case_table_names";

/// A backup in the making.
struct Backup<'a> {
    config: &'a Config,
    sink: &'a Sink<'a>,
    look: Look,
    /// Whether names that differ in capitals only are the same to the server.
    folds: bool,
}

/// Makes a backup. One that should continue another and cannot says why, and is full.
pub(crate) fn backup(config: &Config, kind: BackupKind, sink: &Sink) -> Result<Outcome> {
    let mut look = Look::take(config)?;
    look.warn_of_tables()?;
    let bytes = look.databases.iter().map(|database| database.bytes).sum();
    progress::expect(Some(bytes), None);
    let folds = server::habits(&mut look.session)?.folds;
    let mut backup = Backup {
        config,
        sink,
        look,
        folds,
    };
    let parent = match (kind, sink.parent()) {
        (BackupKind::Incremental, Some(parent)) => {
            backup.continued(&Series::parse(&parent.attributes)?)?
        }
        (BackupKind::Incremental, None) => Err("there is no backup to continue".to_owned()),
        (BackupKind::Full, _) => Err(String::new()),
    };
    match parent {
        Ok(parent) => backup.incremental(&parent),
        Err(why) => backup.full(&why),
    }
}

impl Backup<'_> {
    /// Everything anew.
    fn full(&mut self, why: &str) -> Result<Outcome> {
        let mut series = Series::default();
        self.look.require_named(&series)?;
        for database in self.look.databases.clone() {
            series.dumps.extend(self.dump(&database)?);
        }
        series.log = self.anchor(&series)?;
        self.users()?;
        let mut attributes = self.attributes(&series);
        if !why.is_empty() {
            log::info(format!("a full backup, because {why}"));
            attributes.push(("full because".into(), why.to_owned()));
        }
        Ok(Outcome {
            kind: BackupKind::Full,
            attributes,
        })
    }

    /// What the parent noted, if the server's log still goes on from there; otherwise why it does not.
    fn continued(&mut self, parent: &Series) -> Result<Result<Parent, String>> {
        if let Err(why) = &self.look.log {
            return Ok(Err(why.clone()));
        }
        let Some(log) = parent.log.clone() else {
            return Ok(Err("the backup before notes no place in the log".into()));
        };
        let files = server::log_files(&mut self.look.session)?;
        let unread = unread(parent, &log);
        let needed = [Some(&log.anchor), unread.as_ref().map(|at| &at.file)];
        for file in needed.into_iter().flatten() {
            if !files.contains(file) {
                return Ok(Err(format!("the server no longer has the log file {file}")));
            }
        }
        if identify(connect(self.config)?, &log.anchor)? != Some(log.identity) {
            return Ok(Err(format!(
                "the log file {} is not the one that it was: the server has begun a new log",
                log.anchor
            )));
        }
        if let Some(unread) = unread {
            let end = self.look.log_end_now()?;
            if let Some(why) = self.review(parent, &unread, &end)? {
                return Ok(Err(why));
            }
            let parent = self.keep_log(parent.clone(), &log, &files)?;
            return Ok(parent.map(|parent| Parent {
                reviewed: Some(end),
                ..parent
            }));
        }
        self.keep_log(parent.clone(), &log, &files)
    }

    /// Why a part of the log could not be replayed into the databases that are there now, from their dumps in `series` on.
    fn review(
        &mut self,
        series: &Series,
        from: &Position,
        end: &Position,
    ) -> Result<Option<String>> {
        if from >= end {
            return Ok(None);
        }
        progress::step("looking through the binary log");
        let session = &mut self.look.session;
        let habits = server::habits(session)?;
        let mut others = server::database_names(session)?;
        others.extend(series.dumps.iter().map(|(_, dump)| dump.database.clone()));
        let parts = self.look.databases.iter().map(|database| {
            let dump = series.dump_of(&database.name);
            // Of those that will be dumped anew, nothing of it is needed.
            let from = dump.and_then(|(_, dump)| dump.position());
            Part {
                database: database.name.clone(),
                name: database.name.clone(),
                from: from.unwrap_or_else(|| end.clone()),
            }
        });
        let scope = Scope::new(parts, others, Some(habits.folds));
        let session = connect(self.config)?;
        let family = self.config.server;
        review(
            session,
            from,
            end,
            &scope,
            family,
            progress::check_cancelled,
        )
    }

    /// Keeps the log's files that the parent holds whole. Those that a destination has lost are read again if the server still has them.
    fn keep_log(
        &self,
        series: Series,
        log: &Log,
        there: &[String],
    ) -> Result<Result<Parent, String>> {
        // Its last file has grown since.
        let whole = log.files.iter().filter(|&file| *file != log.anchor);
        let mut parent = Parent {
            series,
            kept: Vec::new(),
            first: log.anchor.clone(),
            reviewed: None,
        };
        for file in whole {
            if !self.carry(&format!("{LOG_FOLDER}/{file}"))? {
                parent.first.clone_from(file);
                break;
            }
            parent.kept.push(file.clone());
        }
        if there.contains(&parent.first) {
            return Ok(Ok(parent));
        }
        Ok(Err(format!(
            "a destination lacks the log file {}, and the server no longer has it",
            parent.first
        )))
    }

    /// The parent's dumps, also of databases that are gone, those of databases that are new, and the log from the first of them on.
    fn incremental(&mut self, parent: &Parent) -> Result<Outcome> {
        let mut series = Series::default();
        self.keep_gone(&parent.series, &mut series)?;
        self.look.require_named(&series)?;
        for database in self.look.databases.clone() {
            let kept = parent.series.dump_of(&database.name).cloned();
            series.dumps.extend(match kept {
                Some((file, dump)) if dump.position.is_some() && self.carry(&file)? => {
                    self.tell(&dump.lacks);
                    Some((file, Dump { gone: None, ..dump }))
                }
                _ => self.dump(&database)?,
            });
        }
        // After the dumps, so that the log reaches beyond each of them.
        series.log = Some(self.log(parent, &series)?);
        self.users()?;
        Ok(Outcome {
            kind: BackupKind::Incremental,
            attributes: self.attributes(&series),
        })
    }

    /// Keeps the dumps of databases that were dropped since, for moments before that.
    fn keep_gone(&mut self, parent: &Series, series: &mut Series) -> Result<()> {
        let now = server::clock(&mut self.look.session)?;
        let selection = Selection::of(self.config);
        for (file, dump) in &parent.dumps {
            let mut there = self.look.databases.iter();
            let is_gone = there.all(|database| database.name != dump.database);
            let is_chosen = selection.contains(&dump.database);
            if is_gone && is_chosen && dump.position.is_some() && self.carry(file)? {
                log::info(format!(
                    "database {} is gone: its dump is kept up to the next full backup",
                    dump.database
                ));
                let gone = dump.gone.or(Some(now));
                let dump = dump.clone();
                series.dumps.push((file.clone(), Dump { gone, ..dump }));
            }
        }
        Ok(())
    }

    /// Dumps a database. None where that cannot be, which is said.
    fn dump(&mut self, database: &Database) -> Result<Option<(String, Dump)>> {
        progress::check_cancelled()?;
        let name = shown(&database.name);
        progress::step(format!("database {name}"));
        let mut contents = self
            .look
            .contents(database)
            .on(format!("database {name}"))?;
        if let Some(why) = &contents.refused {
            self.sink.missing(format!("database {name}"), why);
            return Ok(None);
        }
        let order = DumpOrder {
            database: &database.name,
            with_position: self.look.log.is_ok() && self.tells_its_position()?,
            with_history: self.look.with_history.contains(&database.name),
            contents: &contents,
            program: self.look.dump_program,
        };
        let command = programs::dump(self.config, &order);
        let still = self.still();
        let session = &mut self.look.session;
        let made = dump(
            self.sink,
            (self.config.server, &database.name, &contents),
            command,
            order.with_position,
            || server::clock(session),
        )?;
        let mut dump = Dump::new(database, made.stood, made.position.as_ref());
        dump.history_of = order.with_history.then(|| self.look.version.to_string());
        dump.lacks = std::mem::take(&mut contents.lacks);
        dump.lacks.warnings.extend(made.warnings);
        let rounded = floats::rounded(&mut self.look.session, &database.name)?;
        dump.lacks.warnings.extend(rounded);
        if self.config.count_rows {
            progress::step(format!("rows of {name}"));
            dump.rows = Some(count(still, &dump)?);
        }
        if let Some(why) = contents.no_log {
            dump.position = None;
            log::warn(format!(
                "database {name} is dumped by every backup, and not brought up to a moment by the log: {why}"
            ));
        }
        self.tell(&dump.lacks);
        Ok(Some((dump_file(&database.name), dump)))
    }

    /// Whether the dump program lives to say where in the log a dump stands. MariaDB's takes the server's answer to a question for granted, and the
    /// server has none where the file that it logs to holds a change that is longer than its packets may be.
    fn tells_its_position(&mut self) -> Result<bool> {
        if self.config.server == Kind::Mysql {
            return Ok(true);
        }
        let end = self.look.log_end_now()?;
        let (file, offset) = (literal(&end.file), end.offset);
        let question = format!("SELECT BINLOG_GTID_POS({file}, {offset}) AS gtid");
        let is_told = match self.look.session.query_row(&question) {
            Ok(row) => row.is_some_and(|row| row.get("gtid").is_some()),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            // The program will say what is wrong.
            Err(_) => true,
        };
        if !is_told {
            log::warn(format!(
                "the log file {} holds a change that is longer than max_allowed_packet, at which mariadb-dump would crash: the dump is made without its place \
                 in the log, and the next backup dumps the database again. Raise max_allowed_packet of the server, or have it begin a new file (FLUSH BINARY LOGS)",
                shown(&end.file)
            ));
        }
        Ok(is_told)
    }

    /// Says what a dump lacks.
    fn tell(&self, lacks: &Lacks) {
        for (subject, why) in &lacks.missing {
            self.sink.missing(subject, why);
        }
        for warning in &lacks.warnings {
            log::warn(warning.clone());
        }
    }

    /// A transaction to count rows in, or why there is none.
    fn still(&self) -> Result<Still, String> {
        match &self.look.log {
            _ if !self.config.count_rows => Err(String::new()),
            Err(why) => Err(why.clone()),
            Ok(_) => {
                Still::begin(self.config, self.look.version).map_err(|error| error.to_string())
            }
        }
    }

    /// Keeps a file of the parent; false where a destination has lost it, or never had it.
    fn carry(&self, path: &str) -> Result<bool> {
        match self.sink.carry(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                log::info(format!("{path} is read again: {error}"));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// By what the next backup will know the log again: the file in which the earliest dump stands.
    fn anchor(&mut self, series: &Series) -> Result<Option<Log>> {
        let (Ok(log), Some(first)) = (&self.look.log, series.first_position()) else {
            return Ok(None);
        };
        let end = log.end.to_string();
        let habits = server::habits(&mut self.look.session)?;
        Ok(Some(Log {
            files: Vec::new(),
            end,
            read: server::clock(&mut self.look.session)?,
            identity: self.identity(&first.file)?,
            anchor: first.file,
            reviewed: true,
            folds: Some(habits.folds),
            engine: habits.engine,
        }))
    }

    /// The log's files: those that were kept, and the rest read.
    fn log(&mut self, parent: &Parent, series: &Series) -> Result<Log> {
        // In this order: what was committed before that second comes before the end.
        let read = server::clock(&mut self.look.session)?;
        let end = self.look.log_end_now()?;
        let reviewed = parent.reviewed.clone();
        let reviewed = reviewed.or_else(|| series.first_position());
        if let Some(reviewed) = reviewed
            && let Some(why) = self.review(series, &reviewed, &end)?
        {
            let problem = format!("this backup could not be restored to its end: {why}");
            return Err(Error::new(ErrorKind::Unavailable, problem)
                .hint("run it again: the next one is a full one"));
        }
        let habits = server::habits(&mut self.look.session)?;
        let mut stored = Stored {
            sink: self.sink,
            files: parent.kept.clone(),
        };
        read_log(connect(self.config)?, &parent.first, &end, &mut stored)?;
        Ok(Log {
            files: stored.files,
            end: end.to_string(),
            read,
            anchor: end.file.clone(),
            identity: self.identity(&end.file)?,
            reviewed: true,
            folds: Some(habits.folds),
            engine: habits.engine,
        })
    }

    fn identity(&self, file: &str) -> Result<u32> {
        identify(connect(self.config)?, file)?.ok_or_else(|| {
            let problem = format!("the server has removed {file} during the backup");
            Error::new(ErrorKind::Unavailable, problem).hint("keep the binary log for longer")
        })
    }

    fn users(&mut self) -> Result<()> {
        if !self.config.users {
            return Ok(());
        }
        progress::step("accounts");
        let text = users::collect(&mut self.look.session, self.look.version).on("accounts")?;
        let Some(collected) = text else {
            log::warn(
                "accounts are not in the backup: the user may not read them (SELECT on mysql.*)",
            );
            return Ok(());
        };
        for (account, why) in &collected.left_out {
            self.sink.missing(account, why);
        }
        let mut writer = self.sink.write(&Entry::at(USERS_FILE))?;
        writer.write_all(collected.text.as_bytes())?;
        writer.finish()?;
        Ok(())
    }

    fn attributes(&self, series: &Series) -> Attributes {
        let mut attributes = vec![
            // By this the engine knows that each file is of use by itself.
            ("method".to_owned(), "logical".to_owned()),
            ("server".to_owned(), self.look.version.to_string()),
            // That none is left where there were some is for the engine to judge.
            (
                "holds".to_owned(),
                format!("{} databases", series.there().count()),
            ),
        ];
        if self.folds {
            attributes.push((FOLDS.into(), "1".into()));
        }
        if let Ok(log) = &self.look.log
            && let Some(gtid) = &log.gtid
        {
            attributes.push(("gtid".into(), gtid.clone()));
        }
        if let Some((since, reaches)) = series.moments() {
            attributes.push(("whole since".into(), utc(since)));
            attributes.push(("reaches".into(), utc(reaches)));
        }
        attributes.extend(series.attributes());
        attributes
    }
}

/// What can be said of the rows of a dump. A count that fails is none, and no reason to have no backup.
fn count(still: Result<Still, String>, dump: &Dump) -> Result<Rows> {
    let (still, position) = match (still, dump.position()) {
        (Ok(still), Some(position)) => (still, position),
        (Err(why), _) => return Ok(Rows::unknown(why)),
        (Ok(_), None) => return Ok(Rows::unknown("the dump does not say where it stands")),
    };
    match still.count(&dump.database, &position, dump.history_of.is_some()) {
        Err(error) if error.kind() != ErrorKind::Cancelled => Ok(Rows::unknown(error.to_string())),
        rows => rows,
    }
}

/// The backup to continue.
struct Parent {
    series: Series,
    /// Files of the log that were kept from it.
    kept: Vec<String>,
    /// The file to read from.
    first: String,
    /// Up to where the log was looked through.
    reviewed: Option<Position>,
}

/// From where on the log was not looked through yet. Older backups did not.
fn unread(parent: &Series, log: &Log) -> Option<Position> {
    match log.reviewed && !log.files.is_empty() {
        true => log.end.parse().ok(),
        false => parent.first_position(),
    }
}

/// Files of the log in the backup.
struct Stored<'a> {
    sink: &'a Sink<'a>,
    files: Vec<String>,
}

impl LogFiles for Stored<'_> {
    type File = Writer;

    fn go_on(&mut self) -> Result<()> {
        progress::check_cancelled()
    }

    fn begin(&mut self, name: &str) -> Result<Writer> {
        progress::step(format!("binary log {name}"));
        self.sink.write(&Entry::at(format!("{LOG_FOLDER}/{name}")))
    }

    fn finish(&mut self, name: &str, file: Writer) -> Result<()> {
        file.finish()?;
        self.files.push(name.to_owned());
        Ok(())
    }
}
