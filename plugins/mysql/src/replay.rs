//! Replaying the log: the stored log and a moment come in, changes to a database that was restored from its dump go out.

use strongroom_plugin::{Error, ErrorKind, Feed, Reader, Result, log, progress};

use crate::backup::LOG_FOLDER;
use crate::binlog::{Pick, Wanted};
use crate::client::Session;
use crate::config::{Config, Kind};
use crate::name::shown;
use crate::programs;
use crate::pump::pump;
use crate::series::{Dump, Series};
use crate::version::Version;

/// What is replayed into every database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// In the order of the log.
    files: Vec<String>,
    until: Option<u64>,
    end: String,
}

impl Replay {
    /// None where the backup holds no log and none is asked for. A moment that the backup does not reach is refused.
    pub(crate) fn plan(series: &Series, until: Option<u64>) -> Result<Option<Self>> {
        let log = series.log.as_ref().filter(|log| !log.files.is_empty());
        let Some(log) = log else {
            return match until {
                None => Ok(None),
                Some(_) => Err(Error::new(
                    ErrorKind::Unsupported,
                    "the backup holds no binary log: it can only be restored as it was when it was made",
                )
                .hint("choose an incremental backup that was made after that time")),
            };
        };
        if let Some(until) = until {
            let early = series.dumps.iter().find(|(_, dump)| dump.stood > until);
            if let Some((_, dump)) = early {
                let problem = format!("the dump of {} is of later than that time", dump.database);
                return Err(Error::new(ErrorKind::NotFound, problem)
                    .hint("choose a backup of an earlier series"));
            }
            if until >= log.read {
                let problem = "the backup's log ends before that second does";
                return Err(Error::new(ErrorKind::NotFound, problem).hint(
                    "choose a later backup, or leave out --until for all that this one holds",
                ));
            }
        }
        Ok(Some(Self {
            files: log.files.clone(),
            until,
            end: log.end.clone(),
        }))
    }

    pub(crate) fn describe(&self) -> String {
        match self.until {
            Some(_) => "replayed up to the time that was asked for".into(),
            None => format!("replayed up to {}", self.end),
        }
    }
}

/// Refuses a server that would not take the transactions of a log in any order but its own.
pub(crate) fn check_target(session: &mut Session, version: Version) -> Result<()> {
    if version.kind == Kind::Mysql {
        return Ok(());
    }
    let row = session.query_row("SELECT @@gtid_strict_mode AS strict")?;
    match row.as_ref().and_then(|row| row.get("strict")) {
        Some("1") => Err(Error::new(
            ErrorKind::Unsupported,
            "the server takes no transactions out of order (gtid_strict_mode is on)",
        )
        .hint("turn gtid_strict_mode off for as long as the restore takes")),
        _ => Ok(()),
    }
}

/// Replays into the database called `name` what happened to it since its dump.
pub(crate) fn replay(
    config: &Config,
    dump: &Dump,
    name: &str,
    replay: &Replay,
    feed: &Feed,
) -> Result<()> {
    let Some(from) = dump.position() else {
        log::warn(format!(
            "database {} is as at its dump: that notes no place in the log to go on from",
            shown(name)
        ));
        return Ok(());
    };
    progress::step(format!("binary log for {name}"));
    let wanted = Wanted {
        database: dump.database.clone(),
        is_renamed: dump.database != name,
        from,
        until: replay.until,
    };
    let open = |file: &str| -> Result<Reader> { feed.open(&format!("{LOG_FOLDER}/{file}")) };
    let mut pick = Pick::new(wanted, replay.files.clone(), open)?;
    pump(
        programs::log_reader(config.server, &dump.database, name),
        programs::client(config, name),
        |part| pick.next(part),
    )?;
    for statement in &pick.doubtful {
        log::warn(format!(
            "database {name}: left out a statement that is not surely of it alone: {statement}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Log;

    fn series(files: &[&str]) -> Series {
        let dump = Dump {
            database: "shop".into(),
            character_set: "utf8mb4".into(),
            collation: "utf8mb4_general_ci".into(),
            stood: 100,
            position: Some("log.1:4".into()),
            gone: None,
            history_of: None,
            rows: None,
            lacks: crate::series::Lacks::default(),
        };
        Series {
            dumps: vec![("shop.sql".into(), dump)],
            log: Some(Log {
                files: files.iter().map(|&file| file.to_owned()).collect(),
                end: "log.1:400".into(),
                read: 200,
                anchor: "log.1".into(),
                identity: 1,
            }),
        }
    }

    #[test]
    fn a_moment_must_lie_between_the_dump_and_the_end_of_the_log() {
        let check = |files: &[&str], until, expected: Result<bool, ErrorKind>| {
            let plan = Replay::plan(&series(files), until);
            let found = plan
                .map(|plan| plan.is_some())
                .map_err(|error| error.kind());
            assert_eq!(found, expected, "{until:?}");
        };
        check(&["log.1"], None, Ok(true));
        check(&["log.1"], Some(100), Ok(true));
        check(&["log.1"], Some(199), Ok(true));
        check(&["log.1"], Some(99), Err(ErrorKind::NotFound));
        check(&["log.1"], Some(200), Err(ErrorKind::NotFound));
        check(&[], None, Ok(false));
        check(&[], Some(150), Err(ErrorKind::Unsupported));
    }
}
