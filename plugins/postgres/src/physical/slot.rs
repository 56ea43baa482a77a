//! The replication slot that keeps the log from one backup to the next.

use std::io::{Read, Write};

use postgres_protocol::escape::escape_literal;
use strongroom_plugin::{Error, ErrorKind, Result};

use crate::wire::{Client, Lsn};

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
