//! Replaying the log: the stored log and a moment come in, changes to all databases that were restored from their dumps go out, in the order in which
//! they were made.

use strongroom_plugin::{Error, ErrorKind, Feed, Reader, Result, log, progress};

use crate::backup::LOG_FOLDER;
use crate::binlog::{Birth, Part, Pick, Scope, Wanted, births};
use crate::client::Session;
use crate::config::{Config, Kind};
use crate::load::Order;
use crate::name::shown;
use crate::programs;
use crate::pump::pump;
use crate::series::{Log, Series};
use crate::session::settings;
use crate::version::Version;

/// What is replayed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    log: Log,
    until: Option<u64>,
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
        if until.is_some_and(|until| until >= log.read) {
            let problem = "the backup's log ends before that second does";
            return Err(Error::new(ErrorKind::NotFound, problem)
                .hint("choose a later backup, or leave out --until for all that this one holds"));
        }
        Ok(Some(Self {
            log: log.clone(),
            until,
        }))
    }

    pub(crate) fn describe(&self) -> String {
        match self.until {
            Some(_) => "replayed up to the time that was asked for".into(),
            None => format!("replayed up to {}", self.log.end),
        }
    }

    /// What becomes of dumps that are of later than the moment: databases that were made before it are made by the log, those that were not are left
    /// out, and named. Any other one is refused.
    pub(crate) fn make_or_leave_out(
        &self,
        orders: &mut Vec<Order>,
        feed: &Feed,
    ) -> Result<Vec<String>> {
        let Some(until) = self.until else {
            return Ok(Vec::new());
        };
        let late = orders.iter().filter(|order| order.dump.stood > until);
        let late: Vec<String> = late.map(|order| order.dump.database.clone()).collect();
        if late.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = late.iter().map(String::as_str).collect();
        let births = births(&self.log.files, opener(feed), &names, until)?;
        let mut left_out = Vec::new();
        for name in late {
            let order = orders.iter_mut().find(|it| it.dump.database == name);
            match (births.get(&name), order) {
                (Some(Birth::Made(at)), Some(order)) => {
                    order.file = None;
                    order.from = Some(at.clone());
                }
                (Some(Birth::Later), _) => left_out.push(name),
                _ => {
                    let problem = format!("the dump of {name} is of later than that time");
                    return Err(Error::new(ErrorKind::NotFound, problem)
                        .hint("choose a backup of an earlier series"));
                }
            }
        }
        orders.retain(|order| !left_out.contains(&order.dump.database));
        Ok(left_out)
    }

    /// Refuses what could not be replayed, before anything is written. For all databases of a backup, under their own names, that was looked at when
    /// it was made. `others` are those of the backup, whether they are restored or not.
    pub(crate) fn check(
        &self,
        orders: &[Order],
        others: &[String],
        is_all: bool,
        family: Kind,
        feed: &Feed,
    ) -> Result<()> {
        let is_plain = |order: &Order| order.name == order.dump.database && order.file.is_some();
        if self.log.reviewed && is_all && orders.iter().all(is_plain) {
            return Ok(());
        }
        progress::step("looking through the binary log");
        let mut pick = self.pick(orders, others, family, feed)?;
        let mut part = Vec::new();
        while pick.next(&mut part)? {
            progress::check_cancelled()?;
            part.clear();
        }
        Ok(())
    }

    /// Replays into the databases of `orders` what happened to them since their dumps.
    pub(crate) fn run(
        &self,
        session: &mut Session,
        config: &Config,
        orders: &[Order],
        others: &[String],
        feed: &Feed,
    ) -> Result<()> {
        if orders.is_empty() {
            return Ok(());
        }
        for order in orders.iter().filter(|order| order.from.is_none()) {
            log::warn(format!(
                "database {} is as at its dump: that notes no place in the log to go on from",
                shown(&order.name)
            ));
        }
        progress::step("binary log");
        let settings = settings(session, self.log.engine.as_deref())?;
        let mut pick = self.pick(orders, others, config.server, feed)?;
        pump(
            programs::log_reader(config.server),
            programs::client(config, None, &settings),
            |part| pick.next(part),
        )
        .map_err(|error| error.on("binary log"))?;
        for table in pick.passed_over() {
            let why = "its name has a control character, and what stands in that would be run";
            feed.missing(format!("changes of table {table} since the dump"), why);
        }
        Ok(())
    }

    fn pick<'a>(
        &self,
        orders: &[Order],
        others: &[String],
        family: Kind,
        feed: &'a Feed,
    ) -> Result<Pick<impl FnMut(&str) -> Result<Reader> + use<'a>, Reader>> {
        // Of the others it is said that they are as at their dumps.
        let parts = orders.iter().filter_map(|order| {
            Some(Part {
                database: order.dump.database.clone(),
                name: order.name.clone(),
                from: order.from.clone()?,
            })
        });
        let wanted = Wanted {
            scope: Scope::new(parts, others.iter().cloned(), self.log.folds),
            until: self.until,
            family,
        };
        Pick::new(wanted, self.log.files.clone(), opener(feed))
    }

    /// Refuses a server that would not take the log as it is.
    pub(crate) fn check_target(
        &self,
        session: &mut Session,
        version: Version,
        folds: bool,
    ) -> Result<()> {
        if self.log.folds == Some(true) && !folds {
            let problem = "the log is of a server to which capitals and small letters in names are the same \
                           (lower_case_table_names), and to this one they are not";
            return Err(Error::new(ErrorKind::Unsupported, problem).hint(
                "restore into a server with the same lower_case_table_names, or a full backup",
            ));
        }
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
}

fn opener<'a>(feed: &'a Feed) -> impl FnMut(&str) -> Result<Reader> + use<'a> {
    |file: &str| feed.open(&format!("{LOG_FOLDER}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Dump;

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
                reviewed: true,
                folds: None,
                engine: None,
            }),
        }
    }

    #[test]
    fn a_moment_must_lie_before_the_end_of_the_log() {
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
        check(&["log.1"], Some(200), Err(ErrorKind::NotFound));
        check(&[], None, Ok(false));
        check(&[], Some(150), Err(ErrorKind::Unsupported));
    }
}
