//! Looking through the log before a backup is continued by it: a part of the server's log comes in, what of it no restore could replay goes out.

use std::io::{BufRead, Write};

use strongroom_plugin::{Error, ErrorKind, Result};

use super::event::{Checksum, Format, Kind, MAGIC, rotate_target};
use super::pick::{STATEMENT_BYTES, TOO_LONG};
use super::position::Position;
use super::rows::{HEAD_BYTES, Tables, table};
use super::scope::{Scope, Verdict};
use super::stream::{Incoming, ask, unreadable};
use crate::config::Kind as Family;
use crate::wire::Session;

/// Looks through what lies between two places. `go_on` is asked before every event. Consumes the session, as reading does.
///
/// Out comes why a restore of the databases of `scope` could not replay it, or should not: what takes tables from one database to another makes each of
/// them useless without the other one.
pub(crate) fn review<S: BufRead + Write>(
    mut session: Session<S>,
    from: &Position,
    end: &Position,
    scope: &Scope,
    family: Family,
    mut go_on: impl FnMut() -> Result<()>,
) -> Result<Option<String>> {
    // The protocol has room for no more.
    let begin = u32::try_from(from.offset).unwrap_or(MAGIC.len() as u32);
    let packets = ask(&mut session, &from.file, begin)?;
    let mut at = Position::new(&*from.file, u64::from(begin));
    let (mut checksum, mut tables) = (Checksum::None, Tables::default());
    while at < *end {
        go_on()?;
        let Some(incoming) = Incoming::next(packets)?? else {
            let problem = format!("the server's log ended before {end}");
            return Err(Error::new(ErrorKind::Unavailable, problem));
        };
        let event = incoming.event;
        let found = match event.kind {
            Kind::Rotate if event.is_artificial() => {
                let name = rotate_target(&incoming.whole()?).ok_or_else(unreadable)?;
                if name != at.file {
                    at = Position::new(name, MAGIC.len() as u64);
                }
                continue;
            }
            Kind::Format => {
                let format = Format::parse(&incoming.whole()?).ok_or_else(unreadable)?;
                checksum = format.checksum;
                None
            }
            _ if event.is_artificial() || at < *from => {
                incoming.skip()?;
                None
            }
            Kind::Statement if event.length as usize > STATEMENT_BYTES => Some(TOO_LONG.to_owned()),
            Kind::Statement => {
                let bytes = incoming.at_most(STATEMENT_BYTES)?;
                match scope.judge(&bytes, checksum, &at, family) {
                    Verdict::Keep { crosses: false, .. } | Verdict::Skip => None,
                    Verdict::Keep { .. } => Some(format!(
                        "a statement that takes something from one database to another: {}",
                        shown(&bytes, checksum)
                    )),
                    Verdict::Impossible(why) => Some(why),
                }
            }
            Kind::Table => {
                let bytes = incoming.at_most(STATEMENT_BYTES)?;
                let (number, database, _) = table(&bytes).ok_or_else(unreadable)?;
                tables.add(number, scope.name_at(database, &at).is_some());
                None
            }
            Kind::Rows => {
                let length = event.length as usize;
                tables.rows(incoming.head::<HEAD_BYTES>()?, length).err()
            }
            Kind::Unreplayable(what) => Some(what.to_owned()),
            Kind::Encryption => Some("encrypted events".to_owned()),
            Kind::Rotate
            | Kind::Transaction
            | Kind::Heartbeat
            | Kind::TransactionsBefore
            | Kind::Annotation
            | Kind::Aside => {
                incoming.skip()?;
                None
            }
        };
        if let Some(found) = found {
            return Ok(Some(format!("the log has, at {at}, {found}")));
        }
        if !event.is_artificial() {
            at.offset += u64::from(event.length);
        }
    }
    Ok(None)
}

fn shown(event: &[u8], checksum: Checksum) -> String {
    let statement = super::statement::Statement::parse(event, checksum);
    statement.map(|it| it.shown()).unwrap_or_default()
}
