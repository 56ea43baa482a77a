//! What a physical backup notes of itself, and what the next one and a restore read there.

use std::collections::BTreeMap;

use strongroom_plugin::Attributes;

use crate::wire::Lsn;

/// Where a backup stands in the history of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Made with the cluster, and its own.
    pub(crate) system: String,
    pub(crate) timeline: u32,
    pub(crate) segment_bytes: u64,
    /// Where the segments below `wal/` begin: after what came with the cluster's files.
    pub(crate) log_start: Lsn,
    /// Where they end, which is where the next backup goes on.
    pub(crate) log_end: Lsn,
    /// Where the last record of the log begins, or shortly before: a recovery that is to go further finds nothing to stop at.
    pub(crate) last_record: Lsn,
    /// What the files hold below `pg_tblspc`: where the server has each, by its OID.
    pub(crate) tablespaces: BTreeMap<String, String>,
    /// The server's clock when the files were whole, as PostgreSQL writes it: no restore can go back further.
    pub(crate) whole_since: String,
    /// The server's clock shortly before the end of the log: a restore can go on to there.
    pub(crate) reaches: String,
    pub(crate) server: String,
}

const METHOD: &str = "physical";
const TABLESPACE: &str = "tablespace ";

impl Notes {
    pub(crate) fn to_attributes(&self) -> Attributes {
        let mut attributes: Attributes = [
            ("method", METHOD.to_owned()),
            ("server", self.server.clone()),
            ("system", self.system.clone()),
            ("timeline", self.timeline.to_string()),
            ("log segment bytes", self.segment_bytes.to_string()),
            ("log start", self.log_start.to_string()),
            ("log end", self.log_end.to_string()),
            ("last record", self.last_record.to_string()),
            ("whole since", self.whole_since.clone()),
            ("reaches", self.reaches.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let tablespaces = self.tablespaces.iter();
        attributes.extend(tablespaces.map(|(oid, at)| (format!("{TABLESPACE}{oid}"), at.clone())));
        attributes
    }

    /// None where this is no physical backup, or not all of it is there.
    pub(crate) fn read(attributes: &Attributes) -> Option<Self> {
        let attributes: BTreeMap<_, _> = attributes.iter().map(|(k, v)| (&**k, v)).collect();
        let text = |name: &str| attributes.get(name).map(|value| (*value).clone());
        if text("method")? != METHOD {
            return None;
        }
        let log_end: Lsn = text("log end")?.parse().ok()?;
        let tablespaces = attributes.iter().filter_map(|(name, at)| {
            let oid = name.strip_prefix(TABLESPACE)?;
            Some((oid.to_owned(), (*at).clone()))
        });
        let notes = Self {
            system: text("system")?,
            timeline: text("timeline")?.parse().ok()?,
            segment_bytes: text("log segment bytes")?.parse().ok()?,
            log_start: text("log start")?.parse().ok()?,
            log_end,
            // Earlier releases did not note it.
            last_record: text("last record").map_or(Some(log_end), |it| it.parse().ok())?,
            tablespaces: tablespaces.collect(),
            whole_since: text("whole since")?,
            reaches: text("reaches")?,
            server: text("server")?,
        };
        let is_size = notes.segment_bytes.is_power_of_two() && notes.segment_bytes >= 1 << 20;
        (is_size && notes.log_start <= notes.log_end).then_some(notes)
    }

    /// Whether there is log beside what came with the files.
    pub(crate) fn has_log(&self) -> bool {
        self.log_start < self.log_end
    }

    /// The names of the segments below `wal/`.
    pub(crate) fn segments(&self) -> impl Iterator<Item = String> {
        let (timeline, bytes) = (self.timeline, self.segment_bytes);
        let numbers = self.log_start.0 / bytes..self.log_end.0 / bytes;
        numbers.map(move |number| Lsn(number * bytes).segment_name(timeline, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Notes {
        Notes {
            system: "7300".into(),
            timeline: 1,
            segment_bytes: 16 << 20,
            log_start: Lsn(3 << 24),
            log_end: Lsn(5 << 24),
            last_record: Lsn((4 << 24) + 0x100),
            tablespaces: [("16388".to_owned(), "/ssd/pg".to_owned())].into(),
            whole_since: "2026-03-01 14:05:09+00".into(),
            reaches: "2026-03-01 15:05:09+00".into(),
            server: "PostgreSQL 15.14".into(),
        }
    }

    #[test]
    fn what_one_backup_notes_the_next_one_reads() {
        assert_eq!(Notes::read(&notes().to_attributes()), Some(notes()));
        let segments: Vec<_> = notes().segments().collect();
        assert_eq!(
            segments,
            ["000000010000000000000003", "000000010000000000000004"]
        );
    }

    #[test]
    fn notes_that_make_no_sense_are_none() {
        let without = |name: &str| {
            let mut attributes = notes().to_attributes();
            attributes.retain(|(it, _)| it != name);
            Notes::read(&attributes)
        };
        assert_eq!(without("method"), None);
        assert_eq!(without("log end"), None);
        let backwards = Notes {
            log_end: Lsn(0),
            ..notes()
        };
        assert_eq!(Notes::read(&backwards.to_attributes()), None);
        let no_size = Notes {
            segment_bytes: 0,
            ..notes()
        };
        assert_eq!(Notes::read(&no_size.to_attributes()), None);
    }
}
