//! New databases in place of old ones, all at one moment: renames in one transaction, which a kill or an error leaves undone as a whole.

use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use strongroom_plugin::{Error, Result};

use super::beside::mark_to_go;
use super::lobby::Lobby;
use crate::link::{self, Client};
use crate::wire::Failure;

/// Of PostgreSQL: somebody is in the database.
const IN_USE: &str = "55006";

/// How often all of it is tried. Whoever was just about to enter is in by the second time, and sent away.
const TRIES: u32 = 4;

/// How often, and how many times, sessions are looked for while the server waits for their end, which it does for five seconds.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 60;

/// One database that is whole.
#[derive(Debug)]
pub(super) struct Swap<'a> {
    /// What it is called, and what it will be.
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// What the one that it replaces will be called.
    pub(super) replaced: Option<&'a str>,
    /// Whether that one may go.
    pub(super) drops_replaced: bool,
    /// The statement for its own comment.
    pub(super) comment: String,
}

/// Gives all of them their names.
pub(super) fn swap(lobby: &mut Lobby, swaps: &[Swap]) -> Result<()> {
    // Another one sends sessions away, while the first one waits with the locks that keep new ones out.
    let mut helper = link::connect(lobby.config, lobby.database)?;
    let mut tried = 0;
    loop {
        tried += 1;
        let client = lobby.client()?;
        client.query("BEGIN")?;
        let renamed = swaps.iter().try_for_each(|it| it.run(client, &mut helper));
        let failure = match renamed {
            Ok(()) => match client.query("COMMIT") {
                Ok(_) => break,
                // An answer that did not arrive says nothing. What is in its place does.
                Err(failure) if failure_is_silence(&failure) && is_done(lobby, swaps)? => break,
                Err(failure) => failure,
            },
            Err(failure) => {
                // Where even that fails, the server does so by itself.
                let _ = client.query("ROLLBACK");
                failure
            }
        };
        if !failure.is(IN_USE) || tried >= TRIES {
            let error = Error::from(failure).on("nothing was replaced");
            return Err(error.hint(
                "sessions of a database that is replaced are ended, for which the role has to be a superuser or in pg_signal_backend",
            ));
        }
    }
    helper.close();
    Ok(())
}

fn failure_is_silence(failure: &Failure) -> bool {
    matches!(failure, Failure::Other(_))
}

/// All were renamed, or none.
fn is_done(lobby: &mut Lobby, swaps: &[Swap]) -> Result<bool> {
    let Some(first) = swaps.first() else {
        return Ok(true);
    };
    let found = lobby.client()?.query(&format!(
        "SELECT 1 FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) {}",
        escape_literal(first.from)
    ))?;
    Ok(found.is_empty())
}

impl Swap<'_> {
    fn run(&self, client: &mut Client, helper: &mut Client) -> Result<(), Failure> {
        if let Some(replaced) = self.replaced {
            rename(client, helper, self.to, replaced)?;
            if self.drops_replaced {
                client.query(&mark_to_go(replaced, self.to))?;
            }
        }
        rename(client, helper, self.from, self.to)?;
        client.query(&self.comment)?;
        Ok(())
    }
}

/// From the moment when the server has the lock for this, nobody enters the database; whoever is in is sent away meanwhile.
fn rename(client: &mut Client, helper: &mut Client, from: &str, to: &str) -> Result<(), Failure> {
    let (old, new) = (escape_identifier(from), escape_identifier(to));
    client.ask(&format!("ALTER DATABASE {old} RENAME TO {new}"))?;
    let sent_away = send_away(helper, from);
    let renamed = client.rows();
    sent_away?;
    renamed.map(drop)
}

fn send_away(helper: &mut Client, database: &str) -> Result<(), Failure> {
    let ended = format!(
        "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
         WHERE datname OPERATOR(pg_catalog.=) {} AND COALESCE(backend_type, '') OPERATOR(pg_catalog.<>) 'autovacuum worker'",
        escape_literal(database)
    );
    // The second time, as the lock may not have been there at the first.
    let mut none = 0;
    for _ in 0..LOOKS {
        none = match helper.value(&ended)?.as_str() {
            "0" => none + 1,
            _ => 0,
        };
        if none == 2 {
            break;
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
