//! A look at the server: what would be backed up, and what is missing for it.

use strongroom_plugin::{Attributes, Error, ErrorKind, Result, log};

use crate::choose::choose;
use crate::config::{Config, Method};
use crate::link;
use crate::physical::slot::Slot;
use crate::programs::Programs;
use crate::server::{Database, Version, is_true, size_text};

/// From here on a slot's log deserves a word: many servers have little more room than that.
const MUCH_LOG_BYTES: u64 = 1 << 30;

/// What the server says, in the order that a person asks.
pub(crate) fn check(config: &Config) -> Result<Attributes> {
    let mut client = link::connect(config, &config.database)?;
    let version = Version::of(&mut client)?;
    let mut told = Told(Vec::new());
    told.tell(
        "server",
        format!("PostgreSQL {} at {}", version.full, config.address()),
    );
    let role = match is_true(
        &mut client,
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user",
    )? {
        true => format!("{} (superuser)", config.user),
        false => config.user.clone(),
    };
    told.tell("role", role);
    let databases = Database::list(&mut client)?;
    match config.method {
        Method::Logical => {
            told.tell("method", "logical");
            let chosen = choose(databases, &config.databases, &config.exclude)?;
            let programs = Programs::find(config, &version)?;
            told.tell("pg_dump", &programs.version().full);
            let sees = is_true(
                &mut client,
                "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
            )?;
            told.tell(
                "role passwords",
                if sees {
                    "included"
                } else {
                    "not included: the role may not read them"
                },
            );
            told.databases(&chosen);
        }
        Method::Physical => {
            told.tell("method", "physical");
            told.databases(&databases);
            physical(config, &mut client, &mut told)?;
        }
    }
    client.close();
    Ok(told.0)
}

fn physical(config: &Config, client: &mut link::Client, told: &mut Told) -> Result<()> {
    let level = client.value("SHOW wal_level")?;
    if level == "minimal" {
        let problem = "wal_level is minimal: the server's log is not enough for a backup";
        return Err(Error::new(ErrorKind::Unsupported, problem)
            .hint("set wal_level = replica in postgresql.conf and restart the server"));
    }
    told.tell("wal_level", level);
    let checksums = client.value("SHOW data_checksums")?;
    told.tell(
        "page checksums",
        match checksums.as_str() {
            "on" => "on: the server verifies every page that it sends",
            _ => "off: damage on the server's disk is not noticed",
        },
    );
    // Whether the role may, only a login can tell: pg_hba.conf has its own lines for it.
    link::connect_for_replication(config)?.close();
    told.tell("replication", "allowed");
    if is_true(client, "SELECT pg_is_in_recovery()")? {
        told.tell("standby", "yes: every backup will be a full one");
    } else if !is_true(
        client,
        "SELECT has_function_privilege('pg_switch_wal()', 'EXECUTE')",
    )? {
        log::warn(format!(
            "role {0} may not end a segment of the log, as incremental backups do: GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {0:?}",
            config.user
        ));
    }
    if config.slot.is_empty() {
        told.tell(
            "slot",
            "none: the server may drop log before an incremental backup has it",
        );
        return Ok(());
    }
    match Slot::find(client, &config.slot)? {
        None => told.tell("slot", format!("{}: made by the first backup", config.slot)),
        Some(slot) if slot.is_lost => {
            log::warn(format!(
                "replication slot {} has lost log that it was to keep: the next backup will be a full one",
                config.slot
            ));
            told.tell("slot", format!("{}: lost", config.slot));
        }
        Some(slot) => {
            let size = size_text(slot.retained_bytes);
            if slot.retained_bytes >= MUCH_LOG_BYTES {
                log::warn(format!(
                    "the server keeps {size} of log for slot {}: back up more often, or drop the slot if nobody does any more",
                    config.slot
                ));
            }
            told.tell("slot", format!("{}: keeps {size} of log", config.slot));
        }
    }
    Ok(())
}

struct Told(Attributes);

impl Told {
    fn tell(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    fn databases(&mut self, databases: &[Database]) {
        for database in databases {
            let size = database
                .size
                .map_or("may not be connected to".to_owned(), size_text);
            self.tell(format!("database {}", database.name), size);
        }
    }
}
