//! Settings that a server has for everybody, as a restore needs them: a configuration comes in, a guard goes out that puts them back when it goes, at
//! whatever end.
//!
//! What they were is noted in a table on the server itself, so that the next restore puts them back where one was killed. Of several restores at once
//! the last one to end does.

use strongroom_plugin::{Error, ErrorKind, Result, log};

use crate::client::{Session, connect};
use crate::config::Config;
use crate::name::literal;

/// What the programs of a restore send at most, and the most that a server takes.
const PACKET: &str = "1073741824";

/// The note. In this database nothing is backed up, and whoever may change settings may write to it.
const NOTE: &str = "mysql.strongroom_restore";

/// Held for as long as settings are looked at and changed.
const LOCK: &str = "strongroom settings";

/// Seconds that another restore may take for that.
const PATIENCE: u32 = 60;

/// How many restores into a server there may be at once. Each holds a lock with its number.
const MOST: usize = 32;

/// A setting, what a restore makes of it, and what comes of it otherwise.
struct Setting {
    name: &'static str,
    needed: &'static str,
    otherwise: &'static str,
}

const SETTINGS: [Setting; 2] = [
    Setting {
        name: "max_allowed_packet",
        needed: PACKET,
        otherwise: "rows of more than half of that may not come back",
    },
    Setting {
        name: "event_scheduler",
        needed: "OFF",
        otherwise: "events of the databases that are restored may run, and change what the log is replayed into",
    },
];

/// What was set, for as long as this is kept.
pub(crate) struct Settings<'a> {
    config: &'a Config,
    /// Holds the locks.
    session: Session,
    /// Each with the value that it had.
    before: Vec<(&'static Setting, String)>,
    is_noted: bool,
}

impl<'a> Settings<'a> {
    /// Lets statements be as long as they can be, and, where a log is to be replayed, stops events: they would change rows before the log does. What
    /// the user may not set is warned of.
    pub(crate) fn for_restore(config: &'a Config, has_log: bool) -> Result<Self> {
        let mut settings = Self {
            config,
            session: connect(config)?,
            before: Vec::new(),
            is_noted: false,
        };
        // Replicas have notes of their own, if any.
        let _ = settings.session.query("SET SESSION sql_log_bin = 0");
        lock(&mut settings.session)?;
        settings.take_place()?;
        let noted = noted(&mut settings.session)?;
        for setting in &SETTINGS {
            let now = value(&mut settings.session, setting.name)?;
            let before = noted.iter().find(|(name, _)| *name == setting.name);
            match before {
                // By a restore that runs, or that was killed.
                Some((_, before)) if now == setting.needed && is_sound(setting, before) => {
                    settings.before.push((setting, before.clone()));
                }
                _ if setting.is_needed(&now, has_log) => settings.before.push((setting, now)),
                _ => {}
            }
        }
        settings.note()?;
        settings.change(has_log)?;
        unlock(&mut settings.session, LOCK)?;
        Ok(settings)
    }

    fn take_place(&mut self) -> Result<()> {
        for number in 1..=MOST {
            let sql = format!("SELECT GET_LOCK({}, 0) AS taken", literal(&place(number)));
            if is_true(&mut self.session, &sql)? {
                return Ok(());
            }
        }
        let problem = format!("there are {MOST} restores into this server already");
        Err(Error::new(ErrorKind::Unavailable, problem))
    }

    /// Where it may not be noted, a restore that is killed leaves settings behind.
    fn note(&mut self) -> Result<()> {
        if self.before.is_empty() {
            return Ok(());
        }
        let rows = self
            .before
            .iter()
            .map(|(setting, before)| format!("({}, {})", literal(setting.name), literal(before)));
        let rows: Vec<String> = rows.collect();
        let table = format!(
            "CREATE TABLE IF NOT EXISTS {NOTE} (name VARCHAR(64) PRIMARY KEY, value VARCHAR(64) NOT NULL) ENGINE=InnoDB"
        );
        let rows = format!("REPLACE INTO {NOTE} VALUES {}", rows.join(", "));
        match self
            .session
            .query(&table)
            .and_then(|_| self.session.query(&rows))
        {
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
            Err(error) => {
                log::info(format!(
                    "what settings of the server were is not noted there, so that nobody puts them back if the engine is killed: {error}"
                ));
                Ok(())
            }
            Ok(_) => {
                self.is_noted = true;
                Ok(())
            }
        }
    }

    fn change(&mut self, has_log: bool) -> Result<()> {
        let mut changed = Vec::new();
        for (setting, before) in std::mem::take(&mut self.before) {
            let statement = set(setting.name, setting.needed);
            if !setting.is_needed(&value(&mut self.session, setting.name)?, has_log) {
                changed.push((setting, before));
                continue;
            }
            match self.session.query(&statement) {
                Ok(_) => changed.push((setting, before)),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    self.before = changed;
                    return Err(error);
                }
                Err(error) => log::warn(format!(
                    "{} of the server stays {before}, so that {}: {error}. For the time of a restore, have it set: {statement}",
                    setting.name, setting.otherwise
                )),
            }
        }
        self.before = changed;
        Ok(())
    }

    /// Puts back what is as a restore has set it, unless another one needs it.
    fn put_back(&mut self, session: &mut Session) -> Result<()> {
        lock(session)?;
        let free: Vec<String> = (1..=MOST)
            .map(|number| format!("IS_FREE_LOCK({})", literal(&place(number))))
            .collect();
        if !is_true(session, &format!("SELECT {} AS free", free.join(" AND ")))? {
            log::info("another restore into this server runs, and will put its settings back");
            return unlock(session, LOCK);
        }
        for (setting, before) in &self.before {
            if value(session, setting.name)? == setting.needed {
                session.query(&set(setting.name, before))?;
            }
        }
        // It need not be there.
        let _ = session.query(&format!("DROP TABLE IF EXISTS {NOTE}"));
        unlock(session, LOCK)
    }
}

impl Drop for Settings<'_> {
    fn drop(&mut self) {
        // All locks of the session, which may be what has failed.
        let _ = self.session.query("SELECT RELEASE_ALL_LOCKS()");
        if self.before.is_empty() && !self.is_noted {
            return;
        }
        let result = connect(self.config).and_then(|mut session| {
            let _ = session.query("SET SESSION sql_log_bin = 0");
            self.put_back(&mut session)
        });
        if let Err(error) = result {
            let statements = self.before.iter();
            let statements = statements.map(|(setting, before)| set(setting.name, before));
            let statements: Vec<String> = statements.collect();
            log::warn(format!(
                "settings of the server could not be put back: {error}. Have them set: {}",
                statements.join("; ")
            ));
        }
    }
}

impl Setting {
    fn is_needed(&self, now: &str, has_log: bool) -> bool {
        match self.name {
            "event_scheduler" => has_log && now == "ON",
            _ => {
                let most: u64 = self.needed.parse().unwrap_or_default();
                now.parse().is_ok_and(|bytes: u64| bytes < most)
            }
        }
    }
}

/// Whether a value that was noted is one: it becomes a part of a statement.
fn is_sound(setting: &Setting, before: &str) -> bool {
    match setting.name {
        "event_scheduler" => before == "ON",
        _ => before.parse::<u64>().is_ok(),
    }
}

fn place(number: usize) -> String {
    format!("strongroom restore {number}")
}

fn lock(session: &mut Session) -> Result<()> {
    let sql = format!("SELECT GET_LOCK({}, {PATIENCE}) AS taken", literal(LOCK));
    match is_true(session, &sql)? {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Unavailable,
            "another restore is changing settings of this server, and does not come to an end",
        )),
    }
}

fn unlock(session: &mut Session, name: &str) -> Result<()> {
    let sql = format!("SELECT RELEASE_LOCK({})", literal(name));
    session.query(&sql).map(drop)
}

fn is_true(session: &mut Session, sql: &str) -> Result<bool> {
    let row = session.query_row(sql)?;
    Ok(row.as_ref().and_then(|row| row.at(0)) == Some("1"))
}

/// What a restore has noted that has not put it back, each setting with its value.
fn noted(session: &mut Session) -> Result<Vec<(String, String)>> {
    let rows = match session.query(&format!("SELECT name, value FROM {NOTE}")) {
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        // There is none, or none that this user may see.
        rows => rows.unwrap_or_default(),
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let rows = rows.iter();
    Ok(rows
        .filter_map(|row| Some(pair(row.at(0)?, row.at(1)?)))
        .collect())
}

fn value(session: &mut Session, name: &str) -> Result<String> {
    let row = session.query_row(&format!("SELECT @@global.{name} AS value"))?;
    let value = row.as_ref().and_then(|row| row.get("value"));
    Ok(value.unwrap_or_default().to_owned())
}

fn set(name: &str, value: &str) -> String {
    format!("SET GLOBAL {name} = {value}")
}
