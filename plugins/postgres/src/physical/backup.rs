//! A physical backup: all files of the cluster, or only the log since the backup before, which keeps them.

use std::io::{BufReader, Write};

use strongroom_plugin::{
    BackupKind, Entry, Error, ErrorKind, Outcome, Result, Sink, log as record, progress,
};

use super::archive::Unpacker;
use super::base::{BaseBackup, Part};
use super::log::{LogStream, Range};
use super::notes::Notes;
use super::slot::{self, Slot};
use super::{DATA, DIRECTORIES, segment_path};
use crate::config::Config;
use crate::link::{self, Client};
use crate::server::{MAINTENANCE, Version, holds, is_true};
use crate::wire::Lsn;

/// No record that ends a segment is longer, with the page's header that may lie in it.
const SWITCH_BYTES: u64 = 64;

/// The cluster as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cluster {
    system: String,
    timeline: u32,
    segment_bytes: u64,
    is_standby: bool,
    version: Version,
}

/// What came of continuing the parent.
enum Continued {
    Done(Outcome),
    /// It cannot be continued, and why.
    No(String),
}

/// Backs up the cluster; an incremental backup that cannot be made says why and becomes a full one.
pub(crate) fn backup(config: &Config, kind: BackupKind, sink: &Sink) -> Result<Outcome> {
    progress::step("looking at the server");
    let mut sql = link::connect(config, &config.database)?;
    let cluster = Cluster::look(config, &mut sql)?;
    slot::tell_strays(&mut sql, config)?;
    let held = held(&mut sql)?;
    let mut why = None;
    if kind == BackupKind::Incremental
        && let Some(parent) = sink.parent()
    {
        let notes = Notes::read(&parent.attributes);
        let continued = match notes
            .ok_or_else(no_notes)
            .and_then(|it| cluster.continues(it))
        {
            Ok(notes) => incremental(config, &mut sql, notes, sink)?,
            Err(why) => Continued::No(why),
        };
        match continued {
            Continued::Done(mut outcome) => {
                outcome.attributes.push(held);
                return Ok(outcome);
            }
            Continued::No(reason) => {
                record::warn(format!("a full backup is made: {reason}"));
                why = Some(reason);
            }
        }
    }
    let mut outcome = full(config, &mut sql, &cluster, sink)?;
    let why = why.map(|why| ("full because".to_owned(), why));
    outcome.attributes.extend(why);
    outcome.attributes.push(held);
    Ok(outcome)
}

/// How many databases of its users the cluster has.
fn held(sql: &mut Client) -> Result<(String, String)> {
    let question = format!(
        "SELECT count(*) FROM pg_database WHERE NOT datistemplate AND datname <> '{MAINTENANCE}'"
    );
    let number: usize = sql.value(&question)?.parse().unwrap_or_default();
    Ok(holds(number))
}

impl Cluster {
    fn look(config: &Config, sql: &mut Client) -> Result<Self> {
        let version = Version::of(sql)?;
        let mut replication = link::connect_for_replication(config)?;
        let rows = replication.query("IDENTIFY_SYSTEM")?;
        replication.close();
        let mut columns = rows
            .into_iter()
            .next()
            .unwrap_or_default()
            .into_iter()
            .flatten();
        let identity = columns
            .next()
            .zip(columns.next().and_then(|it| it.parse().ok()));
        let bytes = sql.value("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")?;
        let (system, timeline) = identity.ok_or_else(no_identity)?;
        Ok(Self {
            system,
            timeline,
            segment_bytes: bytes.parse().map_err(|_| no_identity())?,
            is_standby: is_true(sql, "SELECT pg_is_in_recovery()")?,
            version,
        })
    }

    /// Whether the log since `parent` leads to where this cluster is; else why not.
    fn continues(&self, parent: Notes) -> Result<Notes, String> {
        if parent.system != self.system {
            return Err("the backup before is of another cluster".into());
        }
        if parent.timeline != self.timeline {
            let (before, now) = (parent.timeline, self.timeline);
            return Err(format!("the cluster went from timeline {before} to {now}"));
        }
        if parent.segment_bytes != self.segment_bytes {
            return Err("the size of the log's segments was changed".into());
        }
        if self.is_standby {
            return Err("the server is a standby, which cannot end a segment of its log".into());
        }
        Ok(parent)
    }
}

fn incremental(config: &Config, sql: &mut Client, parent: Notes, sink: &Sink) -> Result<Continued> {
    progress::step("write-ahead log");
    if let Some(why) = lost_slot(config, sql)? {
        return Ok(Continued::No(why));
    }
    let reaches = clock(sql)?;
    // A restore to a time ends at the first commit after it: there has to be one.
    sql.query("SELECT txid_current()")?;
    let switched = sql.value("SELECT pg_switch_wal()").map_err(|failure| {
        let is_denied = failure.is("42501");
        match Error::from(failure) {
            error if is_denied => error.hint(format!(
                "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {:?}",
                config.user
            )),
            error => error,
        }
    })?;
    let switched: Lsn = switched.parse()?;
    let range = Range {
        timeline: parent.timeline,
        segment_bytes: parent.segment_bytes,
        start: parent.log_end,
        end: switched.segment_end(parent.segment_bytes),
    };
    if range.end < range.start {
        return Ok(Continued::No(
            "the server's log ends before the backup before".into(),
        ));
    }
    // After the end of the log, so that none is in it.
    if let Some(why) = new_tablespace(sql, &parent)? {
        return Ok(Continued::No(why));
    }
    if !config.slot.is_empty() {
        // The parent is durable, and so is all that it holds. What comes now is not, until the engine says so.
        Slot::advance(sql, &config.slot, range.start)?;
    }
    let mut replication = link::connect_for_replication(config)?;
    let stream = match LogStream::begin(&mut replication, range) {
        Ok(stream) => stream,
        Err(failure) if failure.is("58P01") => {
            let error = Error::from(failure);
            return Ok(Continued::No(format!(
                "the server no longer has its log: {error}"
            )));
        }
        Err(failure) => return Err(failure.into()),
    };
    if let Err(error) = carry(&parent, sink) {
        return Ok(Continued::No(format!(
            "the backup before cannot be continued: {error}"
        )));
    }
    progress::expect(Some(range.end.0 - range.start.0), None);
    let segments = stream.write(sink)?;
    replication.close();
    let notes = Notes {
        log_end: range.end,
        last_record: Lsn(switched.0.saturating_sub(SWITCH_BYTES)),
        reaches,
        ..parent
    };
    let mut attributes = notes.to_attributes();
    attributes.push(("new log segments".into(), segments.to_string()));
    Ok(Continued::Done(Outcome {
        kind: BackupKind::Incremental,
        attributes,
    }))
}

/// Why the slot no longer keeps the log for the next backup; none where it does, or is not wanted.
fn lost_slot(config: &Config, sql: &mut Client) -> Result<Option<String>> {
    let name = &config.slot;
    if name.is_empty() {
        return Ok(None);
    }
    Ok(match Slot::find(sql, name)? {
        None => Some(format!("the replication slot {name} is gone")),
        Some(slot) if slot.is_lost => Some(format!("the replication slot {name} has lost its log")),
        Some(_) => None,
    })
}

/// Why the log cannot be replayed without harm: it says where a tablespace is made, and a server that replays it writes there, even if another
/// one has its files in that place.
fn new_tablespace(sql: &mut Client, parent: &Notes) -> Result<Option<String>> {
    // Those that every cluster has.
    let rows = sql.query("SELECT oid, spcname FROM pg_tablespace WHERE oid NOT IN (1663, 1664)")?;
    let mut names = rows.into_iter().filter_map(|row| {
        let mut columns = row.into_iter().map(Option::unwrap_or_default);
        let oid = columns.next()?;
        (!parent.tablespaces.contains_key(&oid)).then(|| columns.next().unwrap_or(oid))
    });
    Ok(names
        .next()
        .map(|name| format!("tablespace {name} was made since the last one")))
}

/// Keeps what the parent has. Segments come first: should the files not be there, those that were kept are in nobody's way.
fn carry(parent: &Notes, sink: &Sink) -> Result<()> {
    for segment in parent.segments() {
        sink.carry(&segment_path(&segment))?;
    }
    sink.carry(DATA)?;
    sink.carry(DIRECTORIES)?;
    Ok(())
}

fn full(config: &Config, sql: &mut Client, cluster: &Cluster, sink: &Sink) -> Result<Outcome> {
    // A standby's backups are always full ones, and need no log of the time before.
    if !config.slot.is_empty() && !cluster.is_standby {
        Slot::ensure(sql, &config.slot)?;
    }
    progress::step("waiting for a checkpoint");
    let mut replication = link::connect_for_replication(config)?;
    let mut base = BaseBackup::begin(&mut replication, cluster.version.major)?;
    progress::expect(Some(base.expected_bytes()), None);
    let start = base.start();
    let tablespaces = base.tablespaces().to_vec();
    let files = receive(&mut base, sink)?;
    let end = base.finish();
    // Such as which page is damaged, where the error only says that one is.
    for warning in replication.take_warnings() {
        record::warn(warning.message);
    }
    let end = end?;
    replication.close();
    if end.timeline != start.timeline {
        let problem = "the cluster went to another timeline during the backup";
        return Err(Error::new(ErrorKind::Failed, problem).hint("run it again"));
    }
    let now = clock(sql)?;
    if !config.slot.is_empty() {
        // What was kept for the backup before this one; without it a server that only ever gets full backups would fill its disk.
        Slot::advance(sql, &config.slot, start.lsn)?;
    }
    let log_start = end.lsn.segment_end(cluster.segment_bytes);
    let notes = Notes {
        system: cluster.system.clone(),
        timeline: end.timeline,
        segment_bytes: cluster.segment_bytes,
        log_start,
        log_end: log_start,
        last_record: log_start,
        tablespaces: tablespaces
            .into_iter()
            .map(|it| (it.oid, it.location))
            .collect(),
        whole_since: now.clone(),
        reaches: now,
        server: format!("PostgreSQL {}", cluster.version.full),
    };
    let mut attributes = notes.to_attributes();
    attributes.push(("files of the manifest".into(), files.to_string()));
    Ok(Outcome {
        kind: BackupKind::Full,
        attributes,
    })
}

/// Takes every part in; returns how many files the server's manifest vouches for.
fn receive<S: std::io::Read + Write>(base: &mut BaseBackup<'_, S>, sink: &Sink) -> Result<u64> {
    let mut unpacker = Unpacker::new(sink);
    while let Some(part) = base.next_part()? {
        match part {
            Part::Archive(tablespace) => {
                progress::step(match &tablespace {
                    None => "files of the cluster".to_owned(),
                    Some(tablespace) => format!("tablespace {}", tablespace.oid),
                });
                let unpacked = unpacker.unpack(&mut *base, tablespace.as_ref());
                unpacked.map_err(|error| base.take_failure().unwrap_or(error))?;
            }
            Part::Manifest => {
                progress::step("comparing with the server's manifest");
                let (received, directories) = unpacker.finish();
                let path = format!("{DATA}/backup_manifest");
                let mut manifest = sink.write(&Entry::at(path))?;
                let verified = received.verify(BufReader::new(&mut *base), &mut manifest);
                let files = verified.map_err(|error| base.take_failure().unwrap_or(error))?;
                manifest.finish()?;
                let mut list = sink.write(&Entry::at(DIRECTORIES))?;
                for directory in directories {
                    writeln!(list, "{directory}")?;
                }
                list.finish()?;
                return match base.next_part()? {
                    None => Ok(files),
                    Some(_) => Err(Error::new(
                        ErrorKind::Failed,
                        "the server sent more than its manifest names",
                    )),
                };
            }
        }
    }
    Err(Error::new(ErrorKind::Failed, "the server sent no manifest"))
}

/// The server's time, as its settings for a restore take it.
fn clock(sql: &mut Client) -> Result<String> {
    Ok(sql.value(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00\"')",
    )?)
}

fn no_notes() -> String {
    "the backup before is no physical one".into()
}

fn no_identity() -> Error {
    Error::new(
        ErrorKind::Failed,
        "the server does not tell which cluster it is",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn cluster() -> Cluster {
        Cluster {
            system: "7300".into(),
            timeline: 1,
            segment_bytes: 16 << 20,
            is_standby: false,
            version: Version {
                major: 15,
                full: "15.14".into(),
            },
        }
    }

    fn check(cluster: Cluster, why: Option<&str>) {
        let parent = Notes {
            system: "7300".into(),
            timeline: 1,
            segment_bytes: 16 << 20,
            log_start: Lsn(3 << 24),
            log_end: Lsn(5 << 24),
            last_record: Lsn(5 << 24),
            tablespaces: BTreeMap::new(),
            whole_since: String::new(),
            reaches: String::new(),
            server: String::new(),
        };
        assert_eq!(cluster.continues(parent).err().as_deref(), why);
    }

    #[test]
    fn only_the_same_history_is_continued() {
        check(cluster(), None);
        let other = |change: fn(&mut Cluster)| {
            let mut cluster = cluster();
            change(&mut cluster);
            cluster
        };
        check(
            other(|it| it.system = "7301".into()),
            Some("the backup before is of another cluster"),
        );
        check(
            other(|it| it.timeline = 2),
            Some("the cluster went from timeline 1 to 2"),
        );
        check(
            other(|it| it.segment_bytes = 1 << 20),
            Some("the size of the log's segments was changed"),
        );
        check(
            other(|it| it.is_standby = true),
            Some("the server is a standby, which cannot end a segment of its log"),
        );
    }
}
