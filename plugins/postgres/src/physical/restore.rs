//! A physical backup into an empty directory, ready for a server to start there and replay the log.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Read, Write};

use strongroom_plugin::{
    Attributes, Conflict, Context, Error, ErrorKind, Extraction, Feed, RestoreRequest, Result,
    progress,
};

use super::notes::Notes;
use super::{DATA, DIRECTORIES, WAL};
use crate::config::{Config, RestoreOptions};
use crate::moment;
use crate::wire::Lsn;

/// Where the segments of the log wait for the restored server, in its directory.
const LOG_FOLDER: &str = "strongroom_wal";

/// What the server writes its own settings to, and reads last.
const AUTO_CONF: &str = "postgresql.auto.conf";

/// What keeps a copy of a cluster from doing what is the original's: its log would go into the original's archive, and be taken for the original's when that
/// is restored; its subscriptions would take what the original's wait for; its commits would wait for the original's standbys.
const ALONE: &[(&str, &str)] = &[
    ("archive_mode", "off"),
    ("archive_cleanup_command", ""),
    ("recovery_end_command", ""),
    ("recovery_min_apply_delay", "0"),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("synchronous_standby_names", ""),
    ("max_logical_replication_workers", "0"),
    ("external_pid_file", ""),
];

/// Up to where the log is replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Until {
    End,
    /// As PostgreSQL writes it, in UTC.
    Time(String),
    Lsn(Lsn),
}

/// Restores into the directory that the configuration names.
pub(crate) fn restore(
    config: &Config,
    request: &RestoreRequest<RestoreOptions>,
    feed: &Feed,
) -> Result<Attributes> {
    let attributes = feed.attributes();
    let notes = Notes::read(&attributes).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            "this backup was not made by this plugin",
        )
    })?;
    if !request.paths.is_empty() {
        let problem = "a physical backup can only be restored as a whole";
        return Err(Error::new(ErrorKind::Unsupported, problem));
    }
    let until = until(request, &notes)?;
    let directory = config.restore_directory.as_ref().ok_or_else(|| {
        let problem = "there is no directory to restore a physical backup to";
        Error::new(ErrorKind::InvalidConfig, problem)
            .hint("set restore_directory in the config of the source that is named by --to")
    })?;
    let directory = directory.as_str();
    if directory.contains(['\n', '\r']) {
        let problem = "restore_directory: has a line break in its name";
        return Err(Error::new(ErrorKind::InvalidConfig, problem));
    }
    if fs::read_dir(directory).on(directory)?.next().is_some() {
        let problem = format!("{directory} is not empty");
        return Err(Error::new(ErrorKind::AlreadyExists, problem)
            .hint("a cluster is restored beside the old one: name another directory, or move this one away"));
    }

    lay_out(directory, feed, &notes, &until)?;
    Ok(vec![
        ("directory".into(), directory.into()),
        ("made by".into(), notes.server.clone()),
        (
            "comes back to".into(),
            match &until {
                Until::End => format!("{} and the rest of the log", notes.reaches),
                Until::Time(time) => time.clone(),
                Until::Lsn(lsn) => lsn.to_string(),
            },
        ),
        (
            "turned off".into(),
            "archiving, subscriptions and synchronous standbys, which are the original's: in postgresql.auto.conf, until ALTER SYSTEM RESET archive_mode, \
             max_logical_replication_workers, synchronous_standby_names and a restart"
                .into(),
        ),
        (
            "next".into(),
            format!(
                "chown -R postgres: {directory}; start a server of the same major version on it; once it takes connections, {directory}/{LOG_FOLDER} may go"
            ),
        ),
    ])
}

/// Restores into an empty directory, to replay all of the log.
pub(crate) fn restore_to(directory: &str, feed: &Feed, notes: &Notes) -> Result<()> {
    lay_out(directory, feed, notes, &Until::End)
}

/// The cluster's files, its log, and what a server has to know to replay it.
fn lay_out(directory: &str, feed: &Feed, notes: &Notes, until: &Until) -> Result<()> {
    progress::step("files of the cluster");
    extract(feed, DATA, directory)?;
    make_directories(feed, directory)?;
    let mut settings = Vec::new();
    let tablespaces = format!("{directory}/pg_tblspc");
    if fs::read_dir(&tablespaces).on(tablespaces)?.next().is_some() {
        // Their files come back below pg_tblspc itself; without this a server takes them for something left behind.
        settings.push(setting("allow_in_place_tablespaces", "on"));
    }
    let log_folder = format!("{directory}/{LOG_FOLDER}");
    if notes.has_log() {
        progress::step("write-ahead log");
        extract(feed, WAL, &log_folder)?;
    }
    settings.extend(replay(notes.has_log().then_some(&*log_folder), until));
    for file in ["postgresql.conf", AUTO_CONF] {
        set_aside(&format!("{directory}/{file}"))?;
    }
    // What was a standby's would follow the same server again, and do again what the restore is to undo.
    let standby = format!("{directory}/standby.signal");
    if fs::exists(&standby).on(&standby)? {
        fs::remove_file(&standby).on(standby)?;
    }
    // Also where there is no more log: what is restored has a history of its own.
    append(&format!("{directory}/recovery.signal"), "")?;
    let text = format!("# for a restore, by Strongroom\n{}\n", settings.join("\n"));
    append(&format!("{directory}/{AUTO_CONF}"), &text)
}

/// What was asked for, if the backup reaches it.
fn until(request: &RestoreRequest<RestoreOptions>, notes: &Notes) -> Result<Until> {
    let lsn = request
        .options
        .until_lsn
        .as_deref()
        .map(str::parse)
        .transpose();
    let lsn: Option<Lsn> = lsn.on("until_lsn")?;
    let out_of_reach = |what: &str, from: &str, to: &str| {
        let problem = format!("the backup does not reach {what}: its log goes from {from} to {to}");
        Error::new(ErrorKind::NotFound, problem)
            .hint("`strongroom show BACKUP` says what each backup reaches")
    };
    match (request.until, lsn) {
        (None, None) => Ok(Until::End),
        (Some(_), Some(_)) => Err(Error::invalid_config(
            "until_lsn",
            "is given together with a time",
        )),
        (Some(nanoseconds), None) => {
            let time = moment::utc(nanoseconds);
            // Times of this form are ordered as texts.
            if time < notes.whole_since || time > notes.reaches {
                return Err(out_of_reach(&time, &notes.whole_since, &notes.reaches));
            }
            Ok(match notes.has_log() {
                true => Until::Time(time),
                false => Until::End,
            })
        }
        (None, Some(lsn)) => {
            if lsn < notes.log_start || lsn > notes.log_end {
                let (from, to) = (notes.log_start.to_string(), notes.log_end.to_string());
                return Err(out_of_reach(&lsn.to_string(), &from, &to));
            }
            // A server that finds no record there would not start.
            Ok(match lsn < notes.last_record {
                true => Until::Lsn(lsn),
                false => Until::End,
            })
        }
    }
}

fn extract(feed: &Feed, path: &str, target: &str) -> Result<()> {
    feed.extract(
        path,
        &Extraction {
            target: target.into(),
            on_conflict: Conflict::Fail,
            delete_extra: false,
        },
    )?;
    Ok(())
}

/// A backup has no place for a directory without files, and a server insists on some.
fn make_directories(feed: &Feed, directory: &str) -> Result<()> {
    let mut list = String::new();
    feed.open(DIRECTORIES)?
        .read_to_string(&mut list)
        .on(DIRECTORIES)?;
    for name in list.lines() {
        let path = format!("{directory}/{name}");
        if name.split('/').any(|part| part == "..") {
            let problem = format!("{name} leads out of the directory");
            return Err(Error::new(ErrorKind::Corrupted, problem));
        }
        match fs::create_dir_all(&path) {
            Err(error) if error.kind() != IoErrorKind::AlreadyExists => {
                return Err(error).on(path);
            }
            _ => {}
        }
    }
    Ok(())
}

fn append(path: &str, text: &str) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .on(path)
}

/// Makes comments of what must not hold for the restored cluster, and what no later line can take back.
fn set_aside(path: &str) -> Result<()> {
    if !fs::exists(path).on(path)? {
        return Ok(());
    }
    let before = fs::read(path).on(path)?;
    let after = without_old(&before);
    if after != before {
        fs::write(path, after).on(path)?;
    }
    Ok(())
}

fn without_old(settings: &[u8]) -> Vec<u8> {
    const OLD: &[(&[u8], &[u8])] = &[
        // A server refuses two kinds of targets, even if one is set back to nothing.
        (b"recovery_target", b"# of an earlier recovery: "),
        // Whatever directory it is started on, a server goes to this one: that of the original.
        (b"data_directory", b"# of the original: "),
    ];
    let mut lines = Vec::with_capacity(settings.len());
    for line in settings.split_inclusive(|&byte| byte == b'\n') {
        let text = line.trim_ascii_start();
        let begins = |name: &[u8]| {
            let start = text.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let old = OLD.iter().find(|(name, _)| begins(name));
        // Another setting begins alike, and says who may read the directory.
        if let Some((_, comment)) = old.filter(|_| !begins(b"data_directory_mode")) {
            lines.extend_from_slice(comment);
        }
        lines.extend_from_slice(line);
    }
    lines
}

/// What the restored server needs to know. Later lines win over those that the cluster had.
fn replay(log_folder: Option<&str>, until: &Until) -> Vec<String> {
    let command = match log_folder {
        // A shell's quotes, then the placeholders of the setting; the quotes of the file come last.
        Some(folder) => {
            let folder = folder.replace('\'', "'\\''").replace('%', "%%");
            format!("cp '{folder}/%f' \"%p\"")
        }
        None => "false".into(),
    };
    let mut lines = vec![setting("restore_command", &command)];
    lines.extend(ALONE.iter().map(|(name, value)| setting(name, value)));
    match until {
        Until::End => {}
        Until::Time(time) => lines.push(setting("recovery_target_time", time)),
        Until::Lsn(lsn) => lines.push(setting("recovery_target_lsn", &lsn.to_string())),
    }
    lines.push(setting("recovery_target_action", "promote"));
    lines
}

fn setting(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('\'', "''");
    format!("{name} = '{value}'")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(until: Option<i64>, lsn: Option<&str>, expected: Result<Until, &str>) {
        let notes = Notes {
            system: "7300".into(),
            timeline: 1,
            segment_bytes: 16 << 20,
            log_start: Lsn(3 << 24),
            log_end: Lsn(5 << 24),
            last_record: Lsn((4 << 24) + 0x100),
            tablespaces: BTreeMap::new(),
            whole_since: "2026-03-01 14:00:00.000000+00".into(),
            reaches: "2026-03-01 15:00:00.000000+00".into(),
            server: String::new(),
        };
        let options = match lsn {
            Some(lsn) => format!(r#"{{"until_lsn":"{lsn}"}}"#),
            None => "{}".into(),
        };
        let request = RestoreRequest {
            until: until.map(|minute| (1_772_373_600 + minute * 60) * 1_000_000_000),
            paths: Vec::new(),
            options: serde_json::from_str(&options).expect("options"),
        };
        let result = super::until(&request, &notes).map_err(|error| error.message().to_owned());
        assert_eq!(result, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_restore_goes_only_where_the_backup_reaches() {
        check(None, None, Ok(Until::End));
        let half_past = "2026-03-01 14:30:00.000000+00";
        check(Some(30), None, Ok(Until::Time(half_past.into())));
        check(None, Some("0/3000000"), Ok(Until::Lsn(Lsn(3 << 24))));
        check(None, Some("0/40000FF"), Ok(Until::Lsn(Lsn(0x0400_00ff))));
        check(None, Some("0/4000100"), Ok(Until::End));
        check(None, Some("0/5000000"), Ok(Until::End));
        check(
            Some(61),
            None,
            Err(
                "the backup does not reach 2026-03-01 15:01:00.000000+00: its log goes from 2026-03-01 14:00:00.000000+00 to 2026-03-01 15:00:00.000000+00",
            ),
        );
        check(
            None,
            Some("0/2FFFFFF"),
            Err("the backup does not reach 0/2FFFFFF: its log goes from 0/3000000 to 0/5000000"),
        );
        check(
            Some(30),
            Some("0/3000000"),
            Err("until_lsn: is given together with a time"),
        );
        check(
            None,
            Some("x"),
            Err("until_lsn: 'x' is no position in the log"),
        );
    }

    #[test]
    fn what_would_lead_elsewhere_becomes_a_comment() {
        let check = |before: &[u8], after: &[u8]| {
            assert_eq!(without_old(before), after);
            assert_eq!(without_old(after), after);
        };
        check(
            b"port = 5432\n Recovery_Target_time = '2026'\nrecovery_target_action 'promote'\n# recovery_target = ''\nx = 'recovery_target'",
            b"port = 5432\n# of an earlier recovery:  Recovery_Target_time = '2026'\n# of an earlier recovery: recovery_target_action 'promote'\n# recovery_target = ''\nx = 'recovery_target'",
        );
        check(
            b"data_directory = '/srv/main'\ndata_directory_mode = 0700\n",
            b"# of the original: data_directory = '/srv/main'\ndata_directory_mode = 0700\n",
        );
    }

    #[test]
    fn an_awkward_directory_stays_one_word_of_the_command() {
        assert_eq!(
            replay(Some("/srv/it's 100%"), &Until::Lsn(Lsn(16))),
            [
                r#"restore_command = 'cp ''/srv/it''\\''''s 100%%/%f'' "%p"'"#,
                "archive_mode = 'off'",
                "archive_cleanup_command = ''",
                "recovery_end_command = ''",
                "recovery_min_apply_delay = '0'",
                "primary_conninfo = ''",
                "primary_slot_name = ''",
                "synchronous_standby_names = ''",
                "max_logical_replication_workers = '0'",
                "external_pid_file = ''",
                "recovery_target_lsn = '0/10'",
                "recovery_target_action = 'promote'",
            ]
        );
    }
}
