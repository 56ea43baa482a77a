//! The replication slot that keeps the log from one backup to the next.

use std::io::{Read, Write};

use postgres_protocol::escape::escape_literal;
use strongroom_plugin::{Error, ErrorKind, Result, log};

use crate::config::{Config, Method};
use crate::server::size_text;
use crate::wire::{Client, Lsn};

/// From here on a slot's log deserves a word: many servers have little more room than that.
const MUCH_LOG_BYTES: u64 = 1 << 30;

/// A slot as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// How much log the server keeps for it.
    pub(crate) retained_bytes: u64,
    /// Whether some of what it should keep is gone.
    pub(crate) is_lost: bool,
    is_physical: bool,
}

impl Slot {
    /// None where there is no slot of that name.
    pub(crate) fn find<S: Read + Write>(
        client: &mut Client<S>,
        name: &str,
    ) -> Result<Option<Self>> {
        let rows = client.query(&format!(
            "SELECT slot_type = 'physical', restart_lsn IS NULL OR wal_status = 'lost', \
             pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::bigint \
             FROM pg_replication_slots WHERE slot_name = {}",
            escape_literal(name)
        ))?;
        Ok(rows.into_iter().next().map(|row| {
            let mut columns = row.into_iter().map(Option::unwrap_or_default);
            let mut text = || columns.next().unwrap_or_default();
            Self {
                is_physical: text() == "t",
                is_lost: text() == "t",
                retained_bytes: text().parse().unwrap_or(0),
            }
        }))
    }

    /// Makes it where it is missing or has lost what it was to keep. From then on the server keeps its log.
    pub(super) fn ensure<S: Read + Write>(client: &mut Client<S>, name: &str) -> Result<()> {
        let literal = escape_literal(name);
        match Self::find(client, name)? {
            Some(slot) if !slot.is_physical => {
                let problem = format!("replication slot {name} is there and is not a physical one");
                return Err(Error::new(ErrorKind::InvalidConfig, problem)
                    .hint("set another slot in the source's config"));
            }
            Some(slot) if slot.is_lost => {
                client.query(&format!("SELECT pg_drop_replication_slot({literal})"))?;
            }
            Some(_) => return Ok(()),
            None => {}
        }
        client
            .query(&format!(
                "SELECT pg_create_physical_replication_slot({literal}, true)"
            ))
            .map_err(|failure| match failure.is("53400") {
                true => Error::from(failure)
                    .hint("raise max_replication_slots, or set slot = \"\" in the source's config"),
                false => failure.into(),
            })?;
        Ok(())
    }

    /// Lets the server give up the log before `lsn`.
    pub(super) fn advance<S: Read + Write>(
        client: &mut Client<S>,
        name: &str,
        lsn: Lsn,
    ) -> Result<()> {
        client.query(&format!(
            "SELECT pg_replication_slot_advance(slot_name, '{lsn}') FROM pg_replication_slots \
             WHERE slot_name = {} AND slot_type = 'physical' AND restart_lsn < '{lsn}'",
            escape_literal(name)
        ))?;
        Ok(())
    }
}

/// A slot whose name begins as ours do, and that this source does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) name: String,
    pub(crate) retained_bytes: u64,
}

impl Stray {
    /// Those of the server, if nobody reads from them now. Another source may have one; which, only people know.
    pub(crate) fn all<S: Read + Write>(
        client: &mut Client<S>,
        config: &Config,
    ) -> Result<Vec<Self>> {
        let own = match config.method {
            Method::Physical => config.slot.as_str(),
            Method::Logical => "",
        };
        let rows = client.query(&format!(
            "SELECT slot_name, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::bigint \
             FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active AND NOT temporary \
             AND slot_name LIKE 'strongroom%' AND slot_name <> {} ORDER BY 1",
            escape_literal(own)
        ))?;
        let stray = |row: Vec<Option<String>>| {
            let mut columns = row.into_iter();
            Some(Self {
                name: columns.next()??,
                retained_bytes: columns.next()?.and_then(|it| it.parse().ok()).unwrap_or(0),
            })
        };
        Ok(rows.into_iter().filter_map(stray).collect())
    }

    /// What it does, and how to be rid of it.
    pub(crate) fn describe(&self) -> String {
        format!(
            "keeps {} of log, and not for this source: if no other source has it, SELECT pg_drop_replication_slot('{}')",
            size_text(self.retained_bytes),
            self.name
        )
    }

    /// Warns where it keeps much.
    pub(crate) fn warn(&self) {
        if is_much(self.retained_bytes) {
            log::warn(format!(
                "replication slot {} {}",
                self.name,
                self.describe()
            ));
        }
    }
}

/// Warns of those that keep much log.
pub(crate) fn tell_strays<S: Read + Write>(client: &mut Client<S>, config: &Config) -> Result<()> {
    Stray::all(client, config)?.iter().for_each(Stray::warn);
    Ok(())
}

/// Whether the server keeps so much log for a slot that it deserves a word.
pub(crate) fn is_much(bytes: u64) -> bool {
    bytes >= MUCH_LOG_BYTES
}
