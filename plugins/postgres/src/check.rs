//! A look at the server: what would be backed up, and what is missing for it.

use strongroom_plugin::{Attributes, Error, ErrorKind, Result, log};

use crate::choose::{Chosen, choose};
use crate::config::{Config, Method};
use crate::link;
use crate::logical::gaps::Gaps;
use crate::physical::slot::{Slot, Stray, is_much};
use crate::programs::Programs;
use crate::server::{Database, Listed, Version, is_true, size_text};

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
    match config.method {
        Method::Logical => {
            told.tell("method", "logical");
            let listed = Listed::all(&mut client)?;
            let chosen = choose(listed, &config.databases, &config.exclude)?;
            let programs = Programs::find(config, &version)?;
            told.tell("pg_dump", &programs.version().full);
            version.warn("the server");
            programs.version().warn("pg_dump");
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
            logical(config, &chosen, &mut told);
        }
        Method::Physical => {
            told.tell("method", "physical");
            told.databases(&Database::list(&mut client)?);
            physical(config, &mut client, &mut told)?;
        }
    }
    for stray in Stray::all(&mut client, config)? {
        stray.warn();
        told.tell(format!("slot {}", stray.name), stray.describe());
    }
    client.close();
    Ok(told.0)
}

/// What a backup would lack, and what would stop it.
fn logical(config: &Config, chosen: &Chosen, told: &mut Told) {
    told.databases(&chosen.databases);
    for (name, why) in &chosen.unreachable {
        log::warn(format!("database {name} would be missing: {why}"));
        told.tell(format!("database {name}"), "cannot be dumped");
    }
    for (name, why) in &chosen.left_out {
        log::warn(format!("database {name} is left out: {why}"));
    }
    for database in &chosen.databases {
        let name = &database.name;
        let gaps = match Gaps::of(config, name) {
            Ok(gaps) => gaps,
            Err(error) => {
                log::warn(format!("database {name} cannot be looked into: {error}"));
                continue;
            }
        };
        for obstacle in &gaps.obstacles {
            log::warn(format!("the dump of {name} would fail: {obstacle}"));
        }
        for (subject, reason) in &gaps.missing {
            log::warn(format!("{subject} of {name} would be missing: {reason}"));
        }
        for warning in &gaps.warnings {
            log::warn(format!("not in the dump of {name}: {warning}"));
        }
        if !gaps.left_out.is_empty() {
            told.tell(format!("not in {name}"), gaps.left_out.join("; "));
        }
    }
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
    let is_standby = is_true(client, "SELECT pg_is_in_recovery()")?;
    if is_standby {
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
        None if is_standby => told.tell("slot", "none: a standby's backups need none"),
        Some(slot) if is_standby => {
            let (name, size) = (&config.slot, size_text(slot.retained_bytes));
            log::warn(format!(
                "slot {name} keeps {size} of log for nothing, as a standby's backups are full ones: SELECT pg_drop_replication_slot('{name}')"
            ));
        }
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
            if is_much(slot.retained_bytes) {
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
