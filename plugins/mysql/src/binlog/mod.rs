//! The server's binary log: what its events say, reading it from the server, and picking from what was stored what a restore replays.

mod event;
mod pick;
mod position;
mod read;
mod statement;
mod stream;
mod target;
mod tokens;

pub(crate) use pick::{Pick, Wanted};
pub(crate) use position::Position;
pub(crate) use read::{LogFiles, identify, read_log};
pub(crate) use target::changed;
