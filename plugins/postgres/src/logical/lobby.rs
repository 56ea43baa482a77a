//! Where databases are made, renamed and dropped from: a connection to another one, which comes back when it is lost.

use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use strongroom_plugin::{Context, Error, ErrorKind, Result, progress};

use crate::config::Config;
use crate::link::{self, Client};
use crate::server::is_true;

/// The key of locks of ours, beside that of the name.
const LOCK: u32 = 1_937_011_315;

/// How often, and how many times, it is looked whether a lock is free. What a restore was doing at the server when it was killed is not over at once.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: u32 = 40;

/// A connection to one database, and what it holds.
pub(super) struct Lobby<'a> {
    pub(super) config: &'a Config,
    pub(super) database: &'a str,
    client: Client,
    locked: Vec<String>,
    pub(super) is_superuser: bool,
}

impl<'a> Lobby<'a> {
    pub(super) fn enter(config: &'a Config, database: &'a str) -> Result<Self> {
        let mut client = link::connect(config, database)?;
        let is_superuser = is_superuser(&mut client)?;
        Ok(Self {
            config,
            database,
            client,
            locked: Vec::new(),
            is_superuser,
        })
    }

    /// A connection that works. It may have been cut while something else took long.
    pub(super) fn client(&mut self) -> Result<&mut Client> {
        if self.client.query("SELECT 1").is_err() {
            self.client = link::connect(self.config, self.database)?;
            for name in std::mem::take(&mut self.locked) {
                self.lock(&name)?;
            }
        }
        Ok(&mut self.client)
    }

    /// Keeps other restores away from a name, as long as this one lives.
    pub(super) fn lock(&mut self, name: &str) -> Result<()> {
        let lock = format!(
            "SELECT pg_catalog.pg_try_advisory_lock({LOCK}, pg_catalog.hashtext({}))",
            escape_literal(name)
        );
        let mut looks = 0;
        while !is_true(&mut self.client, &lock)? {
            looks += 1;
            if looks > LOOKS {
                let problem = format!("another restore of database {name} is under way");
                return Err(Error::new(ErrorKind::AlreadyExists, problem)
                    .hint("wait for its end, or end it"));
            }
            progress::check_cancelled()?;
            std::thread::sleep(LOOK);
        }
        self.locked.push(name.to_owned());
        Ok(())
    }

    pub(super) fn close(self) {
        self.client.close();
    }
}

pub(super) fn is_superuser(client: &mut Client) -> Result<bool> {
    is_true(
        client,
        "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user",
    )
}

/// Drops a database with whatever stands in the way of that, and says what that was.
///
/// Its subscriptions go without a word to the server that they come from: their slots there belong to the database that takes its place, or to nobody.
pub(super) fn remove(
    config: &Config,
    client: &mut Client,
    name: &str,
    is_superuser: bool,
) -> Result<Vec<String>> {
    let mut told = Vec::new();
    let (id, literal) = (escape_identifier(name), escape_literal(name));
    let is = |column: &str| {
        format!(
            "SELECT {column} FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) {literal}"
        )
    };
    if is_true(client, &is("datistemplate"))? {
        client.query(&format!("ALTER DATABASE {id} IS_TEMPLATE false"))?;
    }
    let subscriptions = subscriptions(client, name)?;
    if !subscriptions.is_empty() {
        if !is_true(client, &is("datallowconn"))? {
            client.query(&format!("ALTER DATABASE {id} ALLOW_CONNECTIONS true"))?;
        }
        let mut inside = link::connect(config, name)?;
        if is_superuser {
            inside.query("SET session_replication_role = replica")?;
        }
        for Subscription { name, slot } in subscriptions {
            let id = escape_identifier(&name);
            for change in ["DISABLE", "SET (slot_name = NONE)"] {
                inside.query(&format!("ALTER SUBSCRIPTION {id} {change}"))?;
            }
            inside
                .query(&format!("DROP SUBSCRIPTION {id}"))
                .on(format_args!("subscription {name}"))?;
            if let Some(slot) = slot {
                told.push(format!(
                    "subscription {name} of the replaced database is gone, and its slot {slot} is left at the server that it came from, which keeps log for it: \
                     enable the restored subscription, or drop the slot there"
                ));
            }
        }
        inside.close();
    }
    client.query(&format!("DROP DATABASE IF EXISTS {id} WITH (FORCE)"))?;
    Ok(told)
}

/// A subscription of a database.
pub(super) struct Subscription {
    pub(super) name: String,
    slot: Option<String>,
}

/// Those of a database.
pub(super) fn subscriptions(client: &mut Client, database: &str) -> Result<Vec<Subscription>> {
    let rows = client.query(&format!(
        "SELECT s.subname, s.subslotname FROM pg_catalog.pg_subscription s \
         JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.subdbid \
         WHERE d.datname OPERATOR(pg_catalog.=) {} ORDER BY 1",
        escape_literal(database)
    ))?;
    let named = rows.into_iter().filter_map(|row| {
        let mut columns = row.into_iter();
        let name = columns.next().flatten()?;
        let slot = columns.next().flatten();
        Some(Subscription { name, slot })
    });
    Ok(named.collect())
}
