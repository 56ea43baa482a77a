//! The server's binary log: what its events say, reading it from the server, and picking from what was stored what a restore replays.

mod births;
mod event;
mod pick;
mod position;
mod read;
mod review;
mod rows;
mod scope;
mod statement;
mod stored;
mod stream;
mod target;
mod tokens;

pub(crate) use births::{Birth, births};
pub(crate) use pick::{Pick, Wanted};
pub(crate) use position::Position;
pub(crate) use read::{LogFiles, identify, read_log};
pub(crate) use review::review;
pub(crate) use scope::{Part, Scope};
pub(crate) use target::{Reading, read};
