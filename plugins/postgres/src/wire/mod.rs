//! PostgreSQL's protocol over any stream of bytes: log in, ask, copy.

mod authenticate;
mod client;
mod failure;
mod lsn;
mod session;

pub(crate) use client::{Client, Event, Login, Row, wants_tls};
pub(crate) use failure::Failure;
pub(crate) use lsn::Lsn;
pub(crate) use session::Session;
